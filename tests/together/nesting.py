"""Workflows that use Ensemble themselves: a Dify whose apps, when they are run, call the real plugin again.

The stand-in's apps answer from a script; these answer what a tool call gave them. They are reached as Dify's are: by
their id through the plugin's way back, which hands the caller's user on, and by their key over HTTP, where the app sees
an end user of its own.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.standin.apps import key_of
from tests.standin.invocation import Invocation, Result
from tests.standin.world import World

TOKEN_INPUT = "ensemble_parent"
GETS_THERE_S = 0.05
"""What a workflow takes to get to its tool node; Dify takes more."""
INSIDE = "inside"
"""What an app answers that was told not to call anybody."""


@dataclass(frozen=True)
class Flow:
    """One workflow app: a text input, an orchestrator, an answer."""

    name: str
    agents: str = ""
    """What its orchestrator is given; empty: it has none, and answers at once."""
    tells: bool = True
    """Whether it declares the input for tokens and hands it on."""
    max_length: int = 48
    """Of that input."""
    number: int = field(default_factory=itertools.count(1).__next__)
    fields: Mapping[str, Any] = field(default_factory=dict)
    """More of its orchestrator's parameters."""

    @property
    def id(self) -> str:
        """The app's UUID."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"flow:{self.name}:{self.number}"))

    @property
    def key(self) -> str:
        """The app's key."""
        return key_of(f"flow {self.name} {self.number}")

    @property
    def form(self) -> dict[str, Any]:
        """What it declares, as `GET /v1/parameters` tells."""
        names = {"text": 4096, **({TOKEN_INPUT: self.max_length} if self.tells else {})}
        return {
            "user_input_form": [
                {"text-input": {"variable": name, "label": name, "required": name == "text", "max_length": most}}
                for name, most in names.items()
            ]
        }


class Studio:
    """Some flows in a world, and what became of each of their runs."""

    def __init__(self, scene: World, url: str, *flows: Flow) -> None:
        """Let *flows* be reached at *url* and through the scene's plugin."""
        self.scene = scene
        self.url = url
        self.flows = {flow.name: flow for flow in flows}
        self.results: list[tuple[str, Result]] = []
        """Of every orchestrator that has ended, the innermost first, with the app's name."""
        self.given: list[tuple[str, dict[str, Any]]] = []
        """What apps were run with, in order."""
        self.runs: dict[str, tuple[str, dict[str, Any]]] = {}
        """Dify's runs by their id: the app's name and the inputs, the newest last."""
        self._users: dict[str, str] = {}
        scene.plugin.on("fetch_app", lambda request, _: {"data": self.by_id(request["app_id"]).form})
        scene.plugin.on("app", self._backwards)

    def credentials(self, **changes: Any) -> dict[str, Any]:
        """Return what a builder would have saved."""
        keys = " ".join(f"{flow.name} = {flow.key} @ {self.url}" for flow in self.flows.values())
        return self.scene.credentials(**{"app_keys": keys, **changes})

    def start(self, name: str, text: str = "bees", user: str = "ann", token: str = "", **fields: Any) -> Result:
        """Run an app as somebody in Dify does, and return what its orchestrator gave."""
        flow = self.flows[name]
        self._note(flow, {"text": text})
        given = {"task": text, "agents": flow.agents, "parent": token, **flow.fields, **fields}
        call = self.scene.plugin.invoke("orchestrator", given, self.credentials(), user_id=user, app_id=flow.id)
        self._users[call.session_id] = user
        result = call.result()
        self.results.append((name, result))
        return result

    def log(self, flow: Flow) -> dict[str, Any]:
        """Return what `GET /v1/workflows/logs?limit=1` tells of an app's newest run."""
        newest = next((run for run, (name, _) in reversed(self.runs.items()) if name == flow.name), None)
        return {"page": 1, "limit": 1, "data": [] if newest is None else [{"id": "l", "workflow_run": {"id": newest}}]}

    def detail(self, run: str) -> dict[str, Any]:
        """Return what `GET /v1/workflows/run/<id>` tells: before Dify 1.14 the inputs are JSON text."""
        name, inputs = self.runs[run]
        return {"id": run, "status": "running", "inputs": json.dumps({**inputs, "sys.app_id": self.flows[name].id})}

    def _note(self, flow: Flow, inputs: Mapping[str, Any]) -> None:
        self.runs[str(uuid.uuid4())] = (flow.name, dict(inputs))

    def by_id(self, app_id: str) -> Flow:
        """Return the flow with this id."""
        return next(flow for flow in self.flows.values() if flow.id == app_id)

    def by_key(self, key: str) -> Flow:
        """Return the flow with this key."""
        return next(flow for flow in self.flows.values() if flow.key == key)

    def run(self, flow: Flow, inputs: Mapping[str, Any], user: str) -> dict[str, Any]:
        """Run an app and return Dify's answer to it."""
        self.given.append((flow.name, dict(inputs)))
        text, token = str(inputs["text"]), str(inputs.get(TOKEN_INPUT) or "")
        if not flow.agents or text == INSIDE:
            self._note(flow, inputs)
            return _answer(f"{flow.name}: {text}")
        time.sleep(GETS_THERE_S)
        result = self.start(flow.name, text, user, token if flow.tells else "")
        return _answer(result.text) if result.error is None else _answer("", result.error.message)

    def _backwards(self, request: dict[str, Any], call: Invocation) -> dict[str, Any]:
        return self.run(self.by_id(request["app_id"]), request["inputs"], self._users[call.session_id])


@contextmanager
def studio(scene: World, *flows: Flow) -> Iterator[Studio]:
    """Serve *flows* until the block ends."""
    made: list[Studio] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            flow = made[0].by_key(self.headers["Authorization"].removeprefix("Bearer "))
            match self.path.removeprefix("/v1").partition("?")[0].split("/")[1:]:
                case ["info"]:
                    self._send({"name": flow.name, "mode": "workflow"})
                case ["parameters"]:
                    self._send(flow.form)
                case ["workflows", "logs"]:
                    self._send(made[0].log(flow))
                case ["workflows", "run", run]:
                    self._send(made[0].detail(run))

        def do_POST(self) -> None:
            flow = made[0].by_key(self.headers["Authorization"].removeprefix("Bearer "))
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            user = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{flow.id} {body['user']}"))
            self._send(made[0].run(flow, body["inputs"], user))

        def _send(self, answer: Mapping[str, Any]) -> None:
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="studio", daemon=True)
    thread.start()
    try:
        made.append(Studio(scene, f"http://127.0.0.1:{server.server_port}/v1", *flows))
        yield made[0]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(text: str, error: str = "") -> dict[str, Any]:
    run = str(uuid.uuid4())
    data = {
        "id": run,
        "workflow_id": run,
        "status": "failed" if error else "succeeded",
        "outputs": {} if error else {"result": text},
        "error": error,
        "elapsed_time": 0.1,
        "total_tokens": 10,
        "total_steps": 3,
        "created_at": 1,
        "finished_at": 1,
    }
    return {"task_id": str(uuid.uuid4()), "workflow_run_id": run, "data": data}

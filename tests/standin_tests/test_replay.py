"""The stand-in answers every supported recording of the Service API as Dify 1.7.2 and 1.14.0 did."""

import json
import re
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.standin import recordings
from tests.standin.apps import App, Node, Variable
from tests.standin.failures import always
from tests.standin.recordings import VERSIONS, Recording, Version
from tests.standin.service_api import StandIn, threaded

UNSUPPORTED = {
    "messages": "reading histories: nothing of ours asks for it",
    "conversations": "reading histories: nothing of ours asks for it",
    "conv-rename": "managing conversations: nothing of ours asks for it",
    "conv-delete": "managing conversations: nothing of ours asks for it",
    "feedback": "rating answers: nothing of ours asks for it",
    "suggested": "suggested questions: nothing of ours asks for it",
    "logs": "reading histories: nothing of ours asks for it",
    "wf-http:meta": "tool icons: nothing of ours asks for it",
    "cf-echo:meta": "tool icons: nothing of ours asks for it",
    "wf-http:site": "the web app's looks: nothing of ours asks for it",
    "cf-echo:site": "the web app's looks: nothing of ours asks for it",
    "upload": "files go by workflow variables only",
    "upload-nofile": "files go by workflow variables only",
    "upload-nouser": "files go by workflow variables only",
    "upload-badext": "files go by workflow variables only",
    "upload-toolarge": "files go by workflow variables only",
    "wf-files:parameters": "file inputs are not scripted",
    "wf-files:blocking": "file inputs are not scripted",
    "wf-files:streaming": "file inputs are not scripted",
    "wf-files:remote": "file inputs are not scripted",
    "wf-files:other-user": "file inputs are not scripted",
    "wf-files:bad-id": "file inputs are not scripted",
    "wf-files:wrong-type": "file inputs are not scripted",
    "wf-files:missing": "file inputs are not scripted",
    "wf-branch:streaming": "an if/else node between start and end is not scripted",
    "wf-retryfail:blocking": "retries inside a node are not scripted",
    "wf-retryfail:streaming": "retries inside a node are not scripted",
    "wf-tool:streaming": "a tool node's icon and metadata are not scripted",
    "wf-slow-stream-23s": "takes 23 s; pings are tested with a shorter interval",
    "stop-wf": "needs two connections: tested in test_service_api.py",
    "stop-cf": "needs two connections: tested in test_service_api.py",
    "stop-wf-otheruser": "needs two connections: tested in test_service_api.py",
}

TEXT = Variable(name="text", required=True)
HTTP_FORM = (TEXT, Variable(name="n", type="number"), Variable(name="kind", type="select", options=("a", "b")))
LANG = Variable(name="lang", type="text-input")
SHORT = Variable(name="short", type="text-input", max_length=8)
ECHO = "You said: {query} (lang={inputs.lang}, turn={turn})"

KEPT_HEADERS = ("content-type", "x-version", "transfer-encoding", "allow")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MEASURED = {"elapsed_time", "latency", "time_to_first_token", "time_to_generate"}
EPOCH_S = 1_500_000_000


def http_node(recording: Recording, node_id: str = "http") -> Node:
    """The middle node of a recorded stream, with the outputs it had."""
    for event in recording.events:
        data = event.get("data", {})
        if event["event"] == "node_finished" and data["node_id"] == node_id:
            error = data["error"] if data["status"] == "exception" else ""
            picked = {name: data[name] for name in ("inputs", "process_data", "outputs")}
            return Node(id=node_id, type=data["node_type"], title=data["title"], error=error or "", **picked)
    raise LookupError(f"{recording.name} has no node {node_id}")


def apps_of(version: Version) -> dict[str, App]:
    """The recorded apps, by the prefix of their recordings."""
    seen = recordings.service_api(version)

    def failing(name: str, mode: Any = "workflow", **more: Any) -> App:
        """An app whose node fails with the words the recorded one failed with."""
        body = seen[f"{name}:blocking"].body
        error = body["data"]["error"] if mode == "workflow" else body["message"].removeprefix("Run failed: ")
        node = next(
            event["data"]["node_id"]
            for event in seen[f"{name}:streaming"].events
            if event["event"] == "node_finished" and event["data"]["status"] == "failed"
        )
        inputs = (TEXT,) if mode == "workflow" else ()
        failures = always("node_failed", error)
        middle = http_node(seen[f"{name}:streaming"], node)
        outputs = {"body": f"{{{node}.body}}"} if mode == "workflow" else None
        return App(name=name, mode=mode, inputs=inputs, node=middle, failures=failures, outputs=outputs, **more)

    def working(name: str, outputs: Mapping[str, str], status: Any = "succeeded", node: str = "http") -> App:
        """A workflow whose middle node gave what the recorded one gave."""
        middle = http_node(seen[f"{name}:streaming"], node)
        return App(name=name, mode="workflow", inputs=(TEXT,), outputs=outputs, status=status, node=middle)

    of_http = {"status_code": "{http.status_code}", "body": "{http.body}"}
    of_inputs = {name: f"{{inputs.{name}}}" for name in ("text", "n", "kind")}
    stream = seen["wf-http:streaming"]
    tool_node = next(e["data"]["node_id"] for e in seen["wf-tool:streaming"].events[3:] if e["event"] == "node_started")
    tool_out = next(iter(http_node(seen["wf-tool:streaming"], tool_node).outputs))
    apps = [
        App(name="wf-http", mode="workflow", inputs=HTTP_FORM, outputs=of_http | of_inputs, node=http_node(stream)),
        App(name="wf-trivial", mode="workflow", inputs=(TEXT,), outputs={"result": "{inputs.text}"}),
        App(name="wf-branch", mode="workflow", inputs=(TEXT,), outputs={"branch_no": "{inputs.text}"}, node=Node()),
        App(name="wf-short", mode="workflow", inputs=(SHORT,), outputs={"short": "{inputs.short}"}),
        failing("wf-fail"),
        failing("wf-template"),
        working("wf-partial", {"body": "{http.body}"}, "partial-succeeded"),
        working("wf-500ok", of_http),
        working("wf-tool", {"out": f"{{{tool_node}.{tool_out}}}"}, node=tool_node),
        App(name="wf-llm", mode="workflow", inputs=(TEXT,), failures=always("plugin_daemon")),
        App(name="cf-echo", inputs=(LANG,), answer=ECHO),
        App(
            name="cf-http",
            answer="HTTP said {http.status_code}:\n{http.body}",
            node=http_node(seen["cf-http:streaming"]),
        ),
        failing("cf-fail", "advanced-chat", answer="never {http.body}"),
        App(name="cf-req", inputs=(LANG.model_copy(update={"required": True}),)),
        App(name="basic-chat", mode="chat", failures=always("plugin_daemon")),
        App(name="basic-agent", mode="agent-chat", failures=always("plugin_daemon")),
        App(name="basic-completion", mode="completion", failures=always("plugin_daemon")),
    ]
    return {app.name: app for app in apps}


APP_OF = {
    "params-with-user": "wf-http",
    "wf-missing-input": "wf-trivial",
    "wf-no-response_mode": "wf-trivial",
    "cf-req-missing": "cf-req",
    "run-detail-failed": "wf-fail",
    "err-completion-on-wf": "wf-trivial",
    "err-chat-on-wf": "wf-trivial",
    "err-wf-on-chat": "cf-echo",
    "err-toolong": "wf-short",
    "ok-emptystring": "wf-short",
    "stop-cf": "cf-http",
}
"""The app behind recordings whose name does not begin with the app's."""

LATER_TURNS = {"cf-turn2": 1, "cf-turn3-stream": 2, "cf-other-user-conv": 1}
"""Recordings in a conversation, and how many turns came before."""


def app_of(recording: Recording) -> str:
    """The name of the app a recording was made with."""
    name = recording.name.split(":")[0]
    if name in APP_OF:
        return APP_OF[name]
    if name in ("basic-chat", "basic-agent", "basic-completion") or name in apps_of("1.14.0"):
        return name
    if name.startswith("cf-"):
        return "cf-echo"
    return "wf-http" if name.startswith(("run-", "num-", "err-bad")) else "wf-trivial"


def supported() -> Iterator[Any]:
    """Every recording the stand-in claims to answer."""
    for version in VERSIONS:
        for name in recordings.service_api(version):
            if name not in UNSUPPORTED:
                yield pytest.param(version, name, id=f"{version}-{name}")


@pytest.fixture(scope="module")
def difys() -> Iterator[dict[Version, StandIn]]:
    """One stand-in per version, with the recorded apps."""
    quick: dict[str, Any] = {"linger_s": 0, "silence_s": 0}
    with (
        threaded(*apps_of("1.7.2").values(), version="1.7.2", **quick) as old,
        threaded(*apps_of("1.14.0").values(), version="1.14.0", **quick) as new,
    ):
        yield {"1.7.2": old, "1.14.0": new}


class Client:
    """Repeats recorded requests."""

    def __init__(self, dify: StandIn, app: App) -> None:
        """Talk to a stand-in with an app's key."""
        self._host = dify.host.removeprefix("http://")
        self._key = app.key

    def send(self, line: str, sent: Any, headers: Mapping[str, str] | None = None, raw: bytes | None = None) -> Any:
        """Send one request; gives status, headers and the body's bytes."""
        method, path = line.split(" ", 1)
        connection = HTTPConnection(self._host, timeout=10)
        given = {"authorization": f"Bearer {self._key}"} if headers is None else dict(headers)
        body = raw if raw is not None else json.dumps(sent).encode() if sent is not None else None
        if body is not None and headers is None:
            given["content-type"] = "application/json"
        connection.request(method, path, body=body, headers={n: v for n, v in given.items() if v})
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, read

    def repeat(self, recording: Recording) -> Any:
        """Send what was recorded, with the ids of this stand-in in the place of the recorded ones."""
        line, sent = recording.request or "", recording.sent
        if recording.name in ("run-detail", "run-detail-failed"):
            inputs = {"text": "hi", "n": 3, "kind": "a"} if recording.name == "run-detail" else {"text": "x"}
            _, _, body = self.send("POST /v1/workflows/run", {"inputs": inputs, "user": "user-1"})
            line = f"GET /v1/workflows/run/{json.loads(body)['workflow_run_id']}"
        if recording.name == "run-by-id":
            line = f"POST /v1/workflows/{App(name='wf-http', mode='workflow').workflow_id}/run"
        if turns := LATER_TURNS.get(recording.name, 0):
            sent = sent | {"conversation_id": self._conversation(turns)}
        return self.send(line, sent, *self._oddities(recording.name))

    def _conversation(self, turns: int) -> str:
        known = ""
        for _ in range(turns):
            ask = {"inputs": {}, "query": "one", "user": "user-1", "conversation_id": known}
            known = json.loads(self.send("POST /v1/chat-messages", ask)[2])["conversation_id"]
        return known

    def _oddities(self, name: str) -> tuple[Mapping[str, str] | None, bytes | None]:
        """Headers and bodies that the recordings do not hold, because their names tell."""
        kind, good = {"content-type": "application/json"}, {"authorization": f"Bearer {self._key}"}
        return {
            "err-badkey": (kind | {"authorization": "Bearer app-000000000000000000000000"}, None),
            "err-badkey-stream": (kind | {"authorization": "Bearer app-000000000000000000000000"}, None),
            "err-noauth": (kind, None),
            "err-nobearer": (kind | {"authorization": self._key}, None),
            "err-basic": (kind | {"authorization": "Basic dXNlcjpwYXNz"}, None),
            "err-nojson": (kind | good, b"{nope"),
            "err-emptybody": (kind | good, b""),
            "err-noct": (good, b'{"inputs": {}}'),
        }.get(name, (None, None))


def masked(value: Any, key: str = "") -> Any:
    """A JSON value with ids, times and measured seconds replaced by what they are."""
    if isinstance(value, dict):
        return {name: masked(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    if isinstance(value, str):
        if value.startswith("{") and key in ("inputs", "outputs"):
            return {"JSON text of": masked(json.loads(value))}
        return UUID.sub("<id>", value)
    if key in MEASURED or (isinstance(value, int) and value > EPOCH_S):
        return "<time>"
    return value


def ordered(value: Any) -> str:
    """JSON with the order of its keys."""
    return json.dumps(masked(value), ensure_ascii=False, indent=1)


SAME_NODE_OTHER_TEXT = ("run-by-id", "num-as-string")
"""Recordings whose HTTP node answered something else than in the stream its script was taken from."""


def saying(app: App, body: str) -> App:
    """An app whose node gives another body."""
    assert app.node
    node = app.node.model_copy(update={"outputs": app.node.outputs | {"body": body}})
    return app.model_copy(update={"node": node})


@pytest.mark.parametrize(("version", "name"), list(supported()))
def test_answers_as_recorded(difys: dict[Version, StandIn], version: Version, name: str) -> None:
    """Status, headers that matter, keys, types and texts are the recorded ones; ids, times and seconds may differ."""
    recording, dify = recordings.service_api(version)[name], difys[version]
    dify.reset()

    app = apps_of(version)[app_of(recording)]
    if name in SAME_NODE_OTHER_TEXT:
        app = saying(app, recording.body["data"]["outputs"]["body"])
    dify.put(app)

    status, headers, body = Client(dify, app).repeat(recording)

    assert status == recording.status
    assert {n: headers[n] for n in KEPT_HEADERS if n in headers} == {
        n: recording.headers[n] for n in KEPT_HEADERS if n in recording.headers
    }
    if recording.chunks:
        replayed = recording.model_copy(update={"chunks": ((0, body.decode()),)})
        assert [masked(event) for event in replayed.events] == [masked(event) for event in recording.events]
        assert list(replayed.events[-1]) == list(recording.events[-1])
    elif isinstance(recording.body, str):
        assert body.decode() == recording.body
    else:
        assert ordered(json.loads(body)) == ordered(recording.body)


def test_every_unsupported_recording_exists_and_the_rest_is_replayed() -> None:
    """No recording is left out by a misspelt name."""
    known = {name for version in VERSIONS for name in recordings.service_api(version)}

    assert set(UNSUPPORTED) <= known

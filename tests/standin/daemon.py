"""Starts the real plugin process and speaks its stdio protocol, as the plugin daemon does.

Like the daemon it kills the process for a line of more than 5 MiB. Unlike the daemon it also minds lines that are no
JSON (a `print` somewhere): leaving the block raises ProtocolBroken for either. Use it in a process that gevent has
not patched, and never as process 1: the plugin takes a parent with that id for its end.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.standin import parameters
from tests.standin.backwards import BackwardsRefused, Handler, check_permission, forbid
from tests.standin.invocation import Invocation, PluginDied, ToolError

LINE_BYTES = 5 * 1024 * 1024
START_S = 120.0
"""The daemon gives up on a plugin that has not sent a heartbeat by then."""
TAIL_LINES = 40


class ProtocolBroken(Exception):  # noqa: N818 - it says what happened.
    """The plugin wrote to stdout what the daemon cannot read."""


class PluginProcess:
    """A running plugin. Use it as a context manager; it is ready when the block begins."""

    def __init__(self, root: Path, *, python: str = sys.executable, env: Mapping[str, str] | None = None) -> None:
        """Start `python -m main` in a plugin's folder; `env` is added to this process's environment."""
        self._root = root
        self._invocations: dict[str, Invocation] = {}
        self._handlers: dict[str, Handler] = {}
        self._tools: dict[str, parameters.DeclaredTool] = {}
        self._lock = threading.Lock()
        # Of its own: a plugin busy writing does not read, and whoever reads what it writes needs the other lock.
        self._sending = threading.Lock()
        self._ready = threading.Event()
        self._stderr: list[str] = []
        self.manifest: dict[str, Any] = {}
        """The first line of the plugin."""
        self.heartbeats = 0
        self.beats_s: list[float] = []
        """`time.monotonic()` of each heartbeat."""
        self.notes: list[dict[str, Any]] = []
        """Its log events."""
        self.late: list[dict[str, Any]] = []
        """Backwards calls after their tool call had ended: Dify never answers those."""
        self.broken: list[str] = []
        """What was wrong on stdout; leaving the block raises it."""
        self._child = subprocess.Popen(
            [python, "-m", "main"],
            cwd=root,
            env={**os.environ, **(env or {}), "INSTALL_METHOD": "local"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._child.stdin
        assert self._child.stdout
        assert self._child.stderr
        self._stdin: IO[bytes] = self._child.stdin
        self._readers = [
            threading.Thread(target=self._read, args=(self._child.stdout,), name="plugin stdout", daemon=True),
            threading.Thread(target=self._read_stderr, args=(self._child.stderr,), name="plugin stderr", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        """Wait for the manifest and the first heartbeat."""
        if not self._ready.wait(START_S) or not self.heartbeats:
            self.kill()
            self._close()
            raise PluginDied(f"the plugin did not start:\n{self.stderr}")
        # Read once, as Dify keeps the declaration it got at installation.
        self._tools = parameters.declared_tools(self._root)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Kill it, and raise what it wrote wrongly unless the block failed anyway."""
        self.kill()
        self._close()
        if self.broken and kind is None:
            raise ProtocolBroken("\n".join(self.broken))

    @property
    def pid(self) -> int:
        """The process id; also its process group."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._child.poll() is None

    @property
    def stderr(self) -> str:
        """What it wrote to stderr."""
        return "".join(self._stderr)

    def on(self, kind: str, handler: Handler) -> None:
        """Answer backwards calls of a kind (app, llm, tool, storage, fetch_app, ...) with a function."""
        self._handlers[kind] = handler

    def invoke(
        self,
        tool: str,
        given: Mapping[str, Any],
        credentials: Mapping[str, Any],
        *,
        user_id: str = "user-1",
        conversation_id: str | None = None,
        app_id: str | None = None,
        pool: Mapping[str, Any] | None = None,
    ) -> Invocation:
        """Call a tool; parameters go through `parameters.prepare` with `pool` first. Does not wait."""
        declared = self._tools[tool]
        prepared = parameters.prepare(declared.yaml, given, pool or {})
        data = {
            "type": "tool",
            "action": "invoke_tool",
            "user_id": user_id,
            "provider": declared.provider,
            "tool": tool,
            "credentials": dict(credentials),
            "credential_type": "api-key",
            "tool_parameters": prepared,
        }
        return self.request(data, conversation_id=conversation_id, app_id=app_id)

    def validate_credentials(
        self, credentials: Mapping[str, Any], *, provider: str | None = None, user_id: str = "user-1"
    ) -> ToolError | None:
        """Let a provider check credentials; None if it accepts them. `provider` is the first one by default."""
        first = next(iter(self._tools.values()))
        data = {
            "type": "tool",
            "action": "validate_tool_credentials",
            "user_id": user_id,
            "provider": provider or first.provider,
            "credentials": dict(credentials),
        }
        call = self.request(data)
        answers = [message.content for message in call]
        if call.error is None and answers != [{"result": True}]:
            raise ProtocolBroken(f"neither accepted nor refused: {answers}")
        return call.error

    def request(
        self, data: Mapping[str, Any], *, conversation_id: str | None = None, app_id: str | None = None
    ) -> Invocation:
        """Send any request of the protocol; does not wait."""
        call = Invocation(uuid.uuid4().hex)
        with self._lock:
            self._invocations[call.session_id] = call
        line: dict[str, Any] = {
            "session_id": call.session_id,
            "conversation_id": conversation_id,
            "message_id": None,
            "app_id": app_id or str(uuid.uuid4()),
            "endpoint_id": None,
            "context": {"credentials": {"tool_credentials": {}}},
            "event": "request",
            "data": data,
        }
        self._send(line)
        return call

    def kill(self) -> None:
        """Kill the process and all it started, as the daemon does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()

    def pause(self) -> None:
        """Stop it in its tracks; it keeps its connections."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def _close(self) -> None:
        for reader in self._readers:
            reader.join()
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def _send(self, line: Mapping[str, Any]) -> None:
        try:
            with self._sending:
                self._stdin.write(json.dumps(line).encode() + b"\n")
                self._stdin.flush()
        except (BrokenPipeError, ValueError) as error:
            raise PluginDied(f"the plugin is gone:\n{self._tail()}") from error

    def _read(self, stdout: IO[bytes]) -> None:
        """Read lines until the plugin closes stdout, which ends it."""
        while line := stdout.readline(LINE_BYTES + 1):
            if len(line) > LINE_BYTES:
                self.broken.append(f"a line of more than {LINE_BYTES} bytes: {line[:200]!r}...")
                break
            if line.strip():
                self._take(line)
        self.kill()
        self._ready.set()
        # The last words of the process stand on stderr.
        self._readers[1].join()
        with self._lock:
            waiting = list(self._invocations.values())
        for call in waiting:
            call.die(f"the plugin ended with status {self._child.returncode}:\n{self._tail()}")

    def _read_stderr(self, stderr: IO[bytes]) -> None:
        self._stderr.extend(line.decode(errors="replace") for line in stderr)

    def _tail(self) -> str:
        return "".join(self._stderr[-TAIL_LINES:])

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            self.broken.append(f"not JSON: {line[:200]!r}")
            return
        if not self.manifest:
            self.manifest = message
            return
        match message.get("event"):
            case "heartbeat":
                self.heartbeats += 1
                self.beats_s.append(time.monotonic())
                self._ready.set()
            case "log":
                self.notes.append(message["data"])
            case "session":
                self._take_session(message["session_id"], message["data"])
            case _:
                self.broken.append(f"not of the protocol: {line[:200]!r}")

    def _take_session(self, session_id: str, message: dict[str, Any]) -> None:
        with self._lock:
            call = self._invocations.get(session_id)
            if message["type"] == "end":
                self._invocations.pop(session_id, None)
        if message["type"] != "invoke":
            if call:
                call.take(message["type"], message["data"])
        elif call:
            asked = message["data"]
            threading.Thread(target=self._answer, args=(call, asked), name="backwards call", daemon=True).start()
        else:
            self.late.append(message["data"])

    def _answer(self, call: Invocation, asked: dict[str, Any]) -> None:
        """Answer one backwards call: any number of responses, or an error, then the end."""

        def say(event: str, data: Mapping[str, Any] | None = None, message: str = "") -> None:
            reply = {"backwards_request_id": asked["backwards_request_id"], "event": event, "message": message}
            session = {"session_id": call.session_id, "event": "backwards_response"}
            self._send(session | {"data": reply | {"data": data}})

        with contextlib.suppress(PluginDied):
            handler = self._handlers.get(asked["type"], forbid)
            try:
                check_permission(self.manifest, asked["type"])
                answered = handler(asked["request"], call)
                for data in [answered] if isinstance(answered, Mapping) else answered:
                    say("response", data)
            except BackwardsRefused as error:
                say("error", message=str(error))
            except Exception as error:  # noqa: BLE001 - the plugin must not wait 250 s for a mistake of the test's.
                self.broken.append(f"the handler of {asked['type']} failed: {error!r}")
                say("error", message=repr(error))
            say("end")

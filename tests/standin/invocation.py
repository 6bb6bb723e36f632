"""One tool call as the plugin daemon sees it: messages as they arrive, and how it ended."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.standin.outputs import File, Outputs

WAIT_S = 60.0
"""How long the harness waits by default for something that must come."""


class PluginDied(Exception):  # noqa: N818 - it says what happened.
    """The plugin process ended while it owed an answer.

    Dify's callers learn nothing of it and hang until their own timeout; the harness says so at once.
    """


class Silent(Exception):  # noqa: N818 - it says what happened.
    """The plugin did not send what was waited for in time."""


@dataclass(frozen=True)
class Message:
    """One message of a tool."""

    type: str
    """text, json, variable, blob_chunk, log, ..."""
    content: dict[str, Any]
    meta: dict[str, Any] | None
    at_s: float
    """`time.monotonic()` of its arrival."""


@dataclass(frozen=True)
class ToolError:
    """How a tool failed: the node fails with these words."""

    error_type: str
    """The exception's class name."""
    message: str
    args: dict[str, Any]
    """Holds the traceback, which Dify shows to whoever debugs the workflow."""


@dataclass(frozen=True)
class Result:
    """A finished tool call, as a workflow sees it."""

    text: str
    variables: dict[str, Any]
    """Streamed ones are put together."""
    streamed: dict[str, list[str]]
    """The parts of each streamed variable, in order."""
    json: list[Any]
    files: list[File]
    logs: list[dict[str, Any]]
    error: ToolError | None
    """None if the node is green."""
    messages: list[Message]
    took_s: float


@dataclass
class Invocation:
    """A request to the plugin; iterate over it to get messages as they arrive."""

    session_id: str
    started_s: float = field(default_factory=time.monotonic)
    ended_s: float | None = None
    error: ToolError | None = None
    _messages: list[Message] = field(default_factory=list)
    _died: str = ""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def __iter__(self) -> Iterator[Message]:
        """Every message, the first ones included, until the call ends."""
        seen = 0

        def more() -> bool:
            return len(self._messages) > seen

        while True:
            with self._news:
                self._wait(lambda: more() or self.over, WAIT_S)
                if not more():
                    self._check_alive()
                    return
                message = self._messages[seen]
            seen += 1
            yield message

    @property
    def over(self) -> bool:
        """Whether the call ended, or the plugin died on it."""
        return self.ended_s is not None or bool(self._died)

    def wait_for(self, wanted: Callable[[Message], bool], timeout_s: float = WAIT_S) -> Message:
        """Wait for the first message of a kind; raises Silent if the call ends, or the time, without it."""
        with self._news:
            self._wait(lambda: self.over or any(map(wanted, self._messages)), timeout_s)
            found = next(filter(wanted, self._messages), None)
            if found is None:
                self._check_alive()
                raise Silent("the call ended without the message waited for")
            return found

    def result(self, timeout_s: float = WAIT_S) -> Result:
        """Wait for the end and do with the messages what Dify does.

        Raises:
            OutputRefused: For a message Dify does not accept.
            PluginDied: If the process ended first.
            Silent: If the call did not end in time.
        """
        with self._news:
            self._wait(lambda: self.over, timeout_s)
            self._check_alive()
        outputs = Outputs()
        for message in self._messages:
            outputs.take({"type": message.type, "message": message.content, "meta": message.meta})
        return Result(
            text=outputs.text,
            variables=outputs.variables,
            streamed=outputs.streamed,
            json=outputs.json,
            files=outputs.files,
            logs=outputs.logs,
            error=self.error,
            messages=list(self._messages),
            took_s=(self.ended_s or self.started_s) - self.started_s,
        )

    def take(self, kind: str, data: Any) -> None:
        """Take one message of the plugin: `stream`, `error` or `end`."""
        with self._news:
            if kind == "stream":
                # What is no tool message is the answer of another action, as {"result": true}.
                tool = isinstance(data, dict) and "type" in data
                content = (data.get("message") or {}) if tool else data
                meta = data.get("meta") if tool else None
                self._messages.append(Message(data["type"] if tool else "", content, meta, time.monotonic()))
            elif kind == "error":
                self.error = ToolError(data["error_type"], data["message"], data.get("args") or {})
            elif kind == "end":
                self.ended_s = time.monotonic()
            self._news.notify_all()

    def die(self, why: str) -> None:
        """Note that nothing will come any more."""
        with self._news:
            self._died = why if self.ended_s is None else ""
            self._news.notify_all()

    def _wait(self, until: Callable[[], bool], timeout_s: float) -> None:
        if not self._news.wait_for(until, timeout_s):
            raise Silent(f"nothing came for {timeout_s:g} s, {len(self._messages)} messages before")

    def _check_alive(self) -> None:
        if self._died:
            raise PluginDied(self._died)

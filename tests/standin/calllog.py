"""Who called which app, with what, and how many did so at the same time."""

import time
from collections import Counter, deque
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

KEPT_CALLS = 20_000
HIDDEN_HEADERS = {"authorization"}


class Call(BaseModel):
    """One call of an app, from its key being accepted to the last byte of its answer."""

    model_config = ConfigDict(extra="forbid")

    app: str
    number: int
    """From 1, per app, since the last reset."""
    started_s: float
    """`time.monotonic()`; on one machine comparable between processes."""
    ended_s: float | None = None
    """None while it runs."""
    in_flight: int
    """Calls of this app that ran when it began, itself included."""
    inputs: Any = None
    """As sent."""
    query: str = ""
    user: str = ""
    response_mode: str = ""
    """As sent; empty means blocking."""
    conversation_id: str = ""
    headers: dict[str, str] = {}
    """Lower case; without the key."""
    status: int = 0
    """HTTP status of the answer; 0 if none was sent."""
    outcome: str = ""
    """`succeeded`, how the run ended, the failure's kind, or the code of the refusal."""
    client_left: bool = False
    """Whether the client was gone when the answer was ready."""

    @property
    def took_s(self) -> float:
        """Seconds it ran; 0 while it runs."""
        return (self.ended_s or self.started_s) - self.started_s


class Log(BaseModel):
    """What the stand-in saw since the last reset."""

    calls: list[Call] = Field(default_factory=list)
    """In the order they began; the last 20,000."""
    counts: dict[str, int] = {}
    """Calls per app."""
    peaks: dict[str, int] = {}
    """Most calls of one app at a time."""
    peak: int = 0
    """Most calls at a time over all apps."""
    connections: int = 0
    """Connections accepted."""

    def of(self, app: str) -> list[Call]:
        """The calls of one app."""
        return [call for call in self.calls if call.app == app]


class CallLog:
    """The log being written. Not thread-safe: it lives in the server's loop."""

    def __init__(self) -> None:
        """Start empty."""
        self.connections = 0
        self._running: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget all calls that ended; calls that run are not in the new log, but still count as running."""
        self._calls: deque[Call] = deque(maxlen=KEPT_CALLS)
        self._counts: Counter[str] = Counter()
        self._peaks: Counter[str] = Counter()
        self._peak = 0
        self.connections = 0

    def begin(self, app: str, headers: dict[str, str]) -> Call:
        """Note that a call of an app begins."""
        self._running[app] += 1
        self._counts[app] += 1
        self._peaks[app] = max(self._peaks[app], self._running[app])
        self._peak = max(self._peak, self._running.total())
        call = Call(
            app=app,
            number=self._counts[app],
            started_s=time.monotonic(),
            in_flight=self._running[app],
            headers={name: value for name, value in headers.items() if name not in HIDDEN_HEADERS},
        )
        self._calls.append(call)
        return call

    def end(self, call: Call) -> None:
        """Note that it ended."""
        self._running[call.app] -= 1
        call.ended_s = time.monotonic()

    def snapshot(self) -> Log:
        """A copy that no longer changes."""
        return Log(
            calls=[call.model_copy() for call in list(self._calls)],
            counts=dict(self._counts),
            peaks=dict(self._peaks),
            peak=self._peak,
            connections=self.connections,
        )

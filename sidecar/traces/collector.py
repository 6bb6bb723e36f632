"""Posts packed spans to a collector: a few tries, a few seconds, and never a second time what it may have already."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from ensemble.http1.asking import locate, request_head
from ensemble.http1.connection import Connection, connect
from ensemble.http1.failures import Failed
from ensemble.http1.framing import Head
from ensemble.http1.lines import Deadline

__all__ = ["Collector", "NotTaken"]

TRY_S = 5.0
"""How long one try may take, connecting included."""
CONNECT_S = 2.0
MOST_TRIES = 3
PAUSE_S = 0.5
"""Before the second try; doubled before the next."""
LONGEST_PAUSE_S = 5.0
"""However long the collector asks us to wait."""
LOOK_S = 0.05
"""How often it is looked meanwhile whether there is still time to wait."""
MOST_ANSWER = 64 * 1024
AGAIN = frozenset({429, 502, 503, 504})
"""How a collector says that it has taken nothing and may take it later, by OTLP's word."""


_HINTS = dict.fromkeys((401, 403), ": see ENSEMBLE_OTLP_HEADERS") | dict.fromkeys(
    (404, 405), ": see ENSEMBLE_OTLP_ENDPOINT"
)


class NotTaken(Exception):  # noqa: N818 -- what the collector did, no fault of ours
    """The collector has not taken a request; the message says why, in a few words that hold nothing it was sent."""


@dataclass(frozen=True, slots=True)
class _No:
    """How one try failed."""

    why: str
    again: bool
    """Whether it may be tried again."""
    after_s: float | None = None
    """When, if the collector said so."""


class Collector:
    """One collector. Used by one thread, but for :meth:`hurry`."""

    def __init__(self, endpoint: str, headers: Mapping[str, str]) -> None:
        """Post to *endpoint*, and send *headers* along."""
        self._origin, self._path = locate(endpoint)
        self._fields = {"Content-Type": "application/x-protobuf", **headers}
        self._in_haste = False

    def hurry(self) -> None:
        """Try once from now on: the process is about to end. Takes no lock, for a signal's handler may call it."""
        self._in_haste = True

    def post(self, body: bytes) -> bytes:
        """Return what it says to a request that it took.

        Raises:
            NotTaken: it took none of it, or nobody knows.

        """
        pause_s = PAUSE_S
        for left in reversed(range(MOST_TRIES)):
            said = self._try(body)
            if isinstance(said, bytes):
                return said
            if not (left and said.again and self._paused(pause_s if said.after_s is None else said.after_s)):
                raise NotTaken(said.why)
            pause_s *= 2
        raise AssertionError("the last try returns or raises")

    def _try(self, body: bytes) -> bytes | _No:
        connection: Connection | None = None
        try:
            line = Deadline(time.monotonic() + TRY_S)
            connection = connect(self._origin, line, CONNECT_S)
            head, answer = self._ask(connection, body, line)
        except Failed as failed:
            # What was sent whole may have been taken, though nobody said so.
            return _No(f"no answer ({failed.why})", again=connection is None or not connection.sent)
        finally:
            if connection is not None:
                connection.close()
        if head.status < HTTPStatus.MULTIPLE_CHOICES:
            return answer
        hint = _HINTS.get(head.status, "")
        return _No(f"HTTP {head.status}{hint}", again=head.status in AGAIN, after_s=_asked_for(head))

    def _paused(self, seconds: float) -> bool:
        """Wait so long, and return whether there is time for another try."""
        until = time.monotonic() + seconds
        while not self._in_haste and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_S))  # an event would have a lock
        return not self._in_haste

    def _ask(self, connection: Connection, body: bytes, line: Deadline) -> tuple[Head, bytes]:
        head = connection.ask(request_head("POST", self._origin, self._path, self._fields, len(body)), body, line)
        answer = bytearray()
        while len(answer) < MOST_ANSWER and (piece := connection.read()):
            answer += piece
        return head, bytes(answer)


def _asked_for(head: Head) -> float | None:
    """Return how long the collector wants us to wait, within reason, if it says so in seconds."""
    told = head.fields.get("retry-after", "")
    return min(float(told), LONGEST_PAUSE_S) if told.isascii() and told.isdecimal() else None

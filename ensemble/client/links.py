"""Connections to sidecars: kept open, short of patience, and not trusted once one of them fell silent.

Exchanges stand between one step of a run and the next, so what it takes to send one is what a chain takes longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ensemble.http1.asking import locate, request_head
from ensemble.http1.connection import Connection, connect
from ensemble.http1.failures import Failed, Why
from ensemble.http1.idle import Idle
from ensemble.http1.lines import Patience
from ensemble.http1.passage import Passage

__all__ = ["CONNECT_S", "READ_S", "Answered", "Links", "Unanswered"]

CONNECT_S = 0.5
READ_S = 2.0
"""How long one request waits for its connection and for each piece of its answer, seconds."""
IDLE_S = 60.0
"""How long a connection may lie idle and still be used again: the sidecar closes its own after 75 s."""
_LONGEST_BODY = 64 * 1024 * 1024
"""More than any sidecar answers; whatever sends more is none."""


class Unanswered(Exception):  # noqa: N818 -- it says what happened
    """Nobody answered; the message says why, without anything of the request."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back."""

    status: int
    fields: Mapping[str, str]
    """Header fields by their names in small letters."""
    body: bytes


class Links:
    """Keeps connections open, by the sidecar they lead to."""

    def __init__(self, connect_s: float = CONNECT_S, read_s: float = READ_S, certificates: bytes = b"") -> None:
        """Wait so long for a connection, and for each piece of an answer, seconds.

        *certificates* are trusted besides the system's, as :func:`~ensemble.http1.trust.certificates_in` returns them. No
        proxy is gone through: a sidecar stands beside its clients.
        """
        self._passage = Passage(certificates)
        self.connect_s = connect_s
        self.read_s = read_s
        self._idle = Idle(IDLE_S)

    def ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None, wait_s: float = 0.0
    ) -> Answered:
        """Send one request and return its answer.

        Args:
            method: such as ``POST``.
            url: http or https.
            fields: header fields; Host and Content-Length are added.
            body: what is sent; None for nothing.
            wait_s: how much longer than usual each piece of the answer may take.

        Raises:
            Unanswered: there was no answer, or not a whole one. The request may have been received all the same.

        """
        patience_s = self.read_s + wait_s
        with self._told(patience_s):
            origin, path = locate(url)
            head = request_head(method, origin, path, fields, None if body is None else len(body))
            line = Patience(patience_s)
            connection = self._idle.take(origin) or connect(origin, line, self.connect_s, self._passage)
            try:
                answer = connection.ask(head, body, line)
                answered = Answered(answer.status, answer.fields, _whole(connection))
            except Failed:
                connection.close()
                # What lies idle leads where this one led: a stopped worker, or a way that is gone. The next one is new.
                self._idle.distrust(origin)
                raise
            except BaseException:  # also a greenlet's end: half an answer must not become the next one's
                connection.close()
                raise
        if connection.reusable:
            self._idle.give(connection)
        else:
            connection.close()
        return answered

    @contextmanager
    def follow(self, method: str, url: str, fields: Mapping[str, str]) -> Iterator[tuple[Answered, Iterator[bytes]]]:
        """Send one request; give the head of its answer, without a body, and the body as it comes.

        Raises:
            Unanswered: as :meth:`ask`, also in the middle.

        """
        with self._told(self.read_s):
            origin, path = locate(url)
            head = request_head(method, origin, path, fields, None)
            line = Patience(self.read_s)
            connection = connect(origin, line, self.connect_s, self._passage)
            try:
                answer = connection.ask(head, None, line)
                yield Answered(answer.status, answer.fields, b""), iter(connection.read, b"")
            finally:
                connection.close()

    @contextmanager
    def _told(self, patience_s: float) -> Iterator[None]:
        """Put into words what happens within."""
        try:
            yield
        except Failed as failed:
            words = _WORDS[failed.why].format(connect_s=self.connect_s, patience_s=patience_s)
            raise Unanswered(words) from None


_WORDS = {
    Why.UNSENDABLE: "its address, or a header field, holds what HTTP has no way to send",
    Why.UNKNOWN_NAME: "its host name is not known here",
    Why.NOBODY: "nothing listens there",
    Why.NOT_IN_TIME: "no connection within {connect_s:g} s",
    Why.NO_TLS: "its certificate is not trusted here, nor among the CA certificates given, or it does not speak TLS",
    # Nobody goes through one here.
    **dict.fromkeys((Why.NO_PROXY, Why.PROXY_LOGIN, Why.PROXY_REFUSED), "a proxy is in the way"),
    Why.SILENCE: "no answer within {patience_s:g} s",
    Why.BROKEN: "the connection broke",
    Why.UNPACKABLE: "its answer can't be unpacked",
}


def _whole(connection: Connection) -> bytes:
    """Return the whole body. Raises Failed."""
    pieces: list[bytes] = []
    length = 0
    while piece := connection.read():
        pieces.append(piece)
        length += len(piece)
        if length > _LONGEST_BODY:
            raise Failed(Why.BROKEN)
    return b"".join(pieces)

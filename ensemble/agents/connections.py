"""HTTP connections to Dify: kept while fresh, bounded in time and size, ended from outside at once.

One :class:`Connections` serves a whole process. A request is never repeated and never redirected; who asked decides
about both. A call's deadline bounds everything: connecting, sending, and every single read, headers included, so that
a server which sends a byte a second can't stretch it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ensemble.agents.port import CallScope
from ensemble.http1.asking import Origin, locate, request_head
from ensemble.http1.connection import Connection, connect
from ensemble.http1.failures import Failed, Why
from ensemble.http1.framing import Head
from ensemble.http1.idle import Idle
from ensemble.http1.lines import Deadline
from ensemble.http1.passage import DIRECT, Passage

__all__ = ["MAX_BODY_BYTES", "Connections", "NoAnswer", "Response"]

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The longest body that is read whole, unpacked."""
CONNECT_TIMEOUT_S = 5.0
IDLE_S = 1.5
"""How long a connection may lie idle and still be used again.

Dify's server (gunicorn) closes idle connections after 2 s, and a request written into one just closed is lost without a
trace, so ours are given up before.
"""


class NoAnswer(Exception):  # noqa: N818 - what the caller learns, not a fault of ours
    """No whole answer came; the message tells why and holds no key."""

    def __init__(self, words: str, *, sent: bool, too_large: bool = False, misconfigured: bool = False) -> None:
        """Take what happened in *words*, and whether the request had been *sent* in full.

        *misconfigured*: it will happen again until somebody has changed a setting.
        """
        super().__init__(words)
        self.sent = sent
        self.too_large = too_large
        self.misconfigured = misconfigured


class Response:
    """An answer whose body is being read."""

    def __init__(self, head: Head, connection: Connection, line: Deadline) -> None:
        """Wrap what came; made by :meth:`Connections.send` only."""
        self.status = head.status
        self.headers = head.fields
        """By their names in small letters."""
        self._connection = connection
        self._line = line

    def read(self) -> bytes:
        """Return what came next, unpacked, at most 64 KiB; nothing once the body is whole.

        Raises:
            NoAnswer: the connection broke, the deadline passed, or the call was cancelled.

        """
        try:
            return self._connection.read()
        except Failed as failed:
            raise _no_answer(failed, self._connection.origin, sent=self._connection.sent) from failed

    def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """Return the whole body.

        Raises:
            NoAnswer: as :meth:`read`; also if the body is longer than *limit* bytes.

        """
        body = bytearray()
        while chunk := self.read():
            body += chunk
            if len(body) > limit:
                host = self._connection.origin.authority
                words = f"{host} sent an answer of more than {limit // 2**20} MiB, more than is read."
                raise NoAnswer(words, sent=True, too_large=True)
        return bytes(body)

    def wait_at_most(self, seconds: float) -> None:
        """Bring the deadline forward: reads fail once *seconds* have passed."""
        self._line.within(seconds)


class Connections:
    """A process's connections, by server. No proxy of the environment's is gone through: it is Dify's daemon's."""

    def __init__(self, passage: Passage = DIRECT) -> None:
        """Begin with none; reach servers by *passage*."""
        self._passage = passage
        self._idle = Idle(IDLE_S)

    @contextmanager
    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, scope: CallScope
    ) -> Iterator[Response]:
        """Send a request and give the answer as soon as its headers are there.

        A body that is not read to its end on leaving takes its connection with it.

        Raises:
            NoAnswer: no answer came within ``scope.left_s()``, or the call was cancelled.

        """
        origin: Origin | None = None
        connection: Connection | None = None
        line = Deadline(scope.deadline)
        scope.on_cancel(line.cut)
        try:
            try:
                origin, path = locate(url)
                if scope.left_s() <= 0:
                    raise NoAnswer(f"No time was left to call {origin.authority}.", sent=False)
                target, fields = self._passage.asked(origin, path, headers)
                head = request_head(method, origin, target, fields, None if body is None else len(body))
                connection = self._idle.take(origin) or connect(origin, line, CONNECT_TIMEOUT_S, self._passage)
                answer = connection.ask(head, body, line)
                self._passage.heed(origin, answer.status)
            except Failed as failed:
                sent = connection is not None and connection.sent and failed.why is not Why.PROXY_LOGIN
                raise _no_answer(failed, origin, sent=sent, passage=self._passage) from failed
            yield Response(answer, connection, line)
            line.release()
            if connection.reusable:
                self._idle.give(connection)
                connection = None
        finally:
            line.release()
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """Close every connection that lies idle."""
        self._idle.close()


_WORDS = {
    Why.UNSENDABLE: "{host} can't be asked: the address, or a header field, holds what HTTP has no way to send.",
    Why.UNKNOWN_NAME: "The name {host} is not known. Check the base URL.",
    Why.NOBODY: "{host} accepts no connections. Check the base URL and the server.",
    Why.NOT_IN_TIME: "{host} did not accept a connection in time.",
    Why.NO_TLS: "{host} could not prove who it is (TLS). Check that the base URL begins rightly, http or https; the certificate of "
    "an authority of your own has to be among the CA certificates.",
    Why.NO_PROXY: "The proxy {proxy} can't be reached, or is no HTTP proxy. Check the proxy's URL.",
    Why.PROXY_LOGIN: "The proxy {proxy} wants a user name and a password, or others (HTTP 407). Write them into "
    "Proxy URL: http://user:password@host:port.",
    Why.PROXY_REFUSED: "The proxy {proxy} does not lead to {host} (HTTP {status}). Check the base URL, and what the "
    "proxy allows.",
    Why.SILENCE: "{host} did not answer in time.",
    Why.BROKEN: "{host} closed the connection without a whole answer.",
    Why.UNPACKABLE: "{host} sent a body that can't be unpacked.",
}
_SETTINGS = {Why.UNSENDABLE, Why.PROXY_LOGIN}
"""What happens again until somebody has changed a setting."""


def _no_answer(failed: Failed, origin: Origin | None, *, sent: bool, passage: Passage = DIRECT) -> NoAnswer:
    """Put into words what happened; an address that is none is not repeated, for it may hold anything."""
    host = "The server" if origin is None else origin.authority
    proxy = "" if passage.proxy is None else passage.proxy.origin.authority
    words = _WORDS[failed.why].format(host=host, proxy=proxy, status=failed.status)
    return NoAnswer(words, sent=sent, misconfigured=failed.why in _SETTINGS)

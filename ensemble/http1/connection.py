"""One connection to a server, and the answer that is being read from it."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

from ensemble.http1.asking import Origin
from ensemble.http1.failures import Failed, Why, failed
from ensemble.http1.framing import Head, Incoming
from ensemble.http1.lines import Line, Sooner
from ensemble.http1.passage import DIRECT, Passage, Proxy
from ensemble.http1.streams import Plain, Stream, Tls
from ensemble.http1.trust import trust
from ensemble.http1.tunnel import dig
from ensemble.http1.unpacking import unpacked

__all__ = ["Connection", "connect"]


class Connection:
    """An open connection: a request goes out, its answer is read piece by piece, and so on."""

    def __init__(self, origin: Origin, stream: Stream, line: Line) -> None:
        """Speak to *origin* over *stream*; made by :func:`connect`."""
        self.origin = origin
        self.sent = False
        """Whether the last request was sent in full."""
        self._way = _Way(stream, line)
        self._incoming = Incoming(self._way.receive)
        self._body: Iterator[bytes] = iter(())
        self._whole = self._sound = self._stays_open = False

    def ask(self, head: bytes, body: bytes | None, line: Line) -> Head:
        """Send a request, and return the head of its answer. Raises Failed."""
        self._whole = self._sound = self.sent = False
        self._way.line = line
        self.sent = self._way.send(head + body if body else head)
        answer = self._incoming.head()
        self._body = unpacked(answer.fields.get("content-encoding", ""), self._incoming.body(answer))
        self._stays_open, self._sound = answer.stays_open, True
        return answer

    def read(self) -> bytes:
        """Return what came next of the body, unpacked, at most 64 KiB; nothing once it is whole. Raises Failed."""
        if not self._sound:  # Whatever ended a read before, its rest must not look like the end of the body.
            raise Failed(Why.BROKEN)
        self._sound = False
        piece = next(self._body, b"")
        self._sound, self._whole = True, not piece
        return piece

    @property
    def used_at(self) -> float:
        """When something came last, by the monotonic clock."""
        return self._way.used_at

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the answer was read to its end, and the server does not close."""
        return self._whole and self._stays_open and self._incoming.empty

    def lives(self) -> bool:
        """Whether the server has neither closed it nor said something unasked. Does not wait, nor let others run."""
        return self._way.stream.quiet()

    def close(self) -> None:
        """Close it."""
        self._way.stream.sock.close()


class _Way:
    """Where a connection's bytes go and come from. Knows nothing of the connection, so that no circle outlives it."""

    def __init__(self, stream: Stream, line: Line) -> None:
        self.stream = stream
        self.line = line
        self.used_at = 0.0

    def send(self, content: bytes) -> bool:
        """Send it, and return whether all of it went; a server may answer, and close, before it has read everything."""
        try:
            self.line.hold(self.stream.sock)
            self.stream.send(content, self.line)
        except (BrokenPipeError, ConnectionResetError):
            return False
        except OSError as error:
            raise failed(error) from error
        return True

    def receive(self) -> bytes:
        """Return what comes next, nothing at the end."""
        try:
            piece = self.stream.receive(self.line)
        except OSError as error:
            raise failed(error) from error
        self.used_at = time.monotonic()
        return piece


def connect(origin: Origin, line: Line, within_s: float, passage: Passage = DIRECT) -> Connection:
    """Return a new connection.

    Every address of the host, or of the proxy on the way, gets *within_s* seconds, and so do the proxy to lead on and the
    agreement on TLS; looking the name up takes what the system allows it to.

    Raises:
        Failed: there is none.

    """
    proxy = passage.proxy_to(origin)
    sock = _reach(origin, line, within_s) if proxy is None else _reach_proxy(proxy, line, within_s)
    try:
        if not origin.tls:
            return Connection(origin, Plain(sock), line)
        if proxy is not None:
            dig(sock, proxy, origin, Sooner(line, within_s))
        stream = Tls(sock, origin.host, trust(passage.certificates))
        stream.shake_hands(Sooner(line, within_s))
        return Connection(origin, stream, line)
    except BaseException as error:
        sock.close()
        match error:
            case TimeoutError():
                raise Failed(Why.NOT_IN_TIME) from error
            case ssl.SSLError() | ValueError():
                raise Failed(Why.NO_TLS) from error
            case OSError():
                raise Failed(Why.BROKEN) from error
            case _:
                raise


def _reach_proxy(proxy: Proxy, line: Line, within_s: float) -> socket.socket:
    try:
        return _reach(proxy.origin, line, within_s)
    except Failed as failed:
        raise (failed if failed.why is Why.BROKEN else Failed(Why.NO_PROXY)) from failed.__cause__


def _reach(origin: Origin, line: Line, within_s: float) -> socket.socket:
    """Return a socket that is connected to the first address of the host that accepts it. Raises Failed."""
    try:
        line.left_s()
        line.hold(None)
        addresses = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise Failed(Why.NOT_IN_TIME) from error
    except ConnectionAbortedError as error:
        raise Failed(Why.BROKEN) from error
    except (OSError, UnicodeError) as error:
        raise Failed(Why.UNKNOWN_NAME) from error
    last: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        try:
            return _connected(socket.socket(family, kind, protocol), address, line, within_s)
        except OSError as error:
            last = error
    match last:
        case ConnectionAbortedError():
            why = Why.BROKEN
        case TimeoutError():
            why = Why.NOT_IN_TIME
        case _:
            why = Why.NOBODY
    raise Failed(why) from last


def _connected(sock: socket.socket, address: tuple[Any, ...], line: Line, within_s: float) -> socket.socket:
    try:
        line.hold(sock)
        sock.settimeout(min(within_s, line.left_s()))
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock

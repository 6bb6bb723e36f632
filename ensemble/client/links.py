"""Connections to sidecars: HTTP/1.1 over sockets that are kept open, one send per request.

Exchanges stand between one step of a run and the next, so what it takes to send one is what a chain takes longer. A
general client spends more time on a request than the sidecar does on its answer; this one knows no redirects, proxies,
cookies, retries or compression, none of which a sidecar needs. It takes no proxy from the environment either, which the
plugin inherits from Dify's daemon.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

__all__ = ["CONNECT_S", "READ_S", "Answered", "Link", "Links", "Unanswered"]

CONNECT_S = 0.5
READ_S = 2.0
"""How long one request waits for its connection and for each piece of its answer, seconds."""
_KEPT_OPEN = 64
"""Connections kept per sidecar: as many as runs that exchange at one moment."""
_PIECE = 65536
_LONGEST_HEAD = 65536


class Unanswered(Exception):  # noqa: N818 -- it says what happened
    """Nobody answered; the message says why, without anything of the request."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back."""

    status: int
    head: bytes
    """Status line and header fields as they were sent, without the empty line."""
    body: bytes

    def field(self, name: str) -> str:
        """Return a header field of this name, in small letters; empty where there is none."""
        return _field(self.head.lower(), name)


class Links:
    """Keeps connections open, by the sidecar they lead to."""

    def __init__(self, connect_s: float = CONNECT_S, read_s: float = READ_S) -> None:
        """Wait so long for a connection, and for each piece of an answer, seconds."""
        self.connect_s = connect_s
        self.read_s = read_s
        self._idle: dict[str, deque[Link]] = {}

    def ask(self, method: str, url: str, headers: str, body: bytes | None, wait_s: float = 0.0) -> Answered:
        """Send one request and return its answer.

        Args:
            method: such as ``POST``.
            url: http or https, quoted.
            headers: header fields, each ended by CR LF; Host and Content-Length are added.
            body: what is sent; None for nothing.
            wait_s: how much longer than usual each piece of the answer may take.

        Raises:
            Unanswered: there was no answer, or not a whole one. The request may have been received all the same.

        """
        origin, path = _split(url)
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle.setdefault(origin, deque(maxlen=_KEPT_OPEN))
        link = _living(idle) or Link(origin, self.connect_s)
        try:
            answered = link.ask(method, path, headers, body, self.read_s + wait_s)
        except Unanswered:
            link.close()
            # What lies idle leads where this one led: a stopped worker, or a way that is gone. The next one is new.
            self._idle.pop(origin, None)
            raise
        except BaseException:  # also a greenlet's end: half an answer must not become the next one's
            link.close()
            raise
        if link.stays_open:
            idle.append(link)
        else:
            link.close()
        return answered

    @contextmanager
    def follow(self, method: str, url: str, headers: str) -> Iterator[tuple[Answered, Iterator[bytes]]]:
        """Send one request; give the head of its answer, without a body, and the body as it comes.

        Raises:
            Unanswered: as :meth:`ask`, also in the middle.

        """
        origin, path = _split(url)
        link = Link(origin, self.connect_s)
        try:
            yield Answered(*link.begin(method, path, headers, None, self.read_s), b""), link.pieces()
        finally:
            link.close()


class Link:
    """One connection."""

    def __init__(self, origin: str, connect_s: float) -> None:
        """Connect. Raises Unanswered."""
        parts = urlsplit(origin)
        self._host = parts.netloc.rpartition("@")[2]
        self._came = bytearray()
        self._fields = b""
        self._read_s = 0.0
        self.stays_open = False
        tls = parts.scheme == "https"
        try:
            port = parts.port or (443 if tls else 80)
            self._sock = socket.create_connection((parts.hostname or "", port), connect_s)
        except (socket.gaierror, UnicodeError):
            raise Unanswered("its host name is not known here") from None
        except TimeoutError:
            raise Unanswered(f"no connection within {connect_s:g} s") from None
        except (OSError, ValueError):
            raise Unanswered("nothing listens there") from None
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self._sock = _tls.context.wrap_socket(self._sock, server_hostname=parts.hostname)
        except OSError as error:
            self._sock.close()
            raise Unanswered(_reason(error, connect_s)) from None

    def ask(self, method: str, path: str, headers: str, body: bytes | None, read_s: float) -> Answered:
        """Send one request and return its answer. Raises Unanswered."""
        status, head = self.begin(method, path, headers, body, read_s)
        return Answered(status, head, b"".join(self.pieces()))

    def begin(self, method: str, path: str, headers: str, body: bytes | None, read_s: float) -> tuple[int, bytes]:
        """Send one request and return status and head of its answer. Raises Unanswered."""
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept-Encoding: identity\r\n{headers}{length}\r\n"
        self._read_s = read_s
        try:
            self._sock.settimeout(read_s)
            self._sock.sendall(head.encode() + (body or b""))
            return self._head()
        except (OSError, ValueError) as error:
            raise Unanswered(_reason(error, read_s)) from None

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes. Raises Unanswered."""
        try:
            if "chunked" in _field(self._fields, "transfer-encoding"):
                while size := int(self._line().partition(b";")[0], 16):
                    yield self._take(size)
                    self._line()
                while self._line():  # trailers
                    pass
            elif length := _field(self._fields, "content-length"):
                yield self._take(int(length))
            else:
                self.stays_open = False
                yield bytes(self._came)
                while piece := self._sock.recv(_PIECE):
                    yield piece
        except (OSError, ValueError) as error:
            raise Unanswered(_reason(error, self._read_s)) from None

    def lives(self) -> bool:
        """Whether the other side has neither closed it nor said something unasked."""
        try:
            self._sock.settimeout(0.0)
            self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def __del__(self) -> None:
        """Close what nobody can use any more; a connection that failed has no socket."""
        if hasattr(self, "_sock"):
            self._sock.close()

    def _head(self) -> tuple[int, bytes]:
        """Read the head of an answer. Raises OSError, ValueError: it broke off, or is no HTTP."""
        while (end := self._came.find(b"\r\n\r\n")) < 0:
            if len(self._came) > _LONGEST_HEAD:
                raise ValueError("no head of an answer")
            self._more()
        head = bytes(self._came[:end])
        del self._came[: end + 4]
        if not head.startswith(b"HTTP/1."):
            raise ValueError("no HTTP")
        self._fields = head.lower()
        self.stays_open = head.startswith(b"HTTP/1.1") and "close" not in _field(self._fields, "connection")
        return int(head[9:12]), head

    def _line(self) -> bytes:
        while (end := self._came.find(b"\r\n")) < 0:
            if len(self._came) > _LONGEST_HEAD:
                raise ValueError("no line of an answer")
            self._more()
        line = self._take(end)
        self._take(2)
        return line

    def _take(self, length: int) -> bytes:
        if length < 0:
            raise ValueError("a length below zero")
        while len(self._came) < length:
            self._more()
        taken = bytes(self._came[:length])
        del self._came[:length]
        return taken

    def _more(self) -> None:
        piece = self._sock.recv(_PIECE)
        if not piece:
            raise ConnectionError("the connection broke")
        self._came += piece


class _Tls:
    """The trust in certificates that every connection shares; loading it takes milliseconds."""

    @cached_property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context()


_tls = _Tls()


def _split(url: str) -> tuple[str, str]:
    """Return scheme and host of *url*, and its path."""
    slash = url.find("/", url.find("//") + 2)
    return (url, "/") if slash < 0 else (url[:slash], url[slash:])


def _living(idle: deque[Link]) -> Link | None:
    """Return the connection used last that is still open."""
    while True:
        try:
            link = idle.pop()
        except IndexError:
            return None
        if link.lives():
            return link
        link.close()


def _field(fields: bytes, name: str) -> str:
    """Return a header field out of a head in small letters."""
    _, found, after = fields.partition(f"\r\n{name}:".encode())
    return after.partition(b"\r\n")[0].strip().decode("latin-1") if found else ""


def _reason(error: OSError | ValueError, waited_s: float) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {waited_s:g} s"
        case ssl.SSLError():
            return "its certificate is not trusted here, or it does not speak TLS"
        case _:
            return "the connection broke"

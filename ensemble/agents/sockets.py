"""The connections underneath: fresh ones only, read against one deadline, cut off from another thread at will.

Dify's server (gunicorn) closes idle connections after 2 s, and a request written into one just closed is lost without a
trace, so ours are given up before.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from ensemble.agents.port import CallScope

__all__ = ["CURRENT", "POOLS", "Line"]

IDLE_S = 1.5
"""How long a connection may lie idle and still be used again."""


class Line:
    """One request's hold on its connection: the deadline of its reads, and the way to cut it off from outside."""

    def __init__(self, scope: CallScope) -> None:
        self.deadline = scope.deadline
        self.sent = False
        self._lock = threading.Lock()
        self._connection: HTTPConnection | None = None
        self._sock: Any = None
        self._cut = False

    def left_s(self) -> float:
        """Return the seconds until the deadline; negative once it has passed."""
        return self.deadline - time.monotonic()

    def hold(self, connection: HTTPConnection) -> None:
        """Take hold of the connection in use.

        Raises:
            ConnectionAbortedError: the request has been cut off meanwhile.

        """
        with self._lock:
            self._connection = connection
            if self._cut:
                raise ConnectionAbortedError

    def answering(self, sock: Any) -> None:
        """Take the socket the answer comes from; the connection forgets it where the server wants to close it."""
        with self._lock:
            self._sock = sock

    def cut(self) -> None:
        """End the request: whoever waits on the socket wakes at once."""
        with self._lock:
            self._cut = True
            sock = self._sock or (self._connection.sock if self._connection is not None else None)
            if isinstance(sock, socket.socket):
                with suppress(OSError):
                    # Not SSLSocket's own: that one takes the session away from under the reader.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def release(self) -> None:
        """Let go, so that a late :meth:`cut` can't hit the connection's next request."""
        with self._lock:
            self._connection = self._sock = None


CURRENT: ContextVar[Line | None] = ContextVar("ensemble_http_line", default=None)
"""The request being made in this thread or greenlet; urllib3 has no way to hand it to the connection."""


class _TimedReads(io.RawIOBase):
    """Reads a socket with the time that is left of the whole call, not a fresh timeout for each read."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, connection: _Fresh) -> None:
        self._raw = raw
        self._sock = sock
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        line = self._connection.line
        left = line.left_s() if line is not None else 0.0
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self._connection.used_at = time.monotonic()
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Fresh(HTTPConnection):
    """A connection that knows when it was used last, and reads against its request's deadline."""

    line: Line | None = None
    used_at = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.response_class = self._response  # type: ignore[assignment]  # http.client only calls it

    @property
    def is_connected(self) -> bool:
        """Whether the pool may use it again."""
        return super().is_connected and time.monotonic() - self.used_at < IDLE_S

    def connect(self) -> None:
        self._hold()
        super().connect()
        self._hold()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._hold()
        super().request(*args, **kwargs)
        if self.line is not None:
            self.line.sent = True

    def _hold(self) -> None:
        self.line = CURRENT.get()
        if self.line is not None:
            self.line.hold(self)

    def _response(self, sock: Any, *args: Any, **kwargs: Any) -> http.client.HTTPResponse:
        if self.line is not None:
            self.line.answering(sock)
        response = http.client.HTTPResponse(sock, *args, **kwargs)
        raw: Any = response.fp.detach()
        response.fp = io.BufferedReader(_TimedReads(raw, sock, self))
        return response


class _FreshTLS(_Fresh, HTTPSConnection):
    """The same over TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Fresh


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _FreshTLS


POOLS = {"http": _Pool, "https": _TLSPool}
"""The pools to be used, by scheme."""

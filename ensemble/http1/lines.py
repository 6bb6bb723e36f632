"""How long a request may wait, and how it is cut off from outside."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Protocol

__all__ = ["Deadline", "Line", "Patience", "Sooner"]


class Line(Protocol):
    """One request's hold on its connection: everything that waits asks it how long."""

    def left_s(self) -> float:
        """Return the seconds the next wait may take, more than none. Raises TimeoutError: there are none left."""

    def hold(self, sock: socket.socket | None) -> None:
        """Take hold of the socket in use; None where there is none. Raises ConnectionAbortedError: it is cut off."""


class Patience:
    """So many seconds for each piece, however many come; nobody cuts it off."""

    def __init__(self, piece_s: float) -> None:
        """Wait *piece_s* seconds for each piece."""
        self._piece_s = piece_s

    def left_s(self) -> float:
        """Return the same again and again."""
        return self._piece_s

    def hold(self, sock: socket.socket | None) -> None:
        """Do nothing with it."""


class Deadline:
    """One deadline for everything, and the way to cut the request off; safe from several threads or greenlets."""

    def __init__(self, at: float) -> None:
        """End *at* this time of the monotonic clock."""
        self._at = at
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._cut = False

    def left_s(self) -> float:
        """Return the seconds until the deadline. Raises TimeoutError: it has passed."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def within(self, seconds: float) -> None:
        """Bring the deadline forward to *seconds* from now, unless it comes before."""
        self._at = min(self._at, time.monotonic() + seconds)

    def hold(self, sock: socket.socket | None) -> None:
        """Take hold of the socket in use. Raises ConnectionAbortedError: the request has been cut off."""
        with self._lock:
            self._sock = sock
            if self._cut:
                raise ConnectionAbortedError

    def cut(self) -> None:
        """End the request: whoever waits on the socket wakes at once."""
        with self._lock:
            self._cut = True
            if self._sock is not None:
                with suppress(OSError):
                    self._sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Let go, so that a late :meth:`cut` can't hit the connection's next request."""
        with self._lock:
            self._sock = None


class Sooner:
    """Another line with a deadline of its own before it: so much of a request's time is for connecting."""

    def __init__(self, line: Line, within_s: float) -> None:
        """End *within_s* seconds from now, or with *line*."""
        self._line = line
        self._own = Deadline(time.monotonic() + within_s)

    def left_s(self) -> float:
        """Return the seconds until the earlier of the two. Raises TimeoutError: it has passed."""
        return min(self._own.left_s(), self._line.left_s())

    def hold(self, sock: socket.socket | None) -> None:
        """Let the other one take hold of it. Raises ConnectionAbortedError: it is cut off."""
        self._line.hold(sock)

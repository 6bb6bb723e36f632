"""The connections that lie idle, by the server they lead to; safe from several threads or greenlets at once."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable

from ensemble.http1.asking import Origin
from ensemble.http1.connection import Connection

__all__ = ["Idle"]


class Idle:
    """Keeps connections for the next request to the same server, for a while."""

    def __init__(self, idle_s: float, most: int = 64) -> None:
        """Keep *most* of them for each server, and none that was not used for *idle_s* seconds."""
        self._idle_s = idle_s
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[Origin, deque[Connection]] = {}
        self._swept_at = time.monotonic()
        # Whoever drops a set of connections need not close it, nor whoever ends the process.
        weakref.finalize(self, _close_all, self._kept)

    def take(self, origin: Origin) -> Connection | None:
        """Return the connection to *origin* that was used last, if it may still be used."""
        while True:
            with self._lock:
                kept = self._kept.get(origin)
                if not kept:
                    return None
                connection = kept.pop()
            if time.monotonic() - connection.used_at < self._idle_s and connection.lives():
                return connection
            connection.close()

    def give(self, connection: Connection) -> None:
        """Keep *connection*, which has read an answer to its end."""
        over: list[Connection] = []
        with self._lock:
            kept = self._kept.setdefault(connection.origin, deque())
            kept.append(connection)
            if len(kept) > self._most:
                over.append(kept.popleft())
            if (now := time.monotonic()) - self._swept_at >= self._idle_s:
                self._swept_at = now
                over += self._stale(now)
        _close(over)

    def distrust(self, origin: Origin) -> None:
        """Close what lies idle to *origin*."""
        with self._lock:
            kept = self._kept.pop(origin, deque())
        _close(kept)

    def close(self) -> None:
        """Close everything."""
        with self._lock:
            _close_all(self._kept)

    def _stale(self, now: float) -> list[Connection]:
        """Take out what is too old, of all servers: one that is never asked again would keep its sockets for ever."""
        stale: list[Connection] = []
        for origin, kept in list(self._kept.items()):
            while kept and now - kept[0].used_at >= self._idle_s:
                stale.append(kept.popleft())
            if not kept:
                del self._kept[origin]
        return stale


def _close(connections: Iterable[Connection]) -> None:
    for each in connections:
        each.close()


def _close_all(kept: dict[Origin, deque[Connection]]) -> None:
    while kept:
        _close(kept.popitem()[1])

"""Gunicorn's worker, which says how many requests it has in hand, and has a place to count at."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from gunicorn.workers.gthread import TConn

from sidecar.edge.shortcut import ShortcutWorker
from sidecar.metrics.meters import Meters

__all__ = ["METERS", "CountedWorker"]

METERS = "ensemble.meters"
"""The name of the app's extension that holds its meters."""


class CountedWorker(ShortcutWorker):
    """The sidecar's worker. What it counts here is counted by its main thread alone."""

    place: int | None = None
    """Where on the board it counts; given by the master before it forks. None: nowhere."""
    _in_hand = 0

    def enqueue_req(self, conn: TConn) -> None:
        """Hand a request, or a new connection, to the threads."""
        self._count(1)
        super().enqueue_req(conn)  # type: ignore[no-untyped-call] # gunicorn is not annotated

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """Take it back."""
        self._count(-1)
        super().finish_request(conn, fs)

    def _count(self, change: int) -> None:
        self._in_hand += change
        meters: Meters = self.wsgi.extensions[METERS]
        meters.in_hand(self._in_hand, max(0, self._in_hand - self.cfg.threads))

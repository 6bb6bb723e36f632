"""Counts what could not be told, and says so in the log, at most once a minute."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["EVERY_S", "Losses"]

EVERY_S = 60.0

log = logging.getLogger("sidecar.traces")


class Losses:
    """The spans and runs that were lost. Safe to use from several threads at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._clock = clock
        self._lock = threading.Lock()
        self._told_s: float | None = None
        self._untold: dict[str, int] = {}
        self.total = 0
        """How many since the start."""

    def add(self, count: int, what: str, *, with_traceback: bool = False) -> None:
        """Count *count* that were lost; *what* says of what, and why."""
        with self._lock:
            self.total += count
            self._untold[what] = self._untold.get(what, 0) + count
            now_s = self._clock()
            if self._told_s is not None and now_s - self._told_s < EVERY_S:
                return
            self._told_s, untold, self._untold = now_s, self._untold, {}
        log.warning(
            "Traces are lost; the runs themselves are not touched by it. %s.",
            "; ".join(f"{words} ({number})" for words, number in untold.items()),
            exc_info=with_traceback,
        )

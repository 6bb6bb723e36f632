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
        self.tell(with_traceback=with_traceback)

    def tell(self, *, at_once: bool = False, with_traceback: bool = False) -> None:
        """Say what was not said yet, if there is any and a minute has passed; *at_once*: whether or not it has."""
        with self._lock:
            now_s = self._clock()
            waits = self._told_s is not None and now_s - self._told_s < EVERY_S and not at_once
            if waits or not self._untold:
                return
            self._told_s, untold, self._untold = now_s, self._untold, {}
        log.warning(
            "Traces are lost; the runs themselves are not touched by it. %s.",
            "; ".join(f"{words} ({number})" for words, number in untold.items()),
            exc_info=with_traceback,
        )

"""Keeps the embedded store running from gunicorn's master, which looks after it on every round and never waits for it."""

from __future__ import annotations

import logging
import time

from sidecar.launch.embedded import EmbeddedStore

__all__ = ["Keeper"]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Between two starts of a store that ends before it answers; doubled from the first."""
SLOW_S = 30.0
"""After this long without an answer the log tells so, once a start."""

log = logging.getLogger("sidecar.store")


class Keeper:
    """Starts *store* again when it has ended, and tells the log how it ended and when it is back."""

    def __init__(self, store: EmbeddedStore) -> None:
        """Look after a store that was started and has answered."""
        self._store = store
        self._answers = True
        self._slow_told = False
        self._started_s = float("-inf")
        self._pause_s = FIRST_PAUSE_S

    def look(self) -> None:
        """Do what is to be done now."""
        now_s = time.monotonic()
        if not self._store.running:
            if self._answers or now_s - self._started_s >= self._pause_s:
                self._start(now_s)
        elif not self._answers:
            self._wait(now_s - self._started_s)

    def _start(self, now_s: float) -> None:
        log.error(
            "The embedded store %s; starting it again.", self._store.end(), extra={"end_of_log": self._store.log_end()}
        )
        self._pause_s = FIRST_PAUSE_S if self._answers else min(LONGEST_PAUSE_S, 2 * self._pause_s)
        self._answers, self._slow_told, self._started_s = False, False, now_s
        try:
            self._store.spawn()
        except OSError as error:
            log.error("It can't be started: %s. Trying again.", error.strerror)  # noqa: TRY400 -- its text says it all

    def _wait(self, waited_s: float) -> None:
        if self._store.answers():
            self._answers = True
            log.warning("The embedded store answers again, %.1f s after it was started.", waited_s)
        elif waited_s > SLOW_S and not self._slow_told:
            self._slow_told = True
            log.error(
                "The embedded store does not answer yet, %.0f s after it was started.",
                waited_s,
                extra={"end_of_log": self._store.log_end()},
            )

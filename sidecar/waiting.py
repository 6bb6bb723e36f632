"""How many callers may wait at once: they hold a thread of the server each, so half of the threads at most."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sidecar.errors import Busy

__all__ = ["Waiting"]


class Waiting:
    """The places of one process for callers that wait for something to happen."""

    def __init__(self, places: int) -> None:
        """Have *places* places; none: nobody can wait."""
        self._places = places
        self._lock = threading.Lock()
        self._taken = 0

    def take(self) -> Callable[[], None]:
        """Take a place and return what gives it back, once, however often it is called.

        Raises:
            Busy: All places are taken.

        """
        with self._lock:
            if self._taken >= self._places:
                raise Busy(f"{self._taken} callers wait at this process already, and no more may. Ask again shortly.")
            self._taken += 1
        given_back = threading.Event()

        def give_back() -> None:
            with self._lock:
                if not given_back.is_set():
                    given_back.set()
                    self._taken -= 1

        return give_back

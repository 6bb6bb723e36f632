"""Which app is behind a key, as far as a process knows: Dify tells it among the inputs of a run, and nowhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ensemble.agents.classification import parse_json

__all__ = ["AppIds", "app_id_in"]

TOLD_S = 300.0
"""How often the ledger is told again: it may have lost it, or it is another one's."""
FRESH_S = 5.0
"""For so long after it was found out every call tells it: its admission may have been asked for before that was known."""
_SYS_APP_ID = "sys.app_id"
_LONGEST_ID = 128


class AppIds:
    """What a process knows of the apps behind keys. Safe to use from many threads or greenlets at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin knowing nothing; *clock* tells seconds that never go back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, float]] = {}
        self._told_s: dict[str, float] = {}
        self._hopeless: set[str] = set()

    def wanted(self, identity: str) -> bool:
        """Return whether it is worth asking which app is behind *identity*."""
        return identity not in self._known and identity not in self._hopeless

    def learn(self, identity: str, app_id: str) -> None:
        """Keep it: a key never opens another app."""
        with self._lock:
            self._known.setdefault(identity, (app_id, self._clock()))

    def give_up(self, identity: str) -> None:
        """Do not ask any more: this Dify does not tell."""
        with self._lock:
            self._hopeless.add(identity)

    def to_tell(self, identity: str) -> str | None:
        """Return the app's id where it is time to tell the ledger, who is told by whoever asks."""
        with self._lock:
            now = self._clock()
            app_id, learnt_s = self._known.get(identity, (None, now))
            told_s = self._told_s.get(identity)
            if told_s is not None and now - learnt_s > FRESH_S and now - told_s < TOLD_S:
                return None
            if app_id is not None:
                self._told_s[identity] = now
            return app_id


def app_id_in(inputs: Any) -> str | None:
    """Return the app's id among a run's inputs, which are an object or, up to Dify 1.13, its JSON text."""
    given = parse_json(inputs.encode()) if isinstance(inputs, str) else inputs
    found = given.get(_SYS_APP_ID) if isinstance(given, Mapping) else None
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST_ID else None

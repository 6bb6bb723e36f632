"""Places at each Dify host: how many calls of this process may be out to one host at one time.

A stock Dify serves ten requests at once, its own workflows included; sub-agents that fill all ten freeze it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["HOSTS", "Hosts"]


@dataclass(slots=True)
class _Host:
    taken: int = 0
    waiting: deque[tuple[object, Callable[[str], None]]] = field(default_factory=deque)


class Hosts:
    """Counts the places taken at each host and hands a freed one to whoever waited longest."""

    def __init__(self) -> None:
        """Begin with every place free."""
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    def take(self, host: str, limit: int, who: object, given: Callable[[str], None]) -> bool:
        """Take a place at *host* now, or queue for one.

        Returns:
            True if the place was taken. False if *who* now waits: *given* is called with the host, from whatever
            thread frees a place, and the place is theirs then.

        """
        with self._lock:
            state = self._hosts.setdefault(host, _Host())
            if state.taken < limit and not state.waiting:
                state.taken += 1
                return True
            state.waiting.append((who, given))
            return False

    def leave(self, host: str) -> None:
        """Give a place back; the longest waiting gets it."""
        with self._lock:
            state = self._hosts[host]
            given = state.waiting.popleft()[1] if state.waiting else None
            if given is None:
                state.taken -= 1
                if state.taken == 0:
                    del self._hosts[host]
        if given is not None:
            given(host)

    def forget(self, who: object) -> None:
        """Take *who* out of every queue; places already given stay theirs to leave."""
        with self._lock:
            for state in self._hosts.values():
                state.waiting = deque(entry for entry in state.waiting if entry[0] is not who)

    def taken(self, host: str) -> int:
        """Return how many places at *host* are taken."""
        with self._lock:
            state = self._hosts.get(host)
            return state.taken if state else 0


HOSTS = Hosts()
"""The places of this process, shared by all its runs."""

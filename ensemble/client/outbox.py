"""Hands in what runs did while their sidecar was away, for the whole process, also after their caller has returned.

It lives in this process's memory only: what is still here when the plugin ends is lost, and the sidecar then books what
it had admitted itself at its estimate, once the run's lease has ended.

A thread delivers, which inside the plugin is a greenlet: Dify's SDK makes the one into the other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from ensemble.client.errors import BadCredentials, SidecarRefused
from ensemble.contract.exchange import Exchange
from ensemble.engine.ports import Ledger, LedgerUnavailable

__all__ = ["MOST_BYTES", "MOST_RUNS", "Outbox"]

MOST_RUNS = 1_000
MOST_BYTES = 16 * 2**20
"""What waits at most; beyond either the oldest is given up, but for the one that came last, however large it is."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
"""How long a sidecar that did not take something is left alone: the first, doubling up to the second."""

log = logging.getLogger("ensemble.outbox")


@dataclass(frozen=True, slots=True)
class _Entry:
    ledger: Ledger
    asks: tuple[Exchange, ...]
    """The parts of what one run did, in order; at least one."""
    size: int


class Outbox:
    """Everything that waits for a sidecar to be back, oldest first; one thread delivers it, as long as there is any."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = threading.Lock()
        self._waiting: deque[_Entry] = deque()
        self._size = 0
        self._delivering = False
        self.given_up = 0
        """How many runs were never handed in: too many waited, or the sidecar refused them."""

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return len(self._waiting)

    def put(self, ledger: Ledger, asks: tuple[Exchange, ...]) -> None:
        """Let *asks*, the parts of one run, be handed to *ledger* as soon as that answers, one after the other."""
        size = sum(len(ask.model_dump_json()) for ask in asks)
        with self._lock:
            too_much = self._keep(_Entry(ledger, asks, size))
            begin, self._delivering = not self._delivering, True
        for entry in too_much:
            self._give_up(entry, "too much waits for the sidecar")
        if begin:
            threading.Thread(target=self._deliver, name="ensemble-outbox", daemon=True).start()

    def _deliver(self) -> None:
        """Go round until nothing waits; entries of a sidecar that is away go to the end of the line."""
        pause = FIRST_PAUSE_S
        while True:
            with self._lock:
                left = len(self._waiting)
                self._delivering = left > 0
            if not left:
                return
            away = 0
            for _ in range(left):
                entry = self._take()
                away += entry is not None and not self._hand_in(entry)
            if away:
                time.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)

    def _hand_in(self, entry: _Entry) -> bool:
        """Hand one in; say whether it is off our hands.

        One that is not is sent again from its first part on: a store that went away may have lost what it had taken.
        """
        try:
            for ask in entry.asks:
                entry.ledger.exchange(ask)
        except LedgerUnavailable:
            with self._lock:
                self._waiting.append(entry)
                self._size += entry.size
            return False
        except (BadCredentials, SidecarRefused) as error:
            self._give_up(entry, str(error))
        except Exception as error:  # noqa: BLE001 - one entry that can't be sent must not stop the others
            self._give_up(entry, type(error).__name__)
        return True

    def _keep(self, entry: _Entry) -> list[_Entry]:
        """Put *entry* at the end of the line, and return those it left no room for; the lock is held."""
        self._waiting.append(entry)
        self._size += entry.size
        too_much = []
        while len(self._waiting) > 1 and (len(self._waiting) > MOST_RUNS or self._size > MOST_BYTES):
            too_much.append(self._waiting.popleft())
            self._size -= too_much[-1].size
        return too_much

    def _take(self) -> _Entry | None:
        """Return the oldest, None where newer ones have pushed it out meanwhile."""
        with self._lock:
            if not self._waiting:
                return None
            entry = self._waiting.popleft()
            self._size -= entry.size
            return entry

    def _give_up(self, entry: _Entry, why: str) -> None:
        self.given_up += 1
        log.warning(
            "What run %s did while the sidecar was away was not handed in (%s); %d runs so far.",
            entry.asks[0].run_id,
            why,
            self.given_up,
        )

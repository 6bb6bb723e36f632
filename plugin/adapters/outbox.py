"""Hands in what runs did while their sidecar was away, for the whole process, also after their tool has returned.

It lives in this process's memory only: what is still here when the plugin ends is lost, and the sidecar then books what
it had admitted itself at its estimate, once the run's lease has ended.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

import gevent

from ensemble.contract.exchange import Exchange
from ensemble.engine.ports import Ledger, LedgerUnavailable
from plugin.errors import BadCredentials, SidecarRefused

__all__ = ["MOST_BYTES", "MOST_RUNS", "Outbox"]

MOST_RUNS = 1_000
MOST_BYTES = 16 * 2**20
"""What waits at most; beyond either the oldest is given up."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
"""How long a sidecar that did not take something is left alone: the first, doubling up to the second."""

log = logging.getLogger("ensemble.outbox")


@dataclass(frozen=True, slots=True)
class _Entry:
    ledger: Ledger
    ask: Exchange
    size: int


class Outbox:
    """Everything that waits for a sidecar to be back, oldest first; one greenlet delivers it."""

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting: deque[_Entry] = deque()
        self._size = 0
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self.given_up = 0
        """How many runs were never handed in: too many waited, or the sidecar refused them."""

    @property
    def waiting(self) -> int:
        """How many runs wait."""
        return len(self._waiting)

    def put(self, ledger: Ledger, ask: Exchange) -> None:
        """Let *ask* be handed to *ledger* as soon as that answers."""
        size = len(ask.model_dump_json())
        self._waiting.append(_Entry(ledger, ask, size))
        self._size += size
        while len(self._waiting) > MOST_RUNS or self._size > MOST_BYTES:
            self._give_up(self._take(), "too much waits for the sidecar")
        if self._greenlet is None or self._greenlet.ready():
            self._greenlet = gevent.spawn(self._deliver)

    def _deliver(self) -> None:
        """Go round until nothing waits; entries of a sidecar that is away go to the end of the line."""
        pause = FIRST_PAUSE_S
        while self._waiting:
            away = 0
            for _ in range(len(self._waiting)):
                if not self._waiting:
                    break
                away += not self._hand_in(self._take())
            if away:
                gevent.sleep(pause)
                pause = min(LONGEST_PAUSE_S, pause * 2)

    def _hand_in(self, entry: _Entry) -> bool:
        """Hand one in; say whether it is off our hands."""
        try:
            entry.ledger.exchange(entry.ask)
        except LedgerUnavailable:
            self._waiting.append(entry)
            self._size += entry.size
            return False
        except (BadCredentials, SidecarRefused) as error:
            self._give_up(entry, str(error))
        except Exception as error:  # noqa: BLE001 - one entry that can't be sent must not stop the others
            self._give_up(entry, type(error).__name__)
        return True

    def _take(self) -> _Entry:
        entry = self._waiting.popleft()
        self._size -= entry.size
        return entry

    def _give_up(self, entry: _Entry, why: str) -> None:
        self.given_up += 1
        log.warning(
            "What run %s did while the sidecar was away was not handed in (%s); %d runs so far.",
            entry.ask.run_id,
            why,
            self.given_up,
        )

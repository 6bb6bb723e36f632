"""The ledger of local mode: the sidecar's own rules over a dict in this process; nothing outlives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

from ensemble.contract.breakers import BreakerView
from ensemble.contract.caching import CacheParams, CacheView
from ensemble.contract.exchange import Exchange, ExchangeAnswer
from ensemble.contract.messages import AgentMessage
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.runs import RunView
from ensemble.rules.addresses import ABOUT, CACHE, LEASES, below_hash, breaker_at, run_hash, run_key_at
from ensemble.rules.breakers.view import breaker_view
from ensemble.rules.lineage.below import below_wants, runs_to_cancel
from ensemble.rules.records import About
from ensemble.rules.runs.caching import cache_view, cache_wants
from ensemble.rules.runs.ending import cancel, cancel_inside, ending_wants
from ensemble.rules.runs.exchange import Defaults, decide, wanted
from ensemble.rules.runs.log import run_log
from ensemble.rules.runs.views import run_view
from ensemble.rules.snapshot import EVERY, Address, Changes, NotRead, Snapshot

__all__ = ["CACHED_KEPT", "CLOSED_KEPT", "Book"]

CLOSED_KEPT = 100
"""How many closed runs a book remembers, so that their run_key still answers."""
CACHED_KEPT = 200
"""How many answers a book keeps for when their agent fails; the newest ones."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Book:
    """Runs, budgets and breakers of this process. Safe to use from several threads or greenlets at once."""

    def __init__(
        self,
        defaults: Defaults | None = None,
        *,
        clock: Callable[[], int] = _now_ms,
        closed_kept: int = CLOSED_KEPT,
    ) -> None:
        """Begin empty; *clock* tells unix milliseconds."""
        self._defaults = defaults or Defaults()
        self._clock = clock
        self._closed_kept = closed_kept
        self._lock = threading.Lock()
        self._hashes: dict[str, dict[str, str]] = {}
        self._expiries: dict[str, int] = {}
        self._closed: dict[str, None] = {}

    @property
    def durable(self) -> Literal[False]:
        """A book ends with its process."""
        return False

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Settle, admit, open, renew, close.

        Raises:
            Conflict: a ticket is known with another body or not known at all.
            UnknownRun: no such run was opened, or it was closed and forgotten.

        """
        return self._decide(lambda snapshot: decide(ask, snapshot, self._defaults), wanted(ask))

    def cancel(self, run_id: str) -> RunStatus:
        """Ask for a run's end, and for those of the runs below it; return how it stands then. Raises UnknownRun."""
        status = self._decide(partial(cancel, run_id), ending_wants(run_id))
        for below in self._decide(lambda snapshot: (runs_to_cancel(run_id, snapshot), Changes()), below_wants(run_id)):
            self._decide(partial(cancel_inside, run_id, below), ending_wants(below))
        return status

    def run(self, run_id: str) -> RunView:
        """Return the run as it stands. Raises UnknownRun."""
        with self._lock:
            return run_view(run_id, self._hashes.get(run_hash(run_id), {}), self._clock())

    def cached(self, key: str) -> CacheView:
        """Return the answer kept under *key*."""
        params = CacheParams(key=key)
        with self._lock:
            return cache_view(params, Snapshot(self._clock(), self._read(cache_wants(params))))

    def breakers(self, identities: Iterable[str]) -> tuple[BreakerView, ...]:
        """Return the breakers of *identities* that are on record."""
        with self._lock:
            now_ms, places = self._clock(), {identity: breaker_at(identity) for identity in identities}
            texts = {identity: self._hashes.get(at.key, {}).get(at.field) for identity, at in places.items()}
            return tuple(breaker_view(identity, text, now_ms) for identity, text in texts.items() if text)

    def log(self, run_id: str) -> tuple[AgentMessage, ...]:
        """Return the run's messages in order. Raises UnknownRun."""
        with self._lock:
            return run_log(run_id, self._hashes.get(run_hash(run_id), {}))

    def _decide[T](self, decision: Callable[[Snapshot], tuple[T, Changes]], addresses: Iterable[Address]) -> T:
        with self._lock:
            now_ms = self._clock()
            values = self._read(addresses)
            while True:
                try:
                    answer, changes = decision(Snapshot(now_ms, values))
                except NotRead as more:
                    values |= self._read(more.addresses)
                else:
                    self._commit(changes, now_ms)
                    return answer

    def _read(self, addresses: Iterable[Address]) -> dict[Address, str | None]:
        values: dict[Address, str | None] = {}
        for address in addresses:
            fields = self._hashes.get(address.key, {})
            values[address] = fields.get(address.field)
            if address.field == EVERY:
                values.update({Address(address.key, field): text for field, text in fields.items()})
        return values

    def _commit(self, changes: Changes, now_ms: int) -> None:
        """Apply *changes*. Nobody comes between reading and writing here, so there is nothing to check."""
        for (key, field), text in changes.puts.items():
            self._hashes.setdefault(key, {})[field] = text
        for key, field in changes.deletes:
            self._hashes.get(key, {}).pop(field, None)
        for (key, field), delta in changes.increments.items():
            fields = self._hashes.setdefault(key, {})
            fields[field] = str(int(fields.get(field, 0)) + delta)
        for key, ms in changes.expiries.items():
            if ms and key in self._hashes:  # indexes have a time to live too, and are not kept here
                self._expiries.pop(key, None)  # so that it stands behind those that were written before it
                self._expiries[key] = now_ms + ms
        for (key, run_id), score in changes.index.items():
            if key == LEASES:
                self._closed.pop(run_id, None)
                if score is None:
                    self._closed[run_id] = None
        if changes.expiries:
            self._forget(now_ms)

    def _forget(self, now_ms: int) -> None:
        """Drop what has outlived its time, and closed runs and answers beyond the numbers kept, oldest first."""
        for key in [key for key, until_ms in self._expiries.items() if until_ms <= now_ms]:
            self._drop(key)
        for key in [key for key in self._expiries if key.startswith(CACHE)][:-CACHED_KEPT]:
            self._drop(key)
        for run_id in list(self._closed)[: -self._closed_kept or None]:
            del self._closed[run_id]
            text = self._hashes.get(run_hash(run_id), {}).get(ABOUT)
            if text is not None:
                about = About.model_validate_json(text)
                self._drop(run_key_at(about.run_key, about.fingerprint).key)
            self._drop(run_hash(run_id))
            self._drop(below_hash(run_id))

    def _drop(self, key: str) -> None:
        self._hashes.pop(key, None)
        self._expiries.pop(key, None)

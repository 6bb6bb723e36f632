"""The sweep: every few seconds one worker tidies after engines that are not heard of any more.

It runs as a thread of the workers, not in gunicorn's master: the master has to restart workers and the store whatever
happens, so it must never wait for the store. Which worker sweeps a tenant is settled in Redis, because several sidecars
may share one, each with tenants of its own: whoever sets a tenant's key that lapses after a round has that round. A sweeper
killed in the middle leaves nothing behind. Sidecars whose leases differ have rounds of their own: one with a short lease must
not wait for the rounds of one with a long one, and what two of them sweep is swept once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from ensemble.rules.addresses import BREAKERS, LEASES, RESERVATIONS, RUNS, reservation_at, run_hash
from ensemble.rules.breakers.drafted import BREAKER_TTL_MS
from ensemble.rules.budgets.reserving import lapse
from ensemble.rules.runs.ending import ending_wants, sweep
from ensemble.rules.snapshot import Address, Changes, Snapshot
from sidecar.errors import Contended, StoreDamaged, StoreUnavailable
from sidecar.store.faults import store_errors
from sidecar.store.keys import full_key
from sidecar.store.store import Store

__all__ = ["EVERY_S", "Sweeper"]

EVERY_S = 10.0
"""How often there is a sweep, or as often as three times a lease where that is shorter."""
MOST_RUNS = 500
"""Lapsed runs of one tenant in one round."""
LOOKED_AT = 200
"""Old ids of one tenant in one round whose run may be gone."""

log = logging.getLogger("sidecar.sweep")


class Sweeper:
    """Sweeps the runs of *tenants* in *store*."""

    def __init__(
        self, store: Store, tenants: Iterable[str], lease_ms: int, swept: Callable[[str, str], None] | None = None
    ) -> None:
        """Sweep in *store*; *swept* is told each tenant's round, and whether it was ``done`` or ``failed``."""
        self._store = store
        self._told = swept or (lambda _tenant, _result: None)
        self._tenants = tuple(tenants)
        self._every_s = min(EVERY_S, lease_ms / 3000)
        self._oldest: dict[str, int] = {}

    def start(self) -> None:
        """Sweep beside the requests for as long as this process lives."""
        threading.Thread(target=self._go_round, name="sweep", daemon=True).start()

    def sweep(self) -> int:
        """Sweep once, whoever has the round; return how many runs had lost their engine. Raises StoreUnavailable."""
        return sum(self._swept(tenant) for tenant in self._tenants)

    def round(self) -> int:
        """Sweep the tenants whose round nobody has yet, whatever befalls one; return how many runs had lost their engine."""
        lapsed = 0
        for tenant in self._tenants:
            try:
                if self._has_round(tenant):
                    lapsed += self._swept(tenant)
                    self._told(tenant, "done")
            except StoreUnavailable:
                self._told(tenant, "failed")
                continue  # Readiness tells of it; in a Cluster it may be this tenant's node only.
            except Exception:
                log.exception("A sweep failed; the next one begins anew.", extra={"tenant": tenant})
                self._told(tenant, "failed")
        if lapsed:
            runs = "1 run has lost its engine" if lapsed == 1 else f"{lapsed} runs have lost their engines"
            log.warning("%s; what was under way there is uncertain.", runs)
        return lapsed

    def _go_round(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._every_s / 2):
            self.round()

    def _has_round(self, tenant: str) -> bool:
        """Take the round if nobody has: it is whose key this is, until the key lapses."""
        round_ms = int(self._every_s * 1000)
        with store_errors():
            return bool(self._store.redis.set(full_key(tenant, f"sweep:{round_ms}"), "1", nx=True, px=round_ms))

    def _swept(self, tenant: str) -> int:
        lapsed = 0
        # What can't be read here, which the log tells, must not keep the rest waiting.
        with suppress(StoreDamaged):
            lapsed = self._lapsed_runs(tenant)
        with suppress(StoreDamaged):
            self._lapsed_reservations(tenant)
        with suppress(StoreDamaged):
            self._forget(tenant)
        return lapsed

    def _lapsed_runs(self, tenant: str) -> int:
        runs = self._ended(tenant, LEASES)
        return sum(bool(self._tidied(tenant, partial(sweep, run_id), ending_wants(run_id))) for run_id in runs)

    def _lapsed_reservations(self, tenant: str) -> None:
        """Book what calls of no run have reserved and never settled."""
        for ticket in self._ended(tenant, RESERVATIONS):
            self._tidied(tenant, partial(lapse, ticket), (reservation_at(ticket),))

    def _tidied[T](
        self, tenant: str, decide: Callable[[Snapshot], tuple[T, Changes]], wanted: Iterable[Address]
    ) -> T | None:
        """Tidy one record; one that can't be understood must not keep all others waiting. Raises StoreUnavailable."""
        try:
            return self._store.decide(tenant, decide, wanted)
        except (Contended, StoreDamaged):
            return None  # Somebody is at it, so it lives, and else the next round has it; or the log tells of it.
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("A record can't be tidied; it is left as it is, and the others are seen to.")
            return None

    def _ended(self, tenant: str, index: str) -> list[str]:
        """Return some of the members of an index of leases whose lease has ended."""
        redis, key = self._store.redis, full_key(tenant, index)
        with store_errors(redis, [key]):
            seconds, micros = redis.time()
            now_ms = seconds * 1000 + micros // 1000
            found = redis.zrangebyscore(key, "-inf", now_ms, start=0, num=MOST_RUNS)
        return list(found)

    def _forget(self, tenant: str) -> None:
        """Take ids out of the indexes whose records have passed their time: they outlive them by this only."""
        redis = self._store.redis
        runs, breakers = full_key(tenant, RUNS), full_key(tenant, BREAKERS)
        with store_errors(redis, [runs, breakers]):
            seconds, _ = redis.time()
            redis.zremrangebyscore(breakers, "-inf", seconds * 1000 - BREAKER_TTL_MS)
            start = self._oldest.get(tenant, 0)
            ids = redis.zrange(runs, start, start + LOOKED_AT - 1)
            gone = [run_id for run_id in ids if not redis.exists(full_key(tenant, run_hash(run_id)))]
            if gone:
                redis.zrem(runs, *gone)
        # Goes on where it ended, and round again: a few old runs that are kept must not hide the rest.
        self._oldest[tenant] = start + len(ids) - len(gone) if len(ids) == LOOKED_AT else 0

"""How things stand in the store, read when somebody asks: little of each, and never for longer than the store is given."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from ensemble.contract.breakers import BreakerState
from ensemble.contract.budgets import NANO, BudgetState
from ensemble.rules.addresses import AGENTS, BREAKERS, BREAKERS_HELD, BUDGETS, LEASES, agent_at, breaker_at, budget_hash
from ensemble.rules.agents.declaring import agent_name
from ensemble.rules.budgets.fitting import limits_in_units
from ensemble.rules.budgets.reserving import budget_state
from ensemble.rules.records import Breaker
from ensemble.rules.slots.drafted import AGENT, ALL, HOST, SLOTS_WANTED, slots_view
from ensemble.rules.snapshot import EVERY, Address, Snapshot
from sidecar.errors import StoreDamaged, StoreUnavailable
from sidecar.metrics.board import Series
from sidecar.metrics.catalogue import M
from sidecar.store.faults import left_out, store_errors
from sidecar.store.keys import full_key
from sidecar.store.store import Store

__all__ = ["Standing"]

MOST_AGENTS = 200
"""Of a tenant: those that were called last."""
MOST_BREAKERS = 200
"""Those an operator holds, and as many that changed last."""
MOST_BUDGETS = 100
MOST_SCOPES = 200
LONGEST_S = 2.0
"""After this long no other tenant is begun with."""

log = logging.getLogger("sidecar.telemetry")

type Numbers = Iterable[tuple[Series, float]]


class Standing:
    """What the store holds of some tenants, as numbers."""

    def __init__(self, store: Store, tenants: Iterable[str]) -> None:
        self._store = store
        self._tenants = tuple(dict.fromkeys(tenants))
        self._parts: tuple[Callable[[str], Numbers], ...] = (
            self._runs,
            self._agents,
            self._breakers,
            self._slots,
            self._budgets,
        )

    def numbers(self) -> dict[Series, float]:
        """Return all there is. Where the store does not answer, or takes too long, what it has told by then."""
        found: dict[Series, float] = {}
        up, ends_s = True, time.monotonic() + LONGEST_S
        try:
            for tenant in self._tenants:
                if time.monotonic() > ends_s:
                    up = False
                    break
                for part in self._parts:
                    found.update(self._readable(part, tenant))
        except StoreUnavailable:
            up = False
        return {**found, (M.STORE_UP,): float(up)}

    def _readable(self, part: Callable[[str], Numbers], tenant: str) -> Numbers:
        """Return a part, nothing where what stands there can't be understood. Raises StoreUnavailable."""
        try:
            return list(part(tenant))
        except StoreUnavailable:
            raise
        except StoreDamaged:
            return ()  # the log tells of it
        except Exception:
            log.exception("What the store holds can't be told as numbers.", extra={"tenant": tenant})
            return ()

    def _runs(self, tenant: str) -> Numbers:
        key = full_key(tenant, LEASES)
        with store_errors(self._store.redis, [key]):
            yield (M.RUNS_OPEN, tenant), self._store.redis.zcard(key)

    def _agents(self, tenant: str) -> Numbers:
        places = {identity: agent_at(identity) for identity in self._last(tenant, AGENTS, MOST_AGENTS)}

        def look(snapshot: Snapshot) -> list[tuple[str, str | None]]:
            found = []
            for identity in places:
                with left_out(tenant, f"What is on record of agent {identity}"):
                    found.append((identity, agent_name(identity, snapshot)))
            return found

        wanted = [at for both in places.values() for at in both]
        for identity, name in self._store.look(tenant, look, wanted) if places else ():
            if name is not None:
                yield (M.AGENT_INFO, tenant, identity, name), 1.0

    def _breakers(self, tenant: str) -> Numbers:
        held, changed = (self._last(tenant, index, MOST_BREAKERS) for index in (BREAKERS_HELD, BREAKERS))
        places = {identity: breaker_at(identity) for identity in (*held, *changed)}

        def look(snapshot: Snapshot) -> list[tuple[str, Breaker]]:
            found = []
            for identity, at in places.items():
                if text := snapshot.text(at):
                    with left_out(tenant, f"The breaker of {identity}"):
                        found.append((identity, Breaker.model_validate_json(text)))
            return found

        for identity, breaker in self._store.look(tenant, look, places.values()) if places else ():
            if breaker.state is not BreakerState.CLOSED:
                yield (M.BREAKER_STATE, tenant, identity, breaker.state.value), 1.0

    def _slots(self, tenant: str) -> Numbers:
        view = self._store.look(tenant, slots_view, SLOTS_WANTED)
        used = {HOST + host: out for host, out in view.used.hosts.items()}
        used |= {AGENT + identity: out for identity, out in view.used.identities.items()}
        for scope, out in sorted(used.items(), key=lambda each: -each[1])[:MOST_SCOPES]:
            yield (M.SLOTS_USED, tenant, scope), out
        if view.used.total is not None:
            yield (M.SLOTS_USED, tenant, ALL), view.used.total
        yield (M.SLOTS_WAITING, tenant), view.waiting

    def _budgets(self, tenant: str) -> Numbers:
        names = self._last(tenant, BUDGETS, MOST_BUDGETS)

        def look(snapshot: Snapshot) -> list[BudgetState]:
            states = (budget_state(name, snapshot) for name in names)
            return [state for state in states if state is not None]

        wanted = [Address(budget_hash(name), EVERY) for name in names]
        for state in self._store.look(tenant, look, wanted) if names else ():
            yield from _of_budget(tenant, state)

    def _last(self, tenant: str, index: str, most: int) -> list[str]:
        key = full_key(tenant, index)
        with store_errors(self._store.redis, [key]):
            return self._store.redis.zrevrange(key, 0, most - 1)


def _of_budget(tenant: str, state: BudgetState) -> Iterator[tuple[Series, float]]:
    """Yield limits and use of a budget, as far as it is limited."""
    used = state.used.model_dump()
    for dimension, limit in limits_in_units(state.definition.limits):
        unit, one = dimension, 1
        if dimension == "ms":
            unit, one = "seconds", 1000
        elif dimension == "nano" and state.definition.limits.money is not None:
            unit, one = state.definition.limits.money.currency, int(NANO)
        for kind in ("committed", "reserved"):
            yield (M.BUDGET_USED, tenant, state.name, unit, kind), used[f"{dimension}_{kind}"] / one
        yield (M.BUDGET_LIMIT, tenant, state.name, unit), limit / one

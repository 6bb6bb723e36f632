"""Named budgets over the store: defined, listed, reserved from and settled."""

from __future__ import annotations

import uuid
from functools import partial

from ensemble.contract.budgets import (
    BudgetDefinition,
    BudgetList,
    BudgetParams,
    BudgetState,
    Reservation,
    ReservationAsk,
    ReservationNews,
    ReservationSettled,
)
from ensemble.contract.problems import Fault
from ensemble.rules.addresses import BUDGETS, budget_hash, reservation_at
from ensemble.rules.budgets.reserving import budget_state, define, forget, reserve, reserving_wants, settle
from ensemble.rules.problems import Conflict, UnknownBudget, UnknownCall
from ensemble.rules.snapshot import EVERY, Address, Snapshot
from sidecar import errors
from sidecar.store.faults import store_errors, understood
from sidecar.store.keys import full_key
from sidecar.store.store import Store

__all__ = ["Budgets"]

MOST_LISTED = 1000


class Budgets:
    """The named budgets of all tenants."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def define(self, tenant: str, params: BudgetParams, definition: BudgetDefinition) -> BudgetState:
        """Let a budget allow this from now on. Raises Contended."""
        wanted = (Address(budget_hash(params.name), EVERY),)
        return self._store.decide(tenant, partial(define, params.name, definition), wanted)

    def forget(self, tenant: str, params: BudgetParams) -> BudgetState:
        """Forget a budget; return it as it stood. Raises NotFound, Contended."""
        wanted = (Address(budget_hash(params.name), EVERY),)
        try:
            return self._store.decide(tenant, partial(forget, params.name), wanted)
        except UnknownBudget as error:
            raise _unknown("name", error) from error

    def get(self, tenant: str, params: BudgetParams) -> BudgetState:
        """Return a budget as it stands. Raises NotFound."""
        wanted = (Address(budget_hash(params.name), EVERY),)
        found = self._store.look(tenant, partial(budget_state, params.name), wanted)
        if found is None:
            raise _unknown("name", UnknownBudget(params.name))
        return found

    def all(self, tenant: str) -> BudgetList:
        """Return the budgets by name, the 1,000 that were defined last."""
        key = full_key(tenant, BUDGETS)
        with store_errors(self._store.redis, [key]):
            names = sorted(self._store.redis.zrevrange(key, 0, MOST_LISTED - 1))

        def look(snapshot: Snapshot) -> tuple[BudgetState, ...]:
            states = (understood(partial(budget_state, name, snapshot), f"The budget {name!r}") for name in names)
            return tuple(state for state in states if state is not None)

        wanted = [Address(budget_hash(name), EVERY) for name in names]
        return BudgetList(budgets=self._store.look(tenant, look, wanted))

    def reserve(self, tenant: str, ask: ReservationAsk) -> Reservation:
        """Reserve in all budgets asked for, or in none. Raises NotFound, Conflict, Contended."""
        ticket = ask.ticket or uuid.uuid4().hex
        try:
            return self._store.decide(tenant, partial(reserve, ask, ticket), reserving_wants(ask, ticket))
        except Conflict as error:
            fault = Fault(field=error.field, problem=error.problem, fix=error.fix)
            raise errors.Conflict("The ticket is taken; nothing was written.", fault) from error
        except UnknownBudget as error:
            raise _unknown("budgets", error) from error

    def settle(self, tenant: str, news: ReservationNews) -> ReservationSettled:
        """Book what a call has really used. Raises NotFound, Contended."""
        try:
            return self._store.decide(tenant, partial(settle, news), (reservation_at(news.ticket),))
        except UnknownCall as error:
            detail = f"Nothing is reserved under {error.ticket}: it never was, or its time to be kept has passed."
            fault = Fault(field="ticket", problem="not on record", fix="Reserve first.")
            raise errors.NotFound(detail, fault) from error


def _unknown(field: str, error: UnknownBudget) -> errors.NotFound:
    detail = f"No budget {error.name!r} is defined."
    return errors.NotFound(detail, Fault(field=field, problem="not defined", fix="Define it with PUT /v1/budgets/one."))

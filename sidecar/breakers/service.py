"""Circuit breakers by themselves: looked at, asked by calls of no run, and held by an operator."""

from __future__ import annotations

import uuid
from functools import partial

from ensemble.contract.breakers import BreakerForce, BreakerList, BreakerParams, BreakerPolicyAsk, BreakerView
from ensemble.contract.guarding import CallAdmission, CallAsk, CallNews, CallSettled
from ensemble.contract.problems import Fault
from ensemble.rules.addresses import BREAKERS, BREAKERS_HELD, breaker_at, breaker_changes_at, call_at
from ensemble.rules.breakers.guarding import admit_call, force, operator_wants, set_policy, settle_call
from ensemble.rules.breakers.view import breaker_view
from ensemble.rules.problems import Conflict, UnknownCall
from ensemble.rules.records import Defaults
from ensemble.rules.snapshot import Snapshot
from sidecar import errors
from sidecar.store.faults import left_out, store_errors
from sidecar.store.keys import full_key
from sidecar.store.store import Store

__all__ = ["Breakers"]

MOST_LISTED = 1000


class Breakers:
    """The breakers of all tenants."""

    def __init__(self, store: Store, defaults: Defaults | None = None) -> None:
        self._store = store
        self._defaults = defaults or Defaults()

    def get(self, tenant: str, params: BreakerParams) -> BreakerView:
        """Return one breaker with its last changes of state. Raises NotFound."""
        at, changes_at = breaker_at(params.identity), breaker_changes_at(params.identity)

        def look(snapshot: Snapshot) -> BreakerView | None:
            text = snapshot.text(at)
            changes = snapshot.text(changes_at)
            return None if text is None else breaker_view(params.identity, text, snapshot.now_ms, changes)

        found = self._store.look(tenant, look, (at, changes_at))
        if found is None:
            detail = f"No breaker of {params.identity!r} is on record: nothing failed there lately."
            fix = "Take it for closed, or look its spelling up in the list of breakers."
            raise errors.NotFound(detail, Fault(field="identity", problem="not on record", fix=fix))
        return found

    def all(self, tenant: str) -> BreakerList:
        """Return the breakers on record: those an operator holds, then those that changed last, 1,000 of each."""
        keys = full_key(tenant, BREAKERS_HELD), full_key(tenant, BREAKERS)
        with store_errors(self._store.redis, keys):
            held, changed = (self._store.redis.zrevrange(key, 0, MOST_LISTED - 1) for key in keys)
        identities = list(dict.fromkeys([*held, *changed]))
        wanted = [breaker_at(identity) for identity in identities]

        def look(snapshot: Snapshot) -> tuple[BreakerView, ...]:
            found = []
            for identity, address in zip(identities, wanted, strict=True):
                # A breaker's time to be kept may pass while its identity stays in the index.
                if text := snapshot.text(address):
                    with left_out(tenant, f"The breaker of {identity}"):
                        found.append(breaker_view(identity, text, snapshot.now_ms))
            return tuple(found)

        return BreakerList(breakers=self._store.look(tenant, look, wanted))

    def admit(self, tenant: str, ask: CallAsk) -> CallAdmission:
        """Say whether a call of no run may go out. Raises Conflict, Contended."""
        ticket = ask.ticket or uuid.uuid4().hex
        wanted = (call_at(ask.identity, ticket), breaker_at(ask.identity))
        try:
            return self._store.decide(
                tenant, lambda snapshot: admit_call(ask, ticket, snapshot, self._defaults), wanted
            )
        except Conflict as error:
            fault = Fault(field=error.field, problem=error.problem, fix=error.fix)
            raise errors.Conflict("The ticket is taken; nothing was written.", fault) from error

    def settle(self, tenant: str, news: CallNews) -> CallSettled:
        """Hear how a call of no run ended. Raises NotFound, Contended."""
        wanted = (call_at(news.identity, news.ticket), breaker_at(news.identity))
        try:
            return self._store.decide(tenant, lambda snapshot: settle_call(news, snapshot, self._defaults), wanted)
        except UnknownCall as error:
            detail = f"No call {error.ticket} of this identity is on record: it was never admitted, or long ago."
            raise errors.NotFound(
                detail, Fault(field="ticket", problem="not on record", fix="Ask for its admission first.")
            ) from error

    def set_policy(self, tenant: str, params: BreakerParams, ask: BreakerPolicyAsk) -> BreakerView:
        """Judge an agent by an operator's numbers. Raises Contended."""
        identity = params.identity
        return self._store.decide(tenant, partial(set_policy, identity, ask), operator_wants(identity))

    def force(self, tenant: str, params: BreakerParams, ask: BreakerForce) -> BreakerView:
        """Hold a breaker, or let it go. Raises Contended."""
        identity = params.identity
        return self._store.decide(tenant, partial(force, identity, ask), operator_wants(identity))

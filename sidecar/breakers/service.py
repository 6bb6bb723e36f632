"""Looks at circuit breakers; nothing here changes one."""

from __future__ import annotations

from ensemble.contract.breakers import BreakerList, BreakerParams, BreakerView
from ensemble.contract.problems import Fault
from ensemble.rules.addresses import BREAKERS, breaker_at
from ensemble.rules.snapshot import Snapshot
from ensemble.rules.views import breaker_view
from sidecar.errors import NotFound
from sidecar.store.connection import store_errors
from sidecar.store.keys import full_key
from sidecar.store.store import Store

__all__ = ["Breakers"]

MOST_LISTED = 1000


class Breakers:
    """The breakers of all tenants."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, tenant: str, params: BreakerParams) -> BreakerView:
        """Return one breaker. Raises NotFound."""
        (found,) = self._views(tenant, [params.identity])
        if found is None:
            detail = f"No breaker of {params.identity!r} is on record: nothing failed there lately."
            raise NotFound(detail, Fault(field="identity", problem="not on record"))
        return found

    def all(self, tenant: str) -> BreakerList:
        """Return the breakers on record, those that changed last first, 1,000 at most."""
        with store_errors():
            identities = self._store.redis.zrevrange(full_key(tenant, BREAKERS), 0, MOST_LISTED - 1)
        # A breaker's time to be kept may pass while its identity stays in the index.
        return BreakerList(breakers=tuple(view for view in self._views(tenant, identities) if view))

    def _views(self, tenant: str, identities: list[str]) -> list[BreakerView | None]:
        wanted = [breaker_at(identity) for identity in identities]

        def look(snapshot: Snapshot) -> list[BreakerView | None]:
            texts = [snapshot.text(address) for address in wanted]
            return [
                breaker_view(identity, text, snapshot.now_ms) if text else None
                for identity, text in zip(identities, texts, strict=True)
            ]

        return self._store.look(tenant, look, wanted)

"""The slots over the store: an operator's limits, and how they are used; calls take and leave them by exchanges."""

from __future__ import annotations

from functools import partial

from ensemble.contract.slots import SlotLimits, SlotsView
from ensemble.rules.slots.drafted import SLOTS_WANTED, set_limits, slots_view
from sidecar.store.store import Store

__all__ = ["Slots"]


class Slots:
    """The slots of all tenants."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, tenant: str) -> SlotsView:
        """Return limits and use."""
        return self._store.look(tenant, slots_view, SLOTS_WANTED)

    def set(self, tenant: str, limits: SlotLimits) -> SlotsView:
        """Let these limits hold, in place of those before. Raises Contended."""
        return self._store.decide(tenant, partial(set_limits, limits), SLOTS_WANTED)

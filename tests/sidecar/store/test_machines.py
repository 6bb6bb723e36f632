"""The walks of the rules, of guarded calls and named budgets, over the real store; time is virtual there too."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ensemble.rules.snapshot import Address, Changes, Snapshot
from sidecar.store.connection import connect
from sidecar.store.store import Store
from tests.ensemble.rules.budgets.test_named_machines import Guarded, GuardedByTime, Named, Virtual


@pytest.mark.parametrize("machine", [Guarded, GuardedByTime, Named])
def test_the_store_keeps_what_the_rules_say(valkey: Any, machine: type[Virtual]) -> None:
    """Each walk is a tenant of its own."""
    store = Store(connect(valkey.url))

    class OverRedis(machine):  # type: ignore[valid-type,misc]  # a parameter is no type mypy knows
        def __init__(self) -> None:
            self.tenant = uuid.uuid4().hex
            super().__init__()

        def apply[T](self, decision: Callable[[Snapshot], tuple[T, Changes]], addresses: Iterable[Address] = ()) -> T:
            def at_our_time(snapshot: Snapshot) -> tuple[T, Changes]:
                snapshot.now_ms = self.now_ms
                return decision(snapshot)

            return store.decide(self.tenant, at_our_time, addresses)

    run_state_machine_as_test(OverRedis, settings=settings(max_examples=8, stateful_step_count=25, deadline=None))

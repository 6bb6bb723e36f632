"""Shared state behaves like a dictionary with versions, whatever is done to it in whatever order."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ensemble.contract.state import Increment, NamespaceParams, StateParams, StatePut, StateRemoval
from sidecar.errors import Conflict, NotFound
from sidecar.state.service import State
from sidecar.store.connection import Client

keys = st.sampled_from(["a", "b", "b/c"])
values = st.integers(-5, 5) | st.text(max_size=3) | st.none()
expectations = st.none() | st.integers(0, 4)


class StateMachine(RuleBasedStateMachine):
    """Does the same to the store and to a dictionary of (value, version), and compares every answer."""

    redis: Client

    def __init__(self) -> None:
        """Begin with a tenant nobody knows."""
        super().__init__()
        self.state, self.tenant = State(self.redis), f"m-{uuid.uuid4().hex}"
        self.model: dict[str, tuple[Any, int]] = {}
        self.floor = 0

    def at(self, key: str) -> StateParams:
        """Return where *key* stands."""
        return StateParams(trace_id="t", namespace="n", key=key)

    def _next(self, key: str) -> int:
        return self.model[key][1] + 1 if key in self.model else self.floor + 1

    @rule(key=keys, value=values, expected=expectations)
    def put(self, key: str, value: Any, expected: int | None) -> None:
        """Store, or be told that the version is another."""
        ask = StatePut(writer="n", value=value, expected_version=expected)
        if expected is not None and expected != self.model.get(key, (None, 0))[1]:
            with pytest.raises(Conflict):
                self.state.put(self.tenant, self.at(key), ask)
            return
        version = self._next(key)
        assert self.state.put(self.tenant, self.at(key), ask).version == version
        self.model[key] = (value, version)

    @rule(key=keys, by=st.integers(-3, 3))
    def increment(self, key: str, by: int) -> None:
        """Add, or be told that it is no number."""
        value = self.model.get(key, (0, 0))[0]
        if type(value) is not int:
            with pytest.raises(Conflict):
                self.state.increment(self.tenant, self.at(key), Increment(writer="n", by=by))
            return
        version = self._next(key)
        entry = self.state.increment(self.tenant, self.at(key), Increment(writer="n", by=by))
        assert (entry.value, entry.version) == (value + by, version)
        self.model[key] = (value + by, version)

    @rule(key=keys, expected=st.none() | st.integers(1, 4))
    def delete(self, key: str, expected: int | None) -> None:
        """Remove, find nothing, or be told that the version is another."""
        ask = StateRemoval(writer="n", expected_version=expected)
        version = self.model.get(key, (None, 0))[1]
        if version and expected not in (None, version):
            with pytest.raises(Conflict):
                self.state.delete(self.tenant, self.at(key), ask)
            return
        assert self.state.delete(self.tenant, self.at(key), ask).deleted == bool(version)
        self.model.pop(key, None)
        self.floor = max(self.floor, version)

    @rule(key=keys)
    def get(self, key: str) -> None:
        """Read one."""
        if key not in self.model:
            with pytest.raises(NotFound):
                self.state.get(self.tenant, self.at(key))
            return
        entry = self.state.get(self.tenant, self.at(key))
        assert (entry.value, entry.version) == self.model[key]

    @invariant()
    def lists_the_same(self) -> None:
        """All entries, sorted."""
        entries = self.state.entries(self.tenant, NamespaceParams(trace_id="t", namespace="n")).entries
        assert {entry.key: (entry.value, entry.version) for entry in entries} == self.model
        assert sorted(self.model) == [entry.key for entry in entries]


def test_shared_state_is_a_dictionary_with_versions(redis: Client) -> None:
    """Random walks of puts, increments, deletes and reads agree with the model at every step."""
    machine = type("Machine", (StateMachine,), {"redis": redis})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))

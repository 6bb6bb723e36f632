"""Shared state behaves like a dictionary with versions, whatever is done to it in whatever order."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ensemble.contract.state import (
    Append,
    Increment,
    Merge,
    NamespaceParams,
    PlacedPut,
    SetChange,
    StateAt,
    StateParams,
    StatePut,
    StateRead,
    StateRemoval,
    StateWrite,
    TraceParams,
)
from sidecar.errors import Conflict, NotFound
from sidecar.state.service import State
from sidecar.store.connection import Client

keys = st.sampled_from(["a", "b", "b/c"])
T = TraceParams(trace_id="t")
texts = st.text(max_size=4) | st.text('ab"\\\\[]{},:\n é', max_size=5)
scalars = st.integers(-5, 5) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
inner = st.recursive(
    st.none() | st.booleans() | scalars,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(texts, each, max_size=3),
    max_leaves=6,
)
lists = st.lists(inner, max_size=4)
objects = st.dictionaries(st.sampled_from(["a", "b", 'a"b', "{"]), inner, max_size=3)
values = st.integers(-5, 5) | st.text(max_size=3) | st.none() | lists | objects
expectations = st.none() | st.integers(0, 4)


def merged(target: Any, patch: Any) -> Any:
    """Return what RFC 7386 says, in its own words."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def spelled(value: Any) -> str:
    """Return how JSON spells *value*: by this, members of a set are told apart."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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

    @rule(key=keys, items=st.lists(inner, min_size=1, max_size=3), most=st.none() | st.integers(1, 4))
    def append(self, key: str, items: list[Any], most: int | None) -> None:
        """Add to a list and drop the oldest, or be told that it is none."""
        ask = Append(writer="n", items=tuple(items), at_most=most)
        value = self.model.get(key, ([], 0))[0]
        if not isinstance(value, list):
            with pytest.raises(Conflict):
                self.state.append(self.tenant, self.at(key), ask)
            return
        grown = [*value, *items]
        new = grown[-most:] if most else grown
        version = self._next(key)
        done = self.state.append(self.tenant, self.at(key), ask)
        assert (done.version, done.length, done.dropped) == (version, len(new), len(grown) - len(new))
        self.model[key] = (new, version)

    @rule(key=keys, patch=objects)
    def merge(self, key: str, patch: dict[str, Any]) -> None:
        """Merge into an object, or be told that it is none."""
        value = self.model.get(key, ({}, 0))[0]
        if not isinstance(value, dict):
            with pytest.raises(Conflict):
                self.state.merge(self.tenant, self.at(key), Merge(writer="n", patch=patch))
            return
        version, new = self._next(key), merged(value, patch)
        entry = self.state.merge(self.tenant, self.at(key), Merge(writer="n", patch=patch))
        assert (repr(entry.value), entry.version) == (repr(new), version)
        self.model[key] = (new, version)

    @rule(key=keys, add=st.lists(scalars, max_size=3), remove=st.lists(scalars, max_size=2))
    def change_set(self, key: str, add: list[Any], remove: list[Any]) -> None:
        """Add what is new, remove what is there, write nothing where nothing changes."""
        ask = SetChange(writer="n", add=tuple(add), remove=tuple(remove))
        value, version = self.model.get(key, ([], 0))
        if not isinstance(value, list):
            with pytest.raises(Conflict):
                self.state.change_set(self.tenant, self.at(key), ask)
            return
        before = {spelled(each): each for each in value}
        grown = before | {spelled(each): each for each in add if spelled(each) not in before}
        new = {word: each for word, each in grown.items() if word not in {spelled(gone) for gone in remove}}
        done = self.state.change_set(self.tenant, self.at(key), ask)
        assert (done.added, done.removed) == (len(grown) - len(before), len(grown) - len(new))
        assert done.size == len(new)
        if done.added or done.removed:
            version = self._next(key)
            self.model[key] = (list(new.values()), version)
        assert done.version == version

    @rule(puts=st.dictionaries(keys, st.tuples(values, expectations), min_size=1))
    def put_many(self, puts: dict[str, tuple[Any, int | None]]) -> None:
        """Store all, or hear of every version in the way and find nothing changed."""
        versions = {key: self.model.get(key, (None, 0))[1] for key in puts}
        wrong = {key for key, (_, expected) in puts.items() if expected not in (None, versions[key])}
        asked = (
            PlacedPut(namespace="n", key=key, value=value, expected_version=expected)
            for key, (value, expected) in puts.items()
        )
        done = self.state.put_many(self.tenant, T, StateWrite(writer="n", puts=tuple(asked)))
        told = {each.key: each.version for each in done.versions}
        if wrong:
            assert (done.written, told) == (False, {key: versions[key] for key in wrong})
            return
        next_versions = {key: self._next(key) for key in puts}
        assert (done.written, told) == (True, next_versions)
        self.model |= {key: (value, next_versions[key]) for key, (value, _) in puts.items()}

    @rule(chosen=st.lists(keys, min_size=1, max_size=4))
    def get_many(self, chosen: list[str]) -> None:
        """Read those that are there."""
        items = tuple(StateAt(namespace="n", key=key) for key in chosen)
        entries = self.state.get_many(self.tenant, T, StateRead(items=items)).entries
        assert [(e.key, repr(e.value), e.version) for e in entries] == [
            (key, repr(self.model[key][0]), self.model[key][1]) for key in chosen if key in self.model
        ]

    @invariant()
    def counts_its_bytes(self) -> None:
        """What the values take is what the namespace believes."""
        kept: Any = self.redis
        taken = sum(len(spelled(value).encode()) for value, _ in self.model.values())
        assert int(kept.hget(f"ens:{{{self.tenant}}}:state:t:n", "\x01bytes") or 0) == taken

    @invariant()
    def lists_the_same(self) -> None:
        """All entries, sorted."""
        entries = self.state.entries(self.tenant, NamespaceParams(trace_id="t", namespace="n")).entries
        assert repr({entry.key: (entry.value, entry.version) for entry in entries}) == repr(
            dict(sorted(self.model.items()))
        )
        assert sorted(self.model) == [entry.key for entry in entries]


def test_shared_state_is_a_dictionary_with_versions(redis: Client) -> None:
    """Random walks of puts, increments, deletes and reads agree with the model at every step."""
    machine = type("Machine", (StateMachine,), {"redis": redis})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=25, deadline=None))

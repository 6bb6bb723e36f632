"""What can be done to shared state, and who may do it. Each verb is one script, so it is whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ensemble.contract.problems import Fault
from ensemble.contract.state import (
    Append,
    Appended,
    Deleted,
    Increment,
    Merge,
    NamespaceParams,
    PlacedEntry,
    PlacedPut,
    PlacedVersion,
    SetChange,
    SetChanged,
    StateAt,
    StateEntry,
    StateFound,
    StateList,
    StateParams,
    StatePut,
    StateRead,
    StateRemoval,
    StateWrite,
    StateWritten,
    TraceParams,
    Versions,
)
from sidecar.errors import Conflict, Invalid, NotFound
from sidecar.state.refusals import LIMITS, check_version_given, check_writer, doubled, outdated, refusal, unfit
from sidecar.state.values import to_entry, to_json
from sidecar.store.connection import Client
from sidecar.store.faults import store_errors
from sidecar.store.keys import full_key
from sidecar.store.scripts import Script

__all__ = ["State"]

MOST_LISTED_BYTES = 8 * 1024 * 1024
"""Values in one list, as JSON; further ones are asked for by a narrower prefix."""
FETCHED_AT_ONCE = 100
LARGEST_NUMBER = 2**53
OWN_FIELDS = ("\x01ttl_ms", "\x01floor", "\x01bytes")
"""Fields of a namespace's hash that are no values; a key can't hold a control character."""

_PUT = Script("sidecar.state", "put.lua", includes=["namespace.lua"])
_GET = Script("sidecar.state", "get.lua")
_DELETE = Script("sidecar.state", "delete.lua", includes=["namespace.lua"])
_INCREMENT = Script("sidecar.state", "increment.lua", includes=["namespace.lua"])
_APPEND = Script("sidecar.state", "append.lua", includes=["namespace.lua", "json.lua"])
_MERGE = Script("sidecar.state", "merge.lua", includes=["namespace.lua", "json.lua"])
_CHANGE_SET = Script("sidecar.state", "change_set.lua", includes=["namespace.lua", "json.lua"])

_OUTDATED = 0
"""As the first number of an answer to put or delete: a version is not the expected one."""
_UNFIT = 0
"""As the first number of an answer to the other writing verbs: what stands there is of another type."""


class State:
    """The shared state of all traces of all tenants."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    def get(self, tenant: str, at: StateParams) -> StateEntry:
        """Return a value. Raises NotFound."""
        (raw,) = self._read(tenant, at.trace_id, {at.namespace: [at.key]})
        if raw is None:
            raise NotFound(
                f"The namespace {at.namespace!r} of this trace holds no {at.key!r}.",
                Fault(field="key", problem="not there", fix="Put a value first, or list the namespace for its keys."),
            )
        return to_entry(at.key, raw)

    def get_many(self, tenant: str, at: TraceParams, ask: StateRead) -> StateFound:
        """Return those of several values that are there, as they stand at one moment."""
        keys: dict[str, list[str]] = {}
        for item in ask.items:
            keys.setdefault(item.namespace, []).append(item.key)
        found = self._read(tenant, at.trace_id, keys)
        places = [(namespace, key) for namespace, names in keys.items() for key in names]
        raws = dict(zip(places, found, strict=True))
        entries: list[PlacedEntry] = []
        for item in ask.items:
            raw = raws[item.namespace, item.key]
            if raw is not None:
                entry = to_entry(item.key, raw)
                placed = PlacedEntry(namespace=item.namespace, key=item.key, value=entry.value, version=entry.version)
                entries.append(placed)
        return StateFound(entries=tuple(entries))

    def entries(self, tenant: str, at: NamespaceParams) -> StateList:
        """Return the values whose keys begin with the prefix, sorted, as far as limits allow.

        What is deleted while this runs may be missing; every value is one that was there.
        """
        key = _hash(tenant, at.trace_id, at.namespace)
        with store_errors(self._redis, [key]):
            found = self._redis.hkeys(key)
        names = sorted(name for name in found if name.startswith(at.prefix) and name not in OWN_FIELDS)
        entries: list[StateEntry] = []
        size = 0
        for start in range(0, min(len(names), at.limit), FETCHED_AT_ONCE):
            chosen = names[start : min(start + FETCHED_AT_ONCE, at.limit)]
            for name, raw in zip(chosen, self._read(tenant, at.trace_id, {at.namespace: chosen}), strict=True):
                if raw is None:
                    continue
                size += len(raw.encode())
                if size > MOST_LISTED_BYTES and entries:
                    return StateList(entries=tuple(entries), truncated=True)
                entries.append(to_entry(name, raw))
        return StateList(entries=tuple(entries), truncated=len(names) > at.limit)

    def put(self, tenant: str, at: StateParams, ask: StatePut) -> Versions:
        """Store a value.

        Raises:
            Forbidden: Another agent's namespace, or ``shared`` without a version.
            Invalid: The value holds a number JSON has no word for.
            TooLarge: The value, or the namespace.
            Conflict: The version is not the one expected.

        """
        put = PlacedPut(namespace=at.namespace, key=at.key, value=ask.value, expected_version=ask.expected_version)
        written, ((_, version),) = self._put(tenant, at.trace_id, ask.writer, (put,), ask.ttl_s)
        if not written:
            raise outdated(at.key, ask.expected_version, version)
        return Versions(key=at.key, version=version)

    def put_many(self, tenant: str, at: TraceParams, ask: StateWrite) -> StateWritten:
        """Store several values, all of them or none; a version that is not the expected one is an answer, no error.

        Raises:
            Forbidden, Invalid, TooLarge: As `put`, of any of them.
            Invalid: A key stands twice.

        """
        twice = doubled([(put.namespace, put.key) for put in ask.puts])
        if twice:
            raise Invalid(
                "A value is to be stored twice.",
                Fault(field="puts", problem=f"{twice[1]!r} of {twice[0]!r} stands twice", fix="Send it once."),
            )
        written, versions = self._put(tenant, at.trace_id, ask.writer, ask.puts, ask.ttl_s)
        placed = (PlacedVersion(namespace=put.namespace, key=put.key, version=each) for put, each in versions)
        return StateWritten(written=written, versions=tuple(placed))

    def delete(self, tenant: str, at: StateParams, ask: StateRemoval) -> Deleted:
        """Remove a value, if there is one. Raises Forbidden, Conflict as `put` does."""
        check_writer(at.namespace, ask.writer)
        check_version_given(at.namespace, ask.expected_version, "delete")
        expected = "" if ask.expected_version is None else ask.expected_version
        done, version = _DELETE.run(self._redis, [_hash(tenant, at.trace_id, at.namespace)], [at.key, expected])
        if done == _OUTDATED:
            raise outdated(at.key, ask.expected_version, version)
        return Deleted(deleted=done == 1)

    def increment(self, tenant: str, at: StateParams, ask: Increment) -> StateEntry:
        """Add to a number. Sending it twice adds twice, so it is never repeated here.

        Raises:
            Forbidden: Another agent's namespace.
            Conflict: What is there is no whole number, or the sum would pass 2^53.
            TooLarge: The namespace is full.

        """
        done, version, *number = self._change(_INCREMENT, tenant, at, ask, field="by", args=[ask.by])
        if done == _UNFIT:
            raise unfit(at.key, "whole number between -2^53 and 2^53")
        if done < 0:
            problem = f"the sum would pass 2^53 ({LARGEST_NUMBER})"
            raise Conflict(
                f"{at.key!r} stays as it is: {problem}.",
                Fault(field="by", problem=problem, fix="Put a smaller number first."),
            )
        return StateEntry(key=at.key, value=int(number[0]), version=version)

    def append(self, tenant: str, at: StateParams, ask: Append) -> Appended:
        """Add to the end of a list. Sending it twice adds twice, so it is never repeated here.

        Raises:
            Forbidden, Invalid, TooLarge: As `put`.
            Conflict: What is there is no list.

        """
        most = "" if ask.at_most is None else ask.at_most
        done, version, *told = self._change(
            _APPEND, tenant, at, ask, field="items", args=[to_json(ask.items, "items"), len(ask.items), most]
        )
        if done == _UNFIT:
            raise unfit(at.key, "list")
        return Appended(key=at.key, version=version, length=told[0], dropped=told[1])

    def merge(self, tenant: str, at: StateParams, ask: Merge) -> StateEntry:
        """Merge a patch into an object and return it as it is now. Raises as `append`, for an object."""
        done, version, *text = self._change(_MERGE, tenant, at, ask, field="patch", args=[to_json(ask.patch, "patch")])
        if done == _UNFIT:
            raise unfit(at.key, "object")
        return StateEntry(key=at.key, value=json.loads(text[0]), version=version)

    def change_set(self, tenant: str, at: StateParams, ask: SetChange) -> SetChanged:
        """Add members to a set, then remove others. Raises as `append`."""
        members = [to_json(each, "add") for each in ask.add] + [to_json(each, "remove") for each in ask.remove]
        done, version, *told = self._change(_CHANGE_SET, tenant, at, ask, field="add", args=[len(ask.add), *members])
        if done == _UNFIT:
            raise unfit(at.key, "list")
        size, added, removed = told
        return SetChanged(key=at.key, version=version, size=size, added=added, removed=removed)

    def _read(self, tenant: str, trace_id: str, keys: dict[str, list[str]]) -> list[str | None]:
        """Return what is kept under each of *keys*, by namespace, all at one moment."""
        hashes = [_hash(tenant, trace_id, namespace) for namespace in keys]
        args: list[str | int] = []
        for names in keys.values():
            args += [len(names), *names]
        found: list[str | None] = _GET.run(self._redis, hashes, args)
        return found

    def _put(
        self, tenant: str, trace_id: str, writer: str, puts: Sequence[PlacedPut], ttl_s: int
    ) -> tuple[bool, list[tuple[StateAt, int]]]:
        """Store all of *puts* or none; return whether, and the versions left behind or in the way."""
        numbers: dict[str, int] = {}
        args: list[str | int] = [ttl_s * 1000, *LIMITS]
        for put in puts:
            check_writer(put.namespace, writer)
            check_version_given(put.namespace, put.expected_version, "put")
            expected = "" if put.expected_version is None else put.expected_version
            args += numbers.setdefault(put.namespace, len(numbers) + 1), put.key, to_json(put.value), expected
        hashes = [_hash(tenant, trace_id, namespace) for namespace in numbers]
        done, *told = _PUT.run(self._redis, hashes, args)
        if done == _OUTDATED:
            return False, [(puts[i - 1], version) for i, version in zip(told[::2], told[1::2], strict=True)]
        if done < 0:
            size, i = told
            refused = refusal(done, size, puts[i - 1].namespace, "value")
            assert refused is not None  # noqa: S101 -- namespace.lua has no other number
            raise refused
        return True, list(zip(puts, told, strict=True))

    def _change(
        self,
        script: Script,
        tenant: str,
        at: StateParams,
        ask: Increment | Append | Merge | SetChange,
        *,
        field: str,
        args: list[str | int],
    ) -> list[Any]:
        """Run a verb on one value, which works in every namespace the asker may write to. Raises Forbidden, TooLarge."""
        check_writer(at.namespace, ask.writer)
        answer: list[Any] = script.run(
            self._redis, [_hash(tenant, at.trace_id, at.namespace)], [at.key, ask.ttl_s * 1000, *LIMITS, *args]
        )
        refused = refusal(answer[0], answer[1], at.namespace, field)
        if refused is not None:
            raise refused
        return answer


def _hash(tenant: str, trace_id: str, namespace: str) -> str:
    # A trace id holds no colon, so no two namespaces share a key.
    return full_key(tenant, f"state:{trace_id}:{namespace}")

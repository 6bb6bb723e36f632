"""What can be done to shared state, and who may do it."""

from __future__ import annotations

from ensemble.contract.problems import Fault
from ensemble.contract.state import (
    Deleted,
    Increment,
    NamespaceParams,
    StateEntry,
    StateList,
    StateParams,
    StatePut,
    StateRemoval,
    Versions,
)
from sidecar.errors import Conflict, NotFound
from sidecar.state.refusals import check_version_given, check_writer, full, outdated
from sidecar.state.values import to_entry, to_json
from sidecar.store.connection import Client, store_errors
from sidecar.store.keys import full_key
from sidecar.store.scripts import Script

__all__ = ["State"]

MOST_VALUES = 10_000
"""Values in one namespace."""
MOST_LISTED_BYTES = 8 * 1024 * 1024
"""Values in one list, as JSON; further ones are asked for by a narrower prefix."""
FETCHED_AT_ONCE = 100
LARGEST_NUMBER = 2**53
OWN_FIELDS = ("\x01ttl_ms", "\x01floor")
"""Fields of a namespace's hash that are no values; a key can't hold a control character."""

_GET = Script("sidecar.state", "get.lua")
_PUT = Script("sidecar.state", "put.lua")
_INCREMENT = Script("sidecar.state", "increment.lua")
_DELETE = Script("sidecar.state", "delete.lua")


class State:
    """The shared state of all traces of all tenants."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    def get(self, tenant: str, at: StateParams) -> StateEntry:
        """Return a value. Raises NotFound."""
        (raw,) = _GET.run(self._redis, [_hash(tenant, at)], [at.key])
        if raw is None:
            raise NotFound(
                f"The namespace {at.namespace!r} of this trace holds no {at.key!r}.",
                Fault(field="key", problem="not there"),
            )
        return to_entry(at.key, raw)

    def entries(self, tenant: str, at: NamespaceParams) -> StateList:
        """Return the values whose keys begin with the prefix, sorted, as far as limits allow.

        What is deleted while this runs may be missing; every value is one that was there.
        """
        key = _hash(tenant, at)
        with store_errors():
            found = self._redis.hkeys(key)
        names = sorted(name for name in found if name.startswith(at.prefix) and name not in OWN_FIELDS)
        entries: list[StateEntry] = []
        size = 0
        for start in range(0, min(len(names), at.limit), FETCHED_AT_ONCE):
            chosen = names[start : min(start + FETCHED_AT_ONCE, at.limit)]
            for name, raw in zip(chosen, _GET.run(self._redis, [key], chosen), strict=True):
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
        check_writer(at, ask.writer)
        check_version_given(at, ask.expected_version, "put")
        expected = "" if ask.expected_version is None else ask.expected_version
        done, version = _PUT.run(
            self._redis, [_hash(tenant, at)], [at.key, to_json(ask.value), expected, ask.ttl_s * 1000, MOST_VALUES]
        )
        if done < 0:
            raise full(at, MOST_VALUES)
        if not done:
            raise outdated(at, ask.expected_version, version)
        return Versions(key=at.key, version=version)

    def increment(self, tenant: str, at: StateParams, ask: Increment) -> StateEntry:
        """Add to a number. Sending it twice adds twice, so it is never repeated here.

        Raises:
            Forbidden: Another agent's namespace.
            Conflict: What is there is no whole number, or the sum would pass 2^53.
            TooLarge: The namespace is full.

        """
        check_writer(at, ask.writer)
        done, version, *number = _INCREMENT.run(
            self._redis, [_hash(tenant, at)], [at.key, ask.by, ask.ttl_s * 1000, MOST_VALUES]
        )
        if done == -1:
            raise full(at, MOST_VALUES)
        if done == 0:
            problem = f"{at.key!r} holds no whole number between -2^53 and 2^53"
            raise Conflict(
                f"{problem}, so nothing can be added to it.",
                Fault(field="key", problem=problem, fix="Put a whole number first."),
            )
        if done < 0:
            problem = f"the sum would pass 2^53 ({LARGEST_NUMBER})"
            raise Conflict(
                f"{at.key!r} stays as it is: {problem}.",
                Fault(field="by", problem=problem, fix="Put a smaller number first."),
            )
        return StateEntry(key=at.key, value=int(number[0]), version=version)

    def delete(self, tenant: str, at: StateParams, ask: StateRemoval) -> Deleted:
        """Remove a value, if there is one. Raises Forbidden, Conflict as `put` does."""
        check_writer(at, ask.writer)
        check_version_given(at, ask.expected_version, "delete")
        expected = "" if ask.expected_version is None else ask.expected_version
        done, version = _DELETE.run(self._redis, [_hash(tenant, at)], [at.key, expected])
        if not done:
            raise outdated(at, ask.expected_version, version)
        return Deleted(deleted=done == 1)


def _hash(tenant: str, at: StateParams | NamespaceParams) -> str:
    # A trace id holds no colon, so no two namespaces share a key.
    return full_key(tenant, f"state:{at.trace_id}:{at.namespace}")

"""One call of the shared state tool: from parameters and credentials to a value and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.state import (
    Append,
    Increment,
    Merge,
    NamespaceParams,
    PlacedPut,
    SetChange,
    StateAt,
    StateEntry,
    StateParams,
    StateRead,
    StateRemoval,
    StateWrite,
    StateWritten,
    TraceParams,
)
from plugin.adapters.pools import POOLS, Pools
from plugin.errors import BadParameters, in_words
from plugin.shared_state.parameters import Operation, SharedStateParameters, read_shared_state_parameters
from plugin.stores import Said, as_text, faults_of, sidecar_for

__all__ = ["SHARED_STATE_VARIABLES", "share_state"]

SHARED_STATE_VARIABLES = (
    "done", "found", "version", "type", "number", "object", "items", "entries", "problem", "trace_id",
)  # fmt: skip
"""Every variable sent."""

_LISTED = 1000
_PARAMETERS = {
    "writer": "agent", "prefix": "key", "limit": "at_most",
    "by": "value", "items": "value", "patch": "value", "add": "value", "remove": "value", "puts": "value",
}  # fmt: skip
"""What fills the fields of the contract that are called otherwise there."""


def share_state(parameters: Mapping[str, Any], credentials: Mapping[str, Any], pools: Pools = POOLS) -> Said:
    """Do what *parameters* ask for. A value that is not there, or has another version, is an answer and no error.

    Raises:
        EnsembleError: parameters or credentials can't be used, there is no sidecar, or it refuses.

    """
    asked = read_shared_state_parameters(parameters)
    sidecar = sidecar_for(credentials, pools, "Shared state")
    try:
        return _DOING[asked.operation](sidecar, asked)
    except ValidationError as error:
        inside = {"key": "value"} if asked.operation is Operation.PUT_MANY else {}
        raise BadParameters(in_words(faults_of(error, _PARAMETERS | inside))) from None


def _get(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    items = tuple(StateAt(namespace=asked.namespace, key=key) for key in asked.keys)
    entries = sidecar.get_states(_trace(asked), StateRead(items=items)).entries
    if asked.operation is Operation.GET_MANY:
        return _many(asked, entries)
    if not entries:
        return _said(asked, done=False, problem=f"{asked.namespace!r} holds no {asked.key!r} in this trace.")
    (entry,) = entries
    return _said(asked, value=entry.value, version=entry.version, found=True)


def _list(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    params = NamespaceParams(
        trace_id=asked.trace_id, namespace=asked.namespace, prefix=asked.key, limit=asked.at_most or _LISTED
    )
    found = sidecar.list_state(params)
    problem = "There are more: ask for a longer beginning of the key, or raise at_most." if found.truncated else ""
    return _many(asked, found.entries, problem=problem)


def _put(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    put = PlacedPut(
        namespace=asked.namespace, key=asked.key, value=asked.value, expected_version=asked.expected_version
    )
    written = sidecar.put_states(_trace(asked), StateWrite(writer=asked.agent, puts=(put,), ttl_s=asked.ttl_s))
    (at,) = written.versions
    if not written.written:
        return _said(asked, done=False, version=at.version, found=at.version > 0, problem=_outdated(written))
    return _said(asked, value=asked.value, version=at.version, found=True)


def _put_many(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    puts = tuple(
        PlacedPut(namespace=asked.namespace, key=key, value=each, expected_version=asked.expected_version)
        for key, each in asked.value.items()
    )
    written = sidecar.put_states(_trace(asked), StateWrite(writer=asked.agent, puts=puts, ttl_s=asked.ttl_s))
    versions = {each.key: each.version for each in written.versions}
    entries = [
        StateEntry(key=key, value=each, version=versions[key]) for key, each in asked.value.items() if written.written
    ]
    return _many(asked, entries, done=written.written, problem="" if written.written else _outdated(written))


def _increment(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    by = 1 if asked.value is None else asked.value
    entry = sidecar.increment_state(_at(asked), Increment(writer=asked.agent, by=by, ttl_s=asked.ttl_s))
    return _said(asked, value=entry.value, version=entry.version, found=True)


def _append(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    ask = Append(writer=asked.agent, items=_items(asked), at_most=asked.at_most, ttl_s=asked.ttl_s)
    done = sidecar.append_state(_at(asked), ask)
    return _said(asked, value=done.length, version=done.version, found=True)


def _merge(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    entry = sidecar.merge_state(_at(asked), Merge(writer=asked.agent, patch=asked.value, ttl_s=asked.ttl_s))
    return _said(asked, value=entry.value, version=entry.version, found=True)


def _change_set(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    field = "add" if asked.operation is Operation.ADD else "remove"
    ask = SetChange(writer=asked.agent, ttl_s=asked.ttl_s, **{field: _items(asked)})
    done = sidecar.change_set(_at(asked), ask)
    changed = done.added + done.removed > 0
    problem = "" if changed else f"Nothing to {field}: the set is as it was."
    return _said(asked, done=changed, value=done.size, version=done.version, found=done.version > 0, problem=problem)


def _delete(sidecar: SidecarLedger, asked: SharedStateParameters) -> Said:
    ask = StateRemoval(writer=asked.agent, expected_version=asked.expected_version)
    deleted = sidecar.delete_state(_at(asked), ask).deleted
    return _said(asked, done=deleted, problem="" if deleted else f"There was no {asked.key!r}.")


_DOING: Mapping[Operation, Callable[[SidecarLedger, SharedStateParameters], Said]] = {
    Operation.GET: _get,
    Operation.GET_MANY: _get,
    Operation.LIST: _list,
    Operation.PUT: _put,
    Operation.PUT_MANY: _put_many,
    Operation.INCREMENT: _increment,
    Operation.APPEND: _append,
    Operation.MERGE: _merge,
    Operation.ADD: _change_set,
    Operation.REMOVE: _change_set,
    Operation.DELETE: _delete,
}


def _many(asked: SharedStateParameters, entries: Sequence[StateEntry], *, done: bool = True, problem: str = "") -> Said:
    shown = [_entry(asked, entry) for entry in entries]
    values = {entry.key: entry.value for entry in entries}
    return _said(asked, done=done, value=values, found=bool(entries), entries=shown, problem=problem)


def _entry(asked: SharedStateParameters, entry: StateEntry) -> dict[str, Any]:
    """Return one entry of *entries*; the values of a list have one type, so that a workflow can go through them."""
    shown = {"namespace": asked.namespace, "key": entry.key, "value": as_text(entry.value), "version": entry.version}
    return shown | ({"data": entry.value} if isinstance(entry.value, dict) else {})


_MISSING = object()


def _said(
    asked: SharedStateParameters,
    *,
    value: Any = _MISSING,
    done: bool = True,
    found: bool = False,
    version: int = 0,
    entries: Sequence[Mapping[str, Any]] = (),
    problem: str = "",
) -> Said:
    """Return what is told: each variable always there and of its type, so that a workflow can branch on any."""
    variables = {
        "done": done,
        "found": found,
        "version": version,
        "type": _type(value),
        "number": value if _type(value) == "number" else 0,
        "object": value if isinstance(value, dict) else {},
        "items": value if isinstance(value, list) else [],
        "entries": list(entries),
        "problem": problem,
        "trace_id": asked.trace_id,
    }
    text = problem if value is _MISSING else as_text(value)
    return Said(text=text, variables={name: variables[name] for name in SHARED_STATE_VARIABLES})


def _type(value: Any) -> str:
    match value:
        case str():
            return "text"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case dict():
            return "object"
        case list() | tuple():
            return "array"
        case None:
            return "null"
        case _:
            return "none"


def _items(asked: SharedStateParameters) -> tuple[Any, ...]:
    """Return a list's items, or the one value."""
    return tuple(asked.value) if isinstance(asked.value, list) else (asked.value,)


def _trace(asked: SharedStateParameters) -> TraceParams:
    return TraceParams(trace_id=asked.trace_id)


def _at(asked: SharedStateParameters) -> StateParams:
    return StateParams(trace_id=asked.trace_id, namespace=asked.namespace, key=asked.key)


def _outdated(written: StateWritten) -> str:
    stands = ", ".join(f"{each.key!r} has version {each.version}" for each in written.versions)
    return f"Nothing was stored: {stands}, not the expected one. Get it again, then decide anew."

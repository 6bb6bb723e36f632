"""What can be said to the shared state of a trace."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ensemble.contract.base import AgentName, Answer, Ask, Namespace, StateKey, TraceId

__all__ = [
    "SHARED",
    "Append",
    "Appended",
    "Deleted",
    "Increment",
    "Merge",
    "NamespaceParams",
    "PlacedEntry",
    "PlacedPut",
    "PlacedVersion",
    "SetChange",
    "SetChanged",
    "StateAt",
    "StateEntry",
    "StateFound",
    "StateList",
    "StateParams",
    "StatePut",
    "StateRead",
    "StateRemoval",
    "StateWrite",
    "StateWritten",
    "TraceParams",
    "Versions",
]

SHARED = "shared"
"""The namespace every agent may write, by atomic operations only."""

MAX_STATE_VALUE_BYTES = 1024 * 1024
"""The longest value, as JSON."""

MAX_AT_ONCE = 100
"""Values read or stored by one call."""

TimeToLive = Annotated[int, Field(ge=1, le=30 * 86400, description="How long the namespace lives after its last use.")]
Writer = Annotated[AgentName, Field(description="Who writes; must be the namespace's own name, unless that is shared.")]


class TraceParams(Ask):
    """Which trace."""

    trace_id: TraceId


class StateParams(Ask):
    """One key: the trace, whose namespace, which key."""

    trace_id: TraceId
    namespace: Namespace
    key: StateKey


class NamespaceParams(Ask):
    """The keys of one namespace that begin with *prefix*."""

    trace_id: TraceId
    namespace: Namespace
    prefix: str = Field(default="", max_length=256)
    limit: int = Field(default=1000, ge=1, le=10_000)


class StatePut(Ask):
    """Store *value*; with *expected_version*, only if that is still the newest (0: only if there is none)."""

    writer: Writer
    value: Any
    expected_version: int | None = Field(default=None, ge=0)
    ttl_s: TimeToLive = 3600


class StateRemoval(Ask):
    """Remove a key; with *expected_version*, only if that is still the newest."""

    writer: Writer
    expected_version: int | None = Field(default=None, ge=1)


class Increment(Ask):
    """Add *by* to a number, which starts at 0; works in every namespace, shared included."""

    writer: Writer
    by: int = Field(default=1, ge=-(2**53), le=2**53)
    ttl_s: TimeToLive = 3600


class Append(Ask):
    """Add *items* to the end of a list, which starts empty; works in every namespace. Twice sent is twice added."""

    writer: Writer
    items: tuple[Any, ...] = Field(min_length=1, max_length=1000)
    at_most: int | None = Field(
        default=None, ge=1, le=100_000, description="Items the list keeps; the oldest leave where there would be more."
    )
    ttl_s: TimeToLive = 3600


class Merge(Ask):
    """Merge *patch* into an object, which starts empty (JSON merge patch, RFC 7386): null removes a member."""

    writer: Writer
    patch: dict[str, Any]
    ttl_s: TimeToLive = 3600


type Member = str | int | float | bool | None


class SetChange(Ask):
    """Add members to a set, then remove others; a set is a list in which none stands twice, and starts empty.

    Members are told apart as JSON spells them: 1 and 1.0 are two.
    """

    writer: Writer
    add: tuple[Member, ...] = Field(default=(), max_length=1000)
    remove: tuple[Member, ...] = Field(default=(), max_length=1000)
    ttl_s: TimeToLive = 3600


class StateAt(Ask):
    """One key of one namespace."""

    namespace: Namespace
    key: StateKey


class StateRead(Ask):
    """Read several values at one moment."""

    items: tuple[StateAt, ...] = Field(min_length=1, max_length=MAX_AT_ONCE)


class PlacedPut(StateAt):
    """One value to store; with *expected_version*, only if that is still the newest (0: only if there is none)."""

    value: Any
    expected_version: int | None = Field(default=None, ge=0)


class StateWrite(Ask):
    """Store several values, all of them or none."""

    writer: Writer
    puts: tuple[PlacedPut, ...] = Field(min_length=1, max_length=MAX_AT_ONCE)
    ttl_s: TimeToLive = 3600


class StateEntry(Answer):
    """One value with its version. Versions start at 1 and grow by one at every write."""

    key: StateKey
    value: Any
    version: int = Field(ge=1)


class StateList(Answer):
    """The entries of a namespace, sorted by key."""

    entries: tuple[StateEntry, ...]
    truncated: bool = Field(default=False, description="True where *limit* cut the list.")


class Deleted(Answer):
    """Whether there was something to remove."""

    deleted: bool


class Appended(Answer):
    """The list as it is now."""

    key: StateKey
    version: int = Field(ge=1)
    length: int = Field(ge=1)
    dropped: int = Field(ge=0, description="Items that left because of *at_most*.")


class SetChanged(Answer):
    """The set as it is now; where nothing changed, its version is the old one."""

    key: StateKey
    version: int = Field(ge=0, description="0 where there is still none.")
    size: int = Field(ge=0)
    added: int = Field(ge=0)
    removed: int = Field(ge=0)


class PlacedEntry(StateEntry):
    """One value with its version and its namespace."""

    namespace: Namespace


class StateFound(Answer):
    """The values that are there, in the order asked for."""

    entries: tuple[PlacedEntry, ...]


class PlacedVersion(Answer):
    """The version of one key; 0: there is no value."""

    namespace: Namespace
    key: StateKey
    version: int = Field(ge=0)


class StateWritten(Answer):
    """Whether all values were stored, and which versions stand."""

    written: bool
    versions: tuple[PlacedVersion, ...] = Field(
        description="Of all that were stored; or, where nothing was, of those whose version is not the expected one."
    )


class Versions(Answer):
    """The version a write left behind."""

    key: StateKey
    version: int = Field(ge=1)

"""What can be said to the shared state of a trace."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ensemble.contract.base import AgentName, Answer, Ask, Namespace, StateKey, TraceId

__all__ = [
    "SHARED",
    "Deleted",
    "Increment",
    "NamespaceParams",
    "StateEntry",
    "StateList",
    "StateParams",
    "StatePut",
    "StateRemoval",
    "Versions",
]

SHARED = "shared"
"""The namespace every agent may write, by atomic operations only."""

MAX_STATE_VALUE_BYTES = 1024 * 1024
"""The longest value, as JSON."""


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

    writer: AgentName = Field(description="Who writes; must be the namespace's own name, unless that is shared.")
    value: Any
    expected_version: int | None = Field(default=None, ge=0)
    ttl_s: int = Field(
        default=3600, ge=1, le=30 * 86400, description="How long the namespace lives after its last use."
    )


class StateRemoval(Ask):
    """Remove a key; with *expected_version*, only if that is still the newest."""

    writer: AgentName
    expected_version: int | None = Field(default=None, ge=1)


class Increment(Ask):
    """Add *by* to a number, which starts at 0; works in every namespace, shared included."""

    writer: AgentName
    by: int = Field(default=1, ge=-(2**53), le=2**53)
    ttl_s: int = Field(default=3600, ge=1, le=30 * 86400)


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


class Versions(Answer):
    """The version a write left behind."""

    key: StateKey
    version: int = Field(ge=1)

"""How Redis keys are spelled: everything of one tenant shares one hash tag, hence one slot of a Cluster."""

from __future__ import annotations

__all__ = ["PROBE", "full_key", "kind_of", "relative_key"]

PROBE = "ens:probe"
"""A key that is never there: a write to it that asks for it to be there tells whether the store takes writes."""
_SORTED = frozenset({"runs", "leases", "breakers", "agents", "budgets", "reservations"})
"""What the keys of indexes begin with."""


def full_key(tenant: str, relative: str) -> str:
    """Return the Redis key of *relative*, such as ``run:<id>``, for *tenant*."""
    return f"ens:{{{tenant}}}:{relative}"


def relative_key(key: str) -> str:
    """Return *key* without the tenant's part."""
    return key.partition("}:")[2] or key


def kind_of(key: str) -> str:
    """Return the type of a key of ours, as Redis calls it."""
    first, _, rest = relative_key(key).partition(":")
    last = rest.rpartition(":")[2]
    if first in _SORTED:
        return "zset"
    if first == "messages":
        return "zset" if last == "log" else "hash"
    if first == "mailbox":
        return "list" if last == "bell" else "zset"
    return "string" if first in ("console", "result", "sweep", "traced", "ens") else "hash"

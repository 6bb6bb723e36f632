"""How Redis keys are spelled: everything of one tenant shares one hash tag, hence one slot of a Cluster."""

from __future__ import annotations

__all__ = ["full_key"]


def full_key(tenant: str, relative: str) -> str:
    """Return the Redis key of *relative*, such as ``run:<id>``, for *tenant*."""
    return f"ens:{{{tenant}}}:{relative}"

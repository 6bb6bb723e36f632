"""Which version speaks, and whether it is well."""

from __future__ import annotations

from pydantic import Field

from ensemble.contract.base import Answer, Ask

__all__ = ["CONTRACT_VERSION", "About", "Health", "NoParams"]

CONTRACT_VERSION = 1
"""Grows when an older plugin and a newer sidecar no longer understand each other."""


class NoParams(Ask):
    """Nothing in the path, nothing in the query."""


class About(Answer):
    """What answers at this address."""

    product: str = "ensemble"
    version: str = Field(description="The sidecar's own version, such as 0.1.0.")
    contract: int = Field(description="The version of this contract.")
    store: str = Field(default="", description="What keeps the data, such as ``valkey 9.1.2 (embedded)``.")
    durability: str = Field(default="", description="The append-only file's policy: everysec, always or off.")
    public_url: str = Field(default="", description="How browsers reach it; empty: runs have no links.")
    now_ms: int | None = Field(default=None, description="The store's clock, unix milliseconds.")


class Health(Answer):
    """Whether the sidecar lives (``live``) and can work (``ready``: the store answers and takes writes)."""

    status: str
    detail: str = ""

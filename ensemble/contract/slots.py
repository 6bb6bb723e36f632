"""What can be said about slots: how many calls may be out at one time, in all processes together."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from ensemble.contract.base import Answer, Ask, Identity

__all__ = ["HostName", "SlotLimits", "SlotUse", "SlotsView"]

HostName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""A Dify host as engines call it, such as ``http://dify.example``."""
Places = Annotated[int, Field(ge=1, le=100_000)]


class SlotLimits(Ask):
    """How many calls may be out at one time; what is not named has no limit, or for hosts the caller's own."""

    total: Places | None = None
    hosts: dict[HostName, Places] = Field(default={}, max_length=1000)
    identities: dict[Identity, Places] = Field(default={}, max_length=1000)


class SlotUse(Answer):
    """Calls that are out, as far as they are counted: to hosts, and where there are limits."""

    total: int | None = None
    hosts: dict[HostName, int] = Field(default={})
    identities: dict[Identity, int] = Field(default={})


class SlotsView(Answer):
    """Limits set by an operator, and how they are used."""

    limits: SlotLimits
    used: SlotUse
    waiting: int = Field(ge=0, description="Calls that wait for a slot.")

"""What can be said about results too long for a workflow's variable: stored whole for a day, found by a reference."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ensemble.contract.base import Answer, Ask, HexId

__all__ = ["MAX_WHOLE_BYTES", "WHOLE_TTL_S", "WholeParams", "WholePut", "WholeResult", "WholeStored"]

MAX_WHOLE_BYTES = 16 * 1024 * 1024
"""The longest result that is stored, as JSON."""
WHOLE_TTL_S = 86_400
"""How long it is kept."""


class WholeParams(Ask):
    """Which one."""

    ref: HexId


class WholePut(Ask):
    """Store *value*; what the reference named before is replaced."""

    value: Any


class WholeStored(Answer):
    """What was stored."""

    ref: HexId
    size_bytes: int = Field(ge=0, description="As JSON.")
    ttl_s: int = Field(ge=0, description="How long it is kept, seconds.")


class WholeResult(Answer):
    """What was stored under the reference."""

    ref: HexId
    value: Any

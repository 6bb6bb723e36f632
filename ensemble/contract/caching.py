"""What can be said about answers kept for the day their agent fails: the order to keep one, and what is found later."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from ensemble.contract.base import Answer, Ask
from ensemble.contract.results import StepResult

__all__ = ["LONGEST_KEPT_S", "MAX_CACHED_BYTES", "CacheKey", "CacheOrder", "CacheParams", "CacheView"]

LONGEST_KEPT_S = 60 * 24 * 3600
"""The longest an answer is kept."""
MAX_CACHED_BYTES = 256 * 1024
"""The longest result that is kept, as JSON."""

CacheKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256, in hex, of who was asked, what was given, and for whom; nothing of it can be read off the key."""


class CacheOrder(Ask):
    """Keep the answer that this attempt brought, for a call like it whose agent fails."""

    key: CacheKey
    keep_ms: int = Field(ge=1, le=LONGEST_KEPT_S * 1000, description="From the moment the agent gave it.")


class CacheParams(Ask):
    """Which answer."""

    key: CacheKey


class CacheView(Answer):
    """The newest answer kept under a key; that there is none is an answer, too."""

    key: CacheKey
    result: StepResult | None = Field(default=None, description="As its step had it; None where nothing is kept.")
    age_ms: int | None = Field(default=None, ge=0, description="Since the agent gave it.")

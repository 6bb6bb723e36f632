"""What can be asked of the context: fit several results into a window of tokens, and say what became of each."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from ensemble.contract.base import Answer, Ask

__all__ = [
    "EACH_TOKENS",
    "LIMIT_TOKENS",
    "MOST_PARTS",
    "Allocation",
    "Compression",
    "ContextAsk",
    "ContextEntry",
    "ContextPart",
    "Encoding",
    "Fate",
    "Order",
    "PackedContext",
]

LIMIT_TOKENS = 50_000
"""What several results may take together where nobody says otherwise."""
EACH_TOKENS = 10_000
"""What one result may take of it."""
MOST_PARTS = 2000
"""As many as a plan has steps."""
MOST_TOKENS = 10_000_000


class Encoding(StrEnum):
    """How tokens are counted."""

    O200K = "o200k"
    """GPT-4o and what came after; close to most other new models."""
    CL100K = "cl100k"
    """GPT-4 and GPT-3.5."""


class Allocation(StrEnum):
    """Who gets how much of the window."""

    FAIR_SHARE = "fair_share"
    """All the same; what a short result leaves, a long one may use."""
    FIRST_COME = "first_come"
    """By priority, each up to its cap, until the window is full."""


class Compression(StrEnum):
    """How a result that is too long is shortened."""

    HEAD_TAIL = "head_tail"
    """60 % from its beginning, 40 % from its end."""
    EXTRACTIVE = "extractive"
    """The sentences that have most to do with the query, in their order."""


class Order(StrEnum):
    """In which order the results stand in the window."""

    GIVEN = "given"
    PRIORITY = "priority"
    """The highest first."""
    EDGES = "edges"
    """The best first and the second best last: models read the middle with the least care."""


class Fate(StrEnum):
    """What became of one result."""

    KEPT = "kept"
    """It is there whole."""
    CUT = "cut"
    """It is there shortened."""
    DROPPED = "dropped"
    """It is not there."""


class ContextPart(Ask):
    """One result."""

    name: str = Field(default="", max_length=256, description="Its heading; without one it has none.")
    text: str
    priority: float = Field(default=0.0, allow_inf_nan=False, description="The higher, the earlier it is given room.")


class ContextAsk(Ask):
    """Fit *parts* into *limit_tokens*."""

    parts: tuple[ContextPart, ...] = Field(max_length=MOST_PARTS)
    query: str = Field(default="", max_length=100_000, description="What the results are about, for *extractive*.")
    limit_tokens: int = Field(default=LIMIT_TOKENS, ge=0, le=MOST_TOKENS)
    each_tokens: int = Field(default=EACH_TOKENS, ge=0, le=MOST_TOKENS)
    encoding: Encoding = Encoding.O200K
    allocation: Allocation = Allocation.FAIR_SHARE
    compression: Compression = Compression.HEAD_TAIL
    order: Order = Order.GIVEN
    dedupe: bool = Field(default=True, description="Whether a paragraph two results share is sent once.")


class ContextEntry(Answer):
    """What became of one part: ``chars = kept_chars + cut_chars + repeated_chars``."""

    name: str
    fate: Fate
    tokens: int = Field(ge=0, description="Of the text as it was given.")
    kept_tokens: int = Field(ge=0, description="Of what stands below its heading, marks of cuts included.")
    chars: int = Field(ge=0)
    kept_chars: int = Field(ge=0)
    cut_chars: int = Field(ge=0, description="Left out because it did not fit.")
    repeated_chars: int = Field(description="Left out because another part has it, less the note left there.")


class PackedContext(Answer):
    """The window's text and an account of it, one entry a part, in the order of the ask."""

    text: str
    tokens: int = Field(ge=0, description="Of the whole text; never over the limit.")
    entries: tuple[ContextEntry, ...]
    counter: str = Field(description="What counted: the encoding, or ``estimate``.")
    exact: bool

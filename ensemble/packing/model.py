"""What is packed, by which rules, and the account of it."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.contract.context import EACH_TOKENS, LIMIT_TOKENS, Allocation, Compression, Fate, Order

__all__ = ["CUT_MARK", "Entry", "Packed", "Part", "Policy"]

CUT_MARK = "...[compressed]"
"""Stands where a text was shortened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One text, such as an agent's result."""

    text: str
    name: str = ""
    """Its heading; without one it has none."""
    priority: float = 0.0
    """The higher, the earlier it is given room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How to pack."""

    limit_tokens: int = LIMIT_TOKENS
    """Of the whole, headings included."""
    each_tokens: int = EACH_TOKENS
    """Of one part, without its heading."""
    allocation: Allocation = Allocation.FAIR_SHARE
    compression: Compression = Compression.HEAD_TAIL
    order: Order = Order.GIVEN
    query: str = ""
    """What the parts are about; *extractive* looks for it."""
    dedupe: bool = True
    """Whether a paragraph that several parts share is sent once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What became of one part; ``chars`` is always ``kept_chars + cut_chars + repeated_chars``."""

    name: str
    fate: Fate
    tokens: int
    """Of the text as it was given."""
    kept_tokens: int
    """Of what stands below its heading, marks of cuts included."""
    chars: int
    kept_chars: int
    cut_chars: int
    """Left out because it did not fit."""
    repeated_chars: int
    """Left out because another part has it, less the note left there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The text that fits, and the account of it."""

    text: str
    tokens: int
    """Of the whole text; never over the limit."""
    entries: tuple[Entry, ...]
    """One a part, in the order given."""
    counter: str
    exact: bool
    """Whether a tokenizer counted, or the estimate."""

    def named(self, fate: Fate) -> tuple[str, ...]:
        """Return the names of the parts that met *fate*, in the order given."""
        return tuple(entry.name for entry in self.entries if entry.fate is fate)

"""What goes along to an agent that is given other agents' results: bounded, cut head and tail, and said so.

The limits and the 60/40 cut are those of the context service, here with an estimate instead of a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.engine.estimate import estimate_tokens

__all__ = ["CUT_MARK", "Carried", "carry"]

TOTAL_TOKENS = 50_000
EACH_TOKENS = 10_000
CUT_MARK = "...[compressed]"
_HEAD = 0.6
_SURELY_OVER = 12
"""Characters per token no ordinary text reaches; it bounds the work that one cut takes."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The text to send and the names of those whose results were cut to fit."""

    text: str
    cut: tuple[str, ...]


def carry(task: str, results: Sequence[tuple[str, str]], total: int = TOTAL_TOKENS, each: int = EACH_TOKENS) -> Carried:
    """Return *task*, a blank line, and one ``### name`` section per (name, text) in *results*.

    The sections share *total* tokens fairly: what a short one leaves, a long one may use, but none gets over *each*.
    """
    sizes = [_size(text, each) for _, text in results]
    shares = _fair_shares(sizes, total)
    sections, cut = [], []
    for (name, text), share in zip(results, shares, strict=True):
        fitted = fit(text, share)
        if fitted != text:
            cut.append(name)
        sections.append(f"### {name}\n{fitted}")
    return Carried("\n\n".join([task, *sections]), tuple(cut))


def _fair_shares(wanted: Sequence[int], total: int) -> list[int]:
    """Give everybody the same, then what is left over to those who want more (max-min fairness)."""
    shares = [0] * len(wanted)
    left, open_ones = total, sorted(range(len(wanted)), key=lambda i: wanted[i])
    while open_ones:
        part = left // len(open_ones)
        first = open_ones.pop(0)
        shares[first] = min(wanted[first], part)
        left -= shares[first]
    return shares


def _size(text: str, cap: int) -> int:
    """Return the estimate of *text*, at most *cap*; a text surely over it is not read to its end."""
    return cap if len(text) > cap * _SURELY_OVER else min(estimate_tokens(text), cap)


def fit(text: str, tokens: int) -> str:
    """Return *text*, or its head and tail around a mark, estimated at no more than *tokens*."""
    longest = tokens * _SURELY_OVER
    if len(text) <= longest and estimate_tokens(text) <= tokens:
        return text
    low, high = 0, min(len(text), longest)
    while low < high:  # the longest cut that still fits
        middle = (low + high + 1) // 2
        if estimate_tokens(_cut(text, middle)) <= tokens:
            low = middle
        else:
            high = middle - 1
    return _cut(text, low) if low else ""


def _cut(text: str, keep: int) -> str:
    head = round(keep * _HEAD)
    tail = keep - head
    return f"{text[:head]}\n{CUT_MARK}\n{text[len(text) - tail :]}" if tail else f"{text[:head]}\n{CUT_MARK}"

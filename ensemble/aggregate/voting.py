"""Counts votes: what most results say, each with one vote or with as much as it is sure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ensemble.aggregate.results import Result, json_in

__all__ = ["Ballot", "Choice", "Weights", "vote"]

_SIGNS = re.compile(r"[\W_]+")


class Weights(StrEnum):
    """What a vote weighs."""

    EQUAL = "equal"
    CONFIDENCE = "confidence"
    """As much as the result is sure; one that does not say weighs as the others do on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One thing that was voted for."""

    value: Any
    """As the first who said it wrote it."""
    weight: float
    voters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """The outcome, most votes first; of equals the one said with the most confidence, then the one said first."""

    choices: tuple[Choice, ...]
    abstained: tuple[str, ...]
    """Results that say nothing in the field."""
    tie: bool
    """Whether the first two weigh the same."""

    @property
    def winner(self) -> Choice | None:
        """The first choice; None if nobody voted."""
        return self.choices[0] if self.choices else None

    @property
    def share(self) -> float:
        """The winner's part of all votes, 0 to 1."""
        total = sum(choice.weight for choice in self.choices)
        return self.choices[0].weight / total if total else 0.0


def vote(
    results: Sequence[Result],
    *,
    field: str = "",
    weights: Weights = Weights.EQUAL,
    by_voter: Mapping[str, float] | None = None,
) -> Ballot:
    """Return the outcome of the vote of *results*.

    Votes are alike if they are but for capitals, white space, and signs around them.

    Args:
        results: The voters.
        field: Dotted path of the field to vote on; empty: the text.
        weights: What a vote weighs.
        by_voter: How many votes some voters have, by name; the others have one.

    """
    own = by_voter or {}
    said = [(result, _said(result, field)) for result in results]
    voters = [(result, value) for result, value in said if value is not None]
    known = [result.confidence for result, _ in voters if result.confidence is not None]
    average = sum(known) / len(known) if known else 1.0
    heaps: dict[str, list[tuple[Result, Any, float]]] = {}
    for result, value in voters:
        sure = average if result.confidence is None else result.confidence
        weight = own.get(result.name, 1.0) * (1.0 if weights is Weights.EQUAL else sure)
        heaps.setdefault(_key(value), []).append((result, value, weight))
    ranked = sorted(heaps.values(), key=lambda heap: (-_weight(heap), -max(r.confidence or 0.0 for r, _, _ in heap)))
    choices = tuple(
        Choice(value=heap[0][1], weight=_weight(heap), voters=tuple(result.name for result, _, _ in heap))
        for heap in ranked
    )
    return Ballot(
        choices=choices,
        abstained=tuple(result.name for result, value in said if value is None),
        tie=len(choices) > 1 and choices[0].weight == choices[1].weight,
    )


def _weight(heap: Sequence[tuple[Result, Any, float]]) -> float:
    return round(sum(weight for _, _, weight in heap), 9)


def _said(result: Result, field: str) -> Any:
    if not field:
        return result.text.strip() or None
    value = json_in(result)
    for places in (value, result.data):
        found = _at(places, field)
        if found is not None:
            return found
    return None


def _at(value: Any, field: str) -> Any:
    for name in field.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return None if value == "" else value


def _key(value: Any) -> str:
    if isinstance(value, str):
        text = " ".join(value.split()).casefold()
        return _without_edges(text) or text
    return json.dumps(value, sort_keys=True, default=str).casefold()


def _without_edges(text: str) -> str:
    """Return *text* without the signs around it; looked for from both ends, as a long row of signs may stand inside."""
    begun = _SIGNS.match(text)
    text = text[begun.end() :] if begun else text
    turned = _SIGNS.match(text[::-1])
    return text[: len(text) - turned.end()] if turned else text

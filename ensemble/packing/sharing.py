"""Who gets how many tokens of a window: all their fair share, or whoever comes first by priority."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ensemble.contract.context import Allocation

__all__ = ["LEAST_TOKENS", "fair_shares", "ranking", "shares"]

LEAST_TOKENS = 32
"""Less than this of a text says nothing; such a part is dropped and its room given to others."""


def ranking(priorities: Sequence[float]) -> list[int]:
    """Return the parts by priority, the highest first; of equals the earlier one."""
    return sorted(range(len(priorities)), key=lambda index: -priorities[index])


def shares(
    allocation: Allocation, wanted: Sequence[int], overheads: Sequence[int], priorities: Sequence[float], total: int
) -> list[int | None]:
    """Return how many tokens each part gets, None where it is dropped.

    Args:
        allocation: The rule.
        wanted: What each part would take, at most its cap.
        overheads: What a part's heading takes, if the part is there.
        priorities: The higher, the earlier a part is served.
        total: What there is.

    """
    rank = ranking(priorities)
    if allocation is Allocation.FIRST_COME:
        return _first_come(wanted, overheads, rank, total)
    return _fairly(wanted, overheads, rank, total)


def _first_come(wanted: Sequence[int], overheads: Sequence[int], rank: Sequence[int], total: int) -> list[int | None]:
    """Serve by rank until something does not fit; that one gets what is left if it is worth having, and it ends."""
    given: list[int | None] = [None] * len(wanted)
    for index in rank:
        left = total - overheads[index]
        if left < min(wanted[index], LEAST_TOKENS):
            break
        given[index] = min(wanted[index], left)
        total = left - min(wanted[index], left)
        if left < wanted[index]:
            break
    return given


def _fairly(wanted: Sequence[int], overheads: Sequence[int], rank: Sequence[int], total: int) -> list[int | None]:
    """Share among as many as can have something worth having; those of lowest rank are left out."""

    def among(number: int) -> list[int]:
        chosen = rank[:number]
        return fair_shares([wanted[i] for i in chosen], total - sum(overheads[i] for i in chosen))

    def crowded(number: int) -> bool:
        if total < sum(overheads[index] for index in rank[:number]):
            return True
        return any(
            share < min(wanted[index], LEAST_TOKENS) for share, index in zip(among(number), rank[:number], strict=True)
        )

    number = bisect_left(range(1, len(wanted) + 1), True, key=crowded)
    given: list[int | None] = [None] * len(wanted)
    for share, index in zip(among(number), rank[:number], strict=True):
        given[index] = share
    return given


def fair_shares(wanted: Sequence[int], total: int) -> list[int]:
    """Give everybody the same, then what is left over to those who want more (max-min fairness)."""
    given = [0] * len(wanted)
    left, open_ones = max(0, total), sorted(range(len(wanted)), key=lambda index: wanted[index])
    for done, index in enumerate(open_ones):
        given[index] = min(wanted[index], left // (len(wanted) - done))
        left -= given[index]
    return given

"""Steps that wait for each other in a circle, told in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

__all__ = ["find_cycles", "in_words"]


def find_cycles(depends_on: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Yield circles that share no step, until none is left; in each, every step waits for the next.

    Each begins with the step that stands first in *depends_on*.
    """
    left = dict(depends_on)
    while True:
        try:
            TopologicalSorter(
                {step: [name for name in before if name in left] for step, before in left.items()}
            ).prepare()
        except CycleError as error:
            # The error lists each step before the one that waits for it, the first again at the end.
            circle = tuple(reversed(error.args[1][:-1]))
            first = min(map(list(left).index, circle))
            start = circle.index(list(left)[first])
            cycle = circle[start:] + circle[:start]
            yield cycle
            left = {step: before for step, before in left.items() if step not in cycle}
        else:
            return


def in_words(cycle: Sequence[str]) -> str:
    """Return such as "a waits for b, b waits for a"."""
    if len(cycle) == 1:
        return f"{cycle[0]} waits for itself"
    return ", ".join(f"{step} waits for {after}" for step, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))

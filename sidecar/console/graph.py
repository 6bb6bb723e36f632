"""Where the steps of a plan and the arrows between them stand: columns by level, each step right of all it waits for.

Pure geometry, in pixels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

__all__ = ["Arrow", "Box", "Graph", "drawn", "levels_of", "shortened"]

MOST_STEPS = 80
MOST_IN_A_LEVEL = 24
"""Beyond either nobody sees anything in a drawing."""
WIDTH, HEIGHT = 168, 44
ACROSS, DOWN = 56, 14
"""Between boxes: from column to column, and within one."""
EDGE = 4
"""Around the drawing."""
LABEL_CELLS = 19
"""How much of a name fits into a box, in letters; wide ones count twice."""


@dataclass(frozen=True, slots=True)
class Box:
    """One step."""

    step: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """One dependency: who is waited for, by whom, and the line between, as an SVG path has it."""

    before: str
    after: str
    path: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawing."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def levels_of(waits_for: Mapping[str, Sequence[str]]) -> list[list[str]] | None:
    """Return the steps by how many others stand, at most, in a row before them; None where they go round in a circle."""
    known = {step: [each for each in before if each in waits_for] for step, before in waits_for.items()}
    sorter = TopologicalSorter(known)
    try:
        sorter.prepare()
    except CycleError:
        return None
    place = {step: number for number, step in enumerate(waits_for)}
    levels = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        levels.append(ready)
        sorter.done(*ready)
    return levels


def drawn(waits_for: Mapping[str, Sequence[str]]) -> Graph | None:
    """Return the drawing of *waits_for*: step → those it waits for. None where there is nothing to see in one."""
    levels = levels_of(waits_for)
    arrows = [(b, step) for step, before in waits_for.items() for b in dict.fromkeys(before) if b in waits_for]
    if not levels or not arrows or len(waits_for) > MOST_STEPS or max(map(len, levels)) > MOST_IN_A_LEVEL:
        return None
    levels = _untangled(levels, arrows)
    tallest = max(map(len, levels))
    height = tallest * (HEIGHT + DOWN) - DOWN
    at: dict[str, tuple[int, int]] = {}
    for column, level in enumerate(levels):
        top = (height - (len(level) * (HEIGHT + DOWN) - DOWN)) // 2
        for row, step in enumerate(level):
            at[step] = EDGE + column * (WIDTH + ACROSS), EDGE + top + row * (HEIGHT + DOWN)
    return Graph(
        width=2 * EDGE + len(levels) * (WIDTH + ACROSS) - ACROSS,
        height=2 * EDGE + height,
        boxes=tuple(Box(step, *at[step]) for step in waits_for),
        arrows=tuple(Arrow(before, after, _path(at[before], at[after])) for before, after in arrows),
    )


def shortened(name: str, cells: int = LABEL_CELLS) -> str:
    """Return as much of *name* as fits into *cells*, with an ellipsis for the rest."""
    used = 0
    for place, letter in enumerate(name):
        used += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used > cells:
            return name[: max(1, place - 1)] + "…"
    return name


def _untangled(levels: list[list[str]], arrows: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the levels with each step near the middle of those it waits for: fewer lines cross."""
    before: dict[str, list[str]] = {}
    for one, other in arrows:
        before.setdefault(other, []).append(one)
    middle: dict[str, float] = {}
    found = []
    for level in levels:
        seen = {step: [middle[each] for each in before.get(step, ())] for step in level}
        ordered = sorted(level, key=lambda step: sum(seen[step]) / len(seen[step]) if seen[step] else 0.0)
        for row, step in enumerate(ordered):
            middle[step] = row - (len(ordered) - 1) / 2
        found.append(ordered)
    return found


def _path(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return a line that leaves one box at its right side and comes to the other's left."""
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT // 2
    x2, y2 = end[0] - 5, end[1] + HEIGHT // 2
    bend = (x2 - x1) // 2
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"

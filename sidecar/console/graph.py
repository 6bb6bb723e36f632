"""Where the steps of a plan and the arrows between them stand: columns by level, each step right of all it waits for.

Pure geometry, in pixels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

__all__ = ["Arrow", "Box", "Graph", "drawn", "levels_of", "shortened"]

MOST_STEPS = 80
MOST_IN_A_LEVEL = 24
"""Beyond either nobody sees anything in a drawing."""
WIDTH, HEIGHT = 168, 44
ACROSS, DOWN = 56, 14
"""Between boxes: from column to column, and within one."""
GAP = 10
"""How high the way of an arrow is that passes a column."""
TIP = 5
"""How far before its box an arrow ends."""
EDGE = 4
"""Around the drawing."""
LABEL_CELLS = 19
"""How much of a name fits into a box, in letters; wide ones count twice."""

type _Place = str | tuple[int, int]
"""What stands in a column: a step, or the gap that an arrow (by its number) passes it through."""


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
    columns, ways = _with_ways(levels, arrows)
    columns = _untangled(columns, ways)
    heights = [sum(_height(each) + DOWN for each in column) - DOWN for column in columns]
    at: dict[_Place, tuple[int, int]] = {}
    for number, column in enumerate(columns):
        y = EDGE + (max(heights) - heights[number]) // 2
        for each in column:
            at[each] = EDGE + number * (WIDTH + ACROSS), y
            y += _height(each) + DOWN
    return Graph(
        width=2 * EDGE + len(columns) * (WIDTH + ACROSS) - ACROSS,
        height=2 * EDGE + max(heights),
        boxes=tuple(Box(step, *at[step]) for step in waits_for),
        arrows=tuple(Arrow(*arrow, _path([at[each] for each in way])) for arrow, way in zip(arrows, ways, strict=True)),
    )


def shortened(name: str, cells: int = LABEL_CELLS) -> str:
    """Return as much of *name* as fits into *cells*, with an ellipsis for the rest."""
    used = 0
    for place, letter in enumerate(name):
        used += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if used > cells:
            return name[: max(1, place - 1)] + "…"
    return name


def _with_ways(
    levels: Sequence[Sequence[str]], arrows: Sequence[tuple[str, str]]
) -> tuple[list[list[_Place]], list[list[_Place]]]:
    """Return the columns with a gap for each arrow that passes one, and the places each arrow leads through."""
    column_of = {step: number for number, level in enumerate(levels) for step in level}
    columns: list[list[_Place]] = [list(level) for level in levels]
    ways = []
    for number, (before, after) in enumerate(arrows):
        gaps: list[_Place] = [(number, column) for column in range(column_of[before] + 1, column_of[after])]
        for gap, column in zip(gaps, columns[column_of[before] + 1 :], strict=False):
            column.append(gap)
        ways.append([before, *gaps, after])
    return columns, ways


def _untangled(columns: Sequence[Sequence[_Place]], ways: Sequence[Sequence[_Place]]) -> list[list[_Place]]:
    """Return the columns with each place near the middle of those before it: fewer lines cross."""
    before: dict[_Place, list[_Place]] = {}
    for way in ways:
        for one, other in pairwise(way):
            before.setdefault(other, []).append(one)
    middle: dict[_Place, float] = {}
    found = []
    for column in columns:
        wish = {each: _mean([middle[one] for one in before.get(each, ())]) for each in column}
        ordered = sorted(column, key=wish.__getitem__)
        for row, each in enumerate(ordered):
            middle[each] = row - (len(ordered) - 1) / 2
        found.append(ordered)
    return found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _height(place: _Place) -> int:
    return HEIGHT if isinstance(place, str) else GAP


def _path(corners: Sequence[tuple[int, int]]) -> str:
    """Return a line that leaves the first box at its right side, passes through gaps, and comes to the last from the left."""
    x, y = corners[0][0] + WIDTH, corners[0][1] + HEIGHT // 2
    path = f"M{x} {y}"
    for number, corner in enumerate(corners[1:], start=2):
        last = number == len(corners)
        to_x, to_y = corner[0] - (TIP if last else 0), corner[1] + (HEIGHT if last else GAP) // 2
        bend = (to_x - x) // 2
        path += f"C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
        x, y = to_x, to_y
        if not last:
            x += WIDTH
            path += f"H{x}"
    return path

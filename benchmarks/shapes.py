"""The shapes of work that every engine is given: which calls there are, and which wait for which.

Read by the workers in the peers' environment too, so it imports nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SHAPES", "TASK", "WIDEST", "Node", "Shape", "query_of"]

WIDEST = 32
"""Calls of the widest shape, and how many agents there are."""
TASK = "Say in one sentence what changed since yesterday."


@dataclass(frozen=True, slots=True)
class Node:
    """One call, and those it waits for and is told the answers of."""

    id: str
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """Calls in an order in which each stands behind those it waits for."""

    name: str
    nodes: tuple[Node, ...]
    depth: int
    """Calls on the longest path: times an agent's latency it is the time nobody can do without."""


def _chain(length: int) -> Shape:
    nodes = [Node("s0"), *(Node(f"s{n}", (f"s{n - 1}",)) for n in range(1, length))]
    return Shape(f"chain{length}", tuple(nodes), length)


def _side_by_side(width: int) -> Shape:
    return Shape(f"par{width}", tuple(Node(f"s{n}") for n in range(width)), 1)


_DIAMOND = Shape("diamond", (Node("s0"), Node("s1", ("s0",)), Node("s2", ("s0",)), Node("s3", ("s1", "s2"))), 3)

SHAPES: Mapping[str, Shape] = {
    shape.name: shape for shape in (_chain(4), _side_by_side(4), _side_by_side(WIDEST), _DIAMOND)
}


def query_of(node: Node, answers: Mapping[str, str]) -> str:
    """Return what *node*'s agent is asked: the task, and the answers it was waiting for."""
    return "\n".join([TASK, *(answers[name] for name in node.after)])

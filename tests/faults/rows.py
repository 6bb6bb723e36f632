"""Everything that can be done to a world in rounds, by name: what `make soak` plays many times and prints a row of each.

A row starts its world, and gives what plays one round in it. Another one is added by writing such a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from tests.faults.crash import VICTIMS, crash
from tests.faults.holding import STORES, Holding, holding
from tests.faults.judging import Count
from tests.faults.network import BETWEEN, KINDS, storms
from tests.faults.patterns import patterns
from tests.faults.stops import STOPPED, stop
from tests.standin.cable import Kind

__all__ = ["ROWS", "Row"]

type Round = Callable[[], Count]


@dataclass(frozen=True)
class Row:
    """One thing that happens, on each of some stores."""

    begin: Callable[[str], AbstractContextManager[Round]]
    """Starts a world on a store of this durability, until the block ends; gives what plays one round."""
    stores: tuple[str, ...] = STORES


@contextmanager
def _held(happen: Callable[[Holding, str], Count], whom: str, store: str) -> Iterator[Round]:
    with holding(store) as world:
        yield lambda: happen(world, whom)


@contextmanager
def _storm(between: str, kind: Kind, _store: str) -> Iterator[Round]:
    with storms(between) as world:
        yield lambda: world.round(kind)


@contextmanager
def _amid_patterns(store: str) -> Iterator[Round]:
    with patterns(store) as world:
        yield world.round


ROWS: Mapping[str, Row] = {
    **{f"kill {victim}": Row(partial(_held, crash, victim)) for victim in VICTIMS},
    "kill plugin amid patterns": Row(_amid_patterns),
    **{f"stop {stopped}": Row(partial(_held, stop, stopped), stores=("everysec",)) for stopped in STOPPED},
    **{
        f"{kind} between {between}": Row(partial(_storm, between, kind), stores=("everysec",))
        for between in BETWEEN
        for kind in KINDS
    },
}

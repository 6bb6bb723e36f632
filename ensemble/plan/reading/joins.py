"""Reading ``join``: a word, ``quorum(2)`` or ``{quorum: 2}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ensemble.plan.faults import Faults
from ensemble.plan.joins import Join, JoinKind
from ensemble.plan.reading.fields import Fields

__all__ = ["read_join"]

_QUORUM = re.compile(r"quorum\s*[(:= ]\s*([0-9]{1,6})\s*\)?")


def read_join(fields: Fields, dependencies: int | None, faults: Faults) -> Join:
    """Return the join that the field says; *dependencies*: how many there are, None: that is not known yet."""
    data, path = fields.take("join"), fields.at("join")
    if data is None:
        return Join()
    join = _join_of(data, path, faults)
    if join is None or join.n < 1:
        faults.add(path, f"'{data}' is no join.", "There are: all_success, all_done, any, quorum(2).")
        return Join()
    if join.kind is JoinKind.QUORUM and dependencies is not None and join.n > dependencies:
        problem = f"A quorum of {join.n} can't be met: the step waits for {dependencies}."
        faults.add(path, problem, f"Write a number up to {dependencies}." if dependencies else "Add depends_on.")
    return join


def _join_of(data: Any, path: str, faults: Faults) -> Join | None:
    if isinstance(data, Mapping):
        inner = Fields(data, path, faults)
        n = inner.whole("quorum", 1, 10_000)
        inner.close()
        return Join(JoinKind.QUORUM, n) if n else None
    word = str(data).strip().lower()
    match = _QUORUM.fullmatch(word)
    plain = [kind for kind in JoinKind if kind is not JoinKind.QUORUM and kind.value == word]
    return Join(JoinKind.QUORUM, int(match[1])) if match else Join(plain[0]) if plain else None

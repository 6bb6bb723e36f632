"""Merges objects: fields that only one has are taken, lists are joined, and where two disagree a rule decides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ensemble.aggregate.results import Result, json_in

__all__ = ["Conflict", "Conflicts", "Merged", "Rule", "merge"]

_DEEPEST = 64


class Rule(StrEnum):
    """What counts where results disagree."""

    FIRST = "first"
    LAST = "last"
    CONFIDENCE = "confidence"
    """The one with the highest confidence; of equals the first."""
    LIST = "list"
    """All of them, as a list."""
    FAIL = "fail"


class Conflicts(Exception):  # noqa: N818 - named for what was found
    """Results disagree, and the rule is to fail then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A field in which results disagree."""

    path: str
    """Dotted."""
    values: tuple[tuple[str, Any], ...]
    """Who says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One object, how it came about, and who had nothing to give."""

    data: Any
    conflicts: tuple[Conflict, ...]
    used: tuple[str, ...]
    unused: tuple[str, ...]
    """Results that are no object or list."""


def merge(results: Sequence[Result], rule: Rule = Rule.FIRST) -> Merged:
    """Return the merger of all *results* that are JSON objects or lists.

    Lists and objects are merged with their like, field by field; a list of all is the join of all lists, without what
    is in it already. A list beside an object is a conflict as two texts are.

    Raises:
        Conflicts: results disagree and *rule* is to fail.

    """
    values = [(result, json_in(result)) for result in results]
    given = [_Said(result.name, result.confidence, value) for result, value in values if value is not None]
    conflicts: list[Conflict] = []
    data = _merged(given, rule, "", conflicts, 0) if given else {}
    if rule is Rule.FAIL and conflicts:
        lines = [f"{each.path or 'the whole'}: {', '.join(name for name, _ in each.values)}" for each in conflicts[:20]]
        raise Conflicts("Results disagree on " + "; ".join(lines))
    return Merged(
        data=data,
        conflicts=tuple(conflicts),
        used=tuple(said.name for said in given),
        unused=tuple(result.name for result, value in values if value is None),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What one result says at one place."""

    name: str
    confidence: float | None
    value: Any


def _merged(given: Sequence[_Said], rule: Rule, path: str, conflicts: list[Conflict], depth: int) -> Any:
    if depth < _DEEPEST and all(isinstance(said.value, Mapping) for said in given):
        names = dict.fromkeys(name for said in given for name in said.value)
        return {
            name: _merged(
                [_Said(said.name, said.confidence, said.value[name]) for said in given if name in said.value],
                rule, f"{path}.{name}" if path else str(name), conflicts, depth + 1,
            )
            for name in names
        }  # fmt: skip
    if all(isinstance(said.value, list) for said in given):
        return list({_key(each): each for said in reversed(given) for each in reversed(said.value)}.values())[::-1]
    different = {_key(said.value): said for said in reversed(given)}
    if len(different) == 1:
        return given[0].value
    conflicts.append(Conflict(path=path, values=tuple((said.name, said.value) for said in given)))
    match rule:
        case Rule.LAST:
            return given[-1].value
        case Rule.CONFIDENCE:
            return max(given, key=lambda said: -1.0 if said.confidence is None else said.confidence).value
        case Rule.LIST:
            return [said.value for said in list(different.values())[::-1]]
        case _:
            return given[0].value


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)

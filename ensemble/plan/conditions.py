"""Conditions of ``when``: comparisons in the words of Dify's if-else node, joined by and / or."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.contract.outcomes import StepStatus
from ensemble.plan.rendering import Scope, UnknownOutput, as_text, render
from ensemble.plan.templates import Reference, Template, references

__all__ = [
    "ALIASES", "OPERATORS", "AllOf", "AnyOf", "Chosen", "Comparison", "Condition", "condition_references", "evaluate",
]  # fmt: skip

OPERATORS = (
    "contains", "not contains", "start with", "end with", "is", "is not", "empty", "not empty",
    "=", "≠", ">", "<", "≥", "≤", "in", "not in", "null", "not null", "exists", "not exists",
)  # fmt: skip
"""The operators of Dify's if-else node."""

ALIASES = {
    "==": "=", "!=": "≠", "<>": "≠", ">=": "≥", "<=": "≤", "equals": "is", "starts with": "start with",
    "ends with": "end with", "is empty": "empty", "is not empty": "not empty", "is null": "null",
    "is not null": "not null",
}  # fmt: skip
"""Other ways to write them."""

WITHOUT_VALUE = frozenset({"empty", "not empty", "null", "not null", "exists", "not exists"})
"""Operators that compare with nothing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``."""

    field: Template
    operator: str
    """One of :data:`OPERATORS`."""
    value: Any = None
    """A template, a constant or a list of them."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """True where every part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where at least one part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """True where routing chose one of *routes*: by the first of the steps *by* whose output ``route`` names one."""

    by: tuple[str, ...]
    routes: tuple[str, ...]
    otherwise: bool
    """What it is where none of *by* chose."""
    rules: str = ""
    """What else decides *otherwise*, in one hash: a run found again may have it decided anew."""


type Condition = Comparison | AllOf | AnyOf | Chosen


def condition_references(condition: Condition | None) -> tuple[Reference, ...]:
    """Return every reference in *condition*."""
    if condition is None:
        return ()
    if isinstance(condition, Comparison):
        return condition.field.references + references(condition.value)
    if isinstance(condition, Chosen):
        return tuple(Reference(step, ("route",)) for step in condition.by)
    return tuple(reference for part in condition.parts for reference in condition_references(part))


def evaluate(condition: Condition, scope: Scope) -> tuple[bool, tuple[str, ...]]:
    """Return whether *condition* holds, and warnings about what was empty. All parts are read.

    Raises:
        UnknownOutput: a step that has a result has no such output; ``exists`` and its kin read it as null.

    """
    if isinstance(condition, Comparison):
        return _compared(condition, scope)
    if isinstance(condition, Chosen):
        chosen = next(filter(None, (_route_of(step, scope) for step in condition.by)), "")
        return (chosen in condition.routes if chosen else condition.otherwise), ()
    answers = [evaluate(part, scope) for part in condition.parts]
    holds = (all if isinstance(condition, AllOf) else any)(answer for answer, _ in answers)
    return holds, tuple(warning for _, warnings in answers for warning in warnings)


def _route_of(step: str, scope: Scope) -> str:
    result = scope.steps.get(step)
    return str(result.data.get("route") or "") if result and result.status is StepStatus.SUCCEEDED else ""


def _compared(comparison: Comparison, scope: Scope) -> tuple[bool, tuple[str, ...]]:
    operator = comparison.operator
    try:
        actual, warnings = render(comparison.field, scope)
    except UnknownOutput:
        if operator not in WITHOUT_VALUE:
            raise
        actual, warnings = None, ()
    if operator in WITHOUT_VALUE:
        # Whoever asks whether something is there expects that it may not be.
        return _is_there(operator, actual), ()
    expected, more = render(comparison.value, scope)
    return _holds(operator, actual, expected), tuple(dict.fromkeys((*warnings, *more)))


def _is_there(operator: str, actual: Any) -> bool:
    if operator in {"empty", "not empty"}:
        return (actual is None or actual in ("", [], {})) == (operator == "empty")
    return (actual is None) == (operator in {"null", "not exists"})


def _holds(operator: str, actual: Any, expected: Any) -> bool:
    match operator:
        case "is" | "is not":
            return _same(actual, expected) == (operator == "is")
        case "contains" | "not contains":
            return _contains(actual, expected) == (operator == "contains")
        case "in" | "not in":
            return _contains(expected, actual) == (operator == "in")
        case "start with":
            return actual is not None and as_text(actual).startswith(as_text(expected))
        case "end with":
            return actual is not None and as_text(actual).endswith(as_text(expected))
        case "=" | "≠" if _number(actual) is None or _number(expected) is None:
            return _same(actual, expected) == (operator == "=")  # whoever writes == for texts means "is"
        case _:
            return _ordered(operator, _number(actual), _number(expected))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return as_text(left).lower() == as_text(right).lower()
    numbers = _number(left), _number(right)
    if not (isinstance(left, str) and isinstance(right, str)) and None not in numbers:
        return numbers[0] == numbers[1]
    return left == right or (left is not None and right is not None and as_text(left) == as_text(right))


def _contains(whole: Any, part: Any) -> bool:
    if whole is None or part is None:
        return False
    if isinstance(whole, Mapping):
        return as_text(part) in whole
    if isinstance(whole, list):
        return any(_same(item, part) for item in whole)
    return as_text(part) in as_text(whole)


def _ordered(operator: str, left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return False
    return {
        "=": left == right, "≠": left != right, ">": left > right,
        "<": left < right, "≥": left >= right, "≤": left <= right,
    }[operator]  # fmt: skip


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None

"""What a router says: the route, how sure it is and why, what else there was, and what was passed over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import StepResult

__all__ = ["Choice", "Ranked", "choice_in", "first_open", "said"]

DEFAULT = "default"
"""Who decided where nobody did."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One route and how well it fits, 0 to 1; None where nobody said."""

    route: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The answer of a router, or of one of its strategies."""

    route: str = ""
    """Empty: no route was chosen."""
    by: str = ""
    """The strategy that decided, or ``default``."""
    confidence: float | None = None
    reason: str = ""
    alternatives: tuple[Ranked, ...] = ()
    """The other routes that were considered, best first."""
    passed_over: tuple[str, ...] = ()
    """Routes that fit better and whose breaker is open."""

    def data(self) -> dict[str, Any]:
        """Return the choice as a step's outputs, without what is unknown."""
        others = [_without_none({"route": each.route, "confidence": each.confidence}) for each in self.alternatives]
        return _without_none(
            {
                "route": self.route,
                "strategy": self.by,
                "confidence": self.confidence,
                "reason": self.reason,
                "alternatives": others,
                "passed_over": list(self.passed_over),
            }
        )


def first_open(ranked: Sequence[Ranked], shut: Collection[str]) -> tuple[Ranked | None, tuple[str, ...]]:
    """Return the best of *ranked* whose breaker is not open, and those passed over on the way."""
    passed: list[str] = []
    for each in ranked:
        if each.route not in shut:
            return each, tuple(passed)
        passed.append(each.route)
    return None, tuple(passed)


def choice_in(result: StepResult) -> Choice | None:
    """Return what a deciding step said; None where it has no result."""
    data = result.data
    if result.status is not StepStatus.SUCCEEDED or not isinstance(data.get("route"), str):
        return None
    return Choice(
        route=data["route"],
        by=str(data.get("strategy") or ""),
        confidence=data.get("confidence"),
        reason=str(data.get("reason") or ""),
        alternatives=tuple(Ranked(each["route"], each.get("confidence")) for each in data.get("alternatives", ())),
        passed_over=tuple(data.get("passed_over", ())),
    )


def said(rules: Choice, results: Iterable[StepResult], default: str, shut: Collection[str]) -> Choice:
    """Return what a router says in the end.

    Args:
        rules: What the rules said before anything ran.
        results: How the deciding steps ended, in their order.
        default: The route where nobody decides; empty where there is none.
        shut: Routes whose breaker is open.

    """
    if rules.route:
        return rules
    ended = tuple(results)
    given = [choice for result in ended if (choice := choice_in(result)) is not None]
    chosen = next((choice for choice in given if choice.route), None)
    passed = tuple(dict.fromkeys(name for choice in (rules, *given) for name in choice.passed_over))
    if chosen is not None:
        return chosen
    told = [choice.reason for choice in (rules, *given) if choice.reason]
    told += [f"{r.step}: {r.error.message}" for r in ended if r.error is not None and r.error.code != "upstream_failed"]
    others = next((choice.alternatives for choice in reversed(given) if choice.alternatives), rules.alternatives)
    if default and default in shut:
        told.append(f"The default route {default} was passed over as well: its breaker is open.")
        return Choice(reason=" ".join(told), alternatives=others, passed_over=(*passed, default))
    reason = " ".join(
        [*told, f"So the default route is taken: {default}." if default else "There is no default route."]
    )
    by = DEFAULT if default else ""
    return Choice(route=default, by=by, reason=reason, alternatives=others, passed_over=passed)


def _without_none(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}

"""Routes chosen by nearness of meaning: the cosine between the query's vector and those of descriptions and examples."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from ensemble.plan.routes import Route, Routing, Strategy
from ensemble.routing.choices import Choice, Ranked, first_open

__all__ = ["Vector", "choose_by_nearness", "texts_of", "unit"]

type Vector = Sequence[float]
"""Of length 1, or all zero."""

_SHOWN_CHARS = 60


def texts_of(route: Route) -> tuple[str, ...]:
    """Return what *route* is known by: its description, or else its name; and its examples."""
    return (route.description or route.name, *route.examples)


def unit(values: Sequence[float]) -> Vector | None:
    """Return *values* at length 1; None where they are no vector: empty, or with something infinite in it."""
    if not values or not all(map(math.isfinite, values)):
        return None
    largest = max(map(abs, values))
    if not largest:
        return list(values)
    # By the largest first: lengths of very small and of very large numbers are not exact, or not finite.
    scaled = [value / largest for value in values]
    length = math.hypot(*scaled)
    return [value / length for value in scaled]


def choose_by_nearness(
    routing: Routing, query: Vector, known: Mapping[str, Vector], shut: Collection[str] = ()
) -> Choice:
    """Return the nearest route, if it is near enough and far enough before the next.

    Args:
        routing: The routes, and the threshold and margin it has to keep.
        query: The vector of the query.
        known: Vectors by text, of every text of every route.
        shut: Routes whose breaker is open: the next one is taken, if it is near enough itself.

    """
    near = {route.name: _nearest(route, query, known) for route in routing.routes}
    listed = [
        Ranked(name, round(min(1.0, max(0.0, cosine)), 4))
        for name, (cosine, _) in sorted(near.items(), key=lambda each: -each[1][0])
    ]
    best, passed = first_open(listed, shut)
    if best is None:
        return Choice(reason="The breakers of all routes are open.", passed_over=passed)
    rest = tuple(each for each in listed if each.route != best.route)
    cosine, text = near[best.route]
    rivals = [near[each.route][0] for each in rest if each.route not in shut]
    lead = cosine - max(rivals, default=-1.0)
    if cosine < routing.threshold or lead < routing.margin:
        why = (
            f"below the threshold of {routing.threshold:g}"
            if cosine < routing.threshold
            else f"only {lead:.3f} before the next, and the margin is {routing.margin:g}"
        )
        reason = f"The nearest route is {best.route} with {cosine:.3f}, {why}."
        return Choice(reason=reason, alternatives=tuple(listed), passed_over=passed)
    over = f" Passed over, because their breakers are open: {', '.join(passed)}." if passed else ""
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
    return Choice(
        route=best.route,
        by=Strategy.SEMANTIC,
        confidence=best.confidence,
        reason=f"{cosine:.3f} near to '{shown}'.{over}",
        alternatives=rest,
        passed_over=passed,
    )


def _nearest(route: Route, query: Vector, known: Mapping[str, Vector]) -> tuple[float, str]:
    return max((math.sumprod(query, known[text]), text) for text in texts_of(route))

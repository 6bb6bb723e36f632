"""The named budgets a run is charged to: they hold at a sidecar only, so what happens without one is said here."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.contract.problems import Fault
from ensemble.plan.reading.budgets import MOST_BUDGETS
from plugin.credentials import Credentials
from plugin.errors import BadParameters, SidecarNeeded, SidecarRefused, UnknownBudget, in_words

__all__ = ["charged", "going_on", "unknown_budget"]

_OPENED_WITH = "open.budgets."
"""How the sidecar's fault about a run's budget begins; its place in the list follows."""


def charged(asked: Sequence[str], planned: Sequence[str], credentials: Credentials) -> tuple[str, ...]:
    """Return all budgets that tool and plan name, each once: more of them only ever allow less.

    Raises:
        SidecarNeeded: there is none, so they would not hold.
        BadParameters: together they are too many.

    """
    names = tuple(dict.fromkeys((*asked, *planned)))
    if len(names) > MOST_BUDGETS:
        fix = f"At most {MOST_BUDGETS}."
        fault = Fault(field="budgets", problem=f"Parameter and plan together name {len(names)}.", fix=fix)
        raise BadParameters(in_words([fault]))
    if names and credentials.sidecar is None:
        listed = ", ".join(map(repr, names))
        fix = "Fill in Sidecar URL and Sidecar token in the plugin's credentials, or leave budgets out."
        fault = Fault(field="budgets", problem=f"{listed} can't hold without a sidecar.", fix=fix)
        raise SidecarNeeded(in_words([fault]))
    return names


def going_on(budgets: Sequence[str], *, asked: bool | None, saved: bool | None) -> bool:
    """Return whether a run goes on without its sidecar, by what the tool asks and the operator saved; None: nothing.

    The stricter choice counts. Where neither chose, it goes on unless a named budget would not hold.
    """
    chosen = [each for each in (asked, saved) if each is not None]
    return all(chosen) if chosen else not budgets


def unknown_budget(refused: SidecarRefused, budgets: Sequence[str]) -> UnknownBudget | None:
    """Return what to say where the sidecar refused a run because of a budget nobody defined; None for other reasons."""
    places = [field.removeprefix(_OPENED_WITH) for field in refused.fields if field.startswith(_OPENED_WITH)]
    names = [budgets[int(place)] for place in places if place.isdecimal() and int(place) < len(budgets)]
    if not names:
        return None
    fix = "Define it at the sidecar with PUT /v1/budgets/one?name=…, correct the name, or leave it out."
    return UnknownBudget(
        in_words(Fault(field="budgets", problem=f"No budget '{n}' is defined.", fix=fix) for n in names)
    )

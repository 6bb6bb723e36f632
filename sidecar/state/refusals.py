"""Who may write where in shared state, and how a write is refused: every "no" names what stands and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.contract.problems import Fault
from ensemble.contract.state import MAX_STATE_VALUE_BYTES, SHARED
from sidecar.errors import Conflict, Forbidden, SidecarError, TooLarge

__all__ = ["LIMITS", "check_version_given", "check_writer", "doubled", "outdated", "refusal", "unfit"]

MOST_VALUES = 10_000
"""Values in one namespace."""
MOST_BYTES = 64 * 1024 * 1024
"""What the values of one namespace may take, as JSON."""
LIMITS = (MOST_VALUES, MAX_STATE_VALUE_BYTES, MOST_BYTES)
"""In the order in which the scripts take them."""

_FULL, _TOO_LONG, _TOO_LARGE = -1, -3, -4
"""How the scripts answer where a value does not fit (namespace.lua)."""


def check_writer(namespace: str, writer: str) -> None:
    """Let an agent write to its own namespace and to ``shared`` only. Raises Forbidden."""
    if namespace not in (writer, SHARED):
        raise Forbidden(
            f"{writer!r} may not write to {namespace!r}: an agent writes to its own namespace only, and all read it.",
            Fault(
                field="namespace",
                problem=f"belongs to {namespace!r}",
                fix=f"Write to {writer!r}, or to {SHARED!r} by an atomic operation or with expected_version.",
            ),
        )


def check_version_given(namespace: str, expected: int | None, doing: str) -> None:
    """Let ``shared`` be overwritten only by who says which version it read. Raises Forbidden."""
    if namespace == SHARED and expected is None:
        raise Forbidden(
            f"{SHARED!r} belongs to all agents: a plain {doing} would undo what others wrote.",
            Fault(
                field="expected_version",
                problem="missing",
                fix="Send the version you read, or change the value by increment, append, merge or change_set.",
            ),
        )


def refusal(code: int, number: int, namespace: str, field: str) -> SidecarError | None:
    """Return why the value in *field* does not fit where a script answers {*code*, *number*, ...}; None: it did."""
    if code == _FULL:
        return TooLarge(
            f"The namespace {namespace!r} holds {MOST_VALUES} values, and no more fit.",
            Fault(field="namespace", problem="full", fix="Delete what is no longer needed."),
        )
    if code == _TOO_LONG:
        fix = "Keep it elsewhere and store where, split it over several keys, or give a list at_most."
        return TooLarge(
            f"The value takes {number} bytes as JSON; a value may take {MAX_STATE_VALUE_BYTES}.",
            Fault(field=field, problem="too large", fix=fix),
        )
    if code == _TOO_LARGE:
        return TooLarge(
            f"The values of the namespace {namespace!r} would take {number} bytes; they may take {MOST_BYTES}.",
            Fault(field="namespace", problem="too large", fix="Delete what is no longer needed."),
        )
    return None


def unfit(key: str, kind: str) -> Conflict:
    """Say that what stands under *key* is not the *kind* of value the operation changes."""
    problem = f"{key!r} holds no {kind}"
    return Conflict(
        f"{problem}, so it stays as it is.", Fault(field="key", problem=problem, fix=f"Put a {kind} first.")
    )


def outdated(key: str, expected: int | None, version: int) -> Conflict:
    """Say that *version* stands where *expected* was asked for; 0: there is none."""
    stands = f"its version is {version}" if version else "there is none"
    return Conflict(
        f"{key!r} is not as expected: {stands}.",
        Fault(field="expected_version", problem=f"{expected}, but {stands}", fix="Read it again, then decide anew."),
    )


def doubled(places: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """Return a place that stands twice among *places*."""
    seen: set[tuple[str, str]] = set()
    for place in places:
        if place in seen:
            return place
        seen.add(place)
    return None

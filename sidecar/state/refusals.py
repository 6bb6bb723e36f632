"""Who may write where in shared state, and how a write is refused: every "no" names what stands and what to do."""

from __future__ import annotations

from ensemble.contract.problems import Fault
from ensemble.contract.state import SHARED, StateParams
from sidecar.errors import Conflict, Forbidden, TooLarge

__all__ = ["check_version_given", "check_writer", "full", "outdated"]


def check_writer(at: StateParams, writer: str) -> None:
    """Let an agent write to its own namespace and to ``shared`` only. Raises Forbidden."""
    if at.namespace not in (writer, SHARED):
        raise Forbidden(
            f"{writer!r} may not write to {at.namespace!r}: an agent writes to its own namespace only, and all read it.",
            Fault(
                field="namespace",
                problem=f"belongs to {at.namespace!r}",
                fix=f"Write to {writer!r}, or to {SHARED!r} by increment or with expected_version.",
            ),
        )


def check_version_given(at: StateParams, expected: int | None, doing: str) -> None:
    """Let ``shared`` be written only by who says which version it read. Raises Forbidden."""
    if at.namespace == SHARED and expected is None:
        raise Forbidden(
            f"{SHARED!r} belongs to all agents: a plain {doing} would undo what others wrote.",
            Fault(
                field="expected_version",
                problem="missing",
                fix="Send the version you read, or change a number by increment.",
            ),
        )


def full(at: StateParams, most: int) -> TooLarge:
    """Say that a namespace takes no more than *most* values."""
    return TooLarge(
        f"The namespace {at.namespace!r} holds {most} values, and no more fit.",
        Fault(field="namespace", problem="full", fix="Delete what is no longer needed."),
    )


def outdated(at: StateParams, expected: int | None, version: int) -> Conflict:
    """Say that *version* stands where *expected* was asked for; 0: there is none."""
    stands = f"its version is {version}" if version else "there is none"
    return Conflict(
        f"{at.key!r} is not as expected: {stands}.",
        Fault(field="expected_version", problem=f"{expected}, but {stands}", fix="Read it again, then decide anew."),
    )

"""How a fallback is told: what failed, what was used instead, and how old that was."""

from __future__ import annotations

from collections.abc import Sequence

from ensemble.contract.results import ErrorInfo
from ensemble.engine.steps import MESSAGE_LIMIT, Failure

__all__ = ["age", "recovered", "together"]

_SHORT = 300
"""How many characters of a message one line quotes."""
_UNITS = ((86_400, "d", 2), (3_600, "h", 2), (60, "min", 2), (1, "s", 0))
"""Seconds of a unit, its sign, and from how many on it is used."""


def age(ms: int) -> str:
    """Return how long *ms* are, such as ``3 h``."""
    seconds = ms // 1000
    return next(f"{seconds // unit} {sign}" for unit, sign, least in _UNITS if seconds >= unit * least)


def recovered(step: str, failures: Sequence[Failure], instead: str) -> str:
    """Return in one line what failed at *step* and what was used *instead*."""
    return f"{step}: {'; '.join([*_told(failures), instead])}."


def together(failures: Sequence[Failure]) -> ErrorInfo:
    """Return the error of a step for which nothing stood in: the first agent's, and what its backups said."""
    first, *backups = failures
    if not backups:
        return first.error
    said = first.error.message.rstrip()
    ended = said if said.endswith((".", "!", "?")) else f"{said}."
    message = " ".join([ended, *(f"Its backup '{each.agent}': {_short(each.error)}." for each in backups)])
    retry = any(each.error.retry_allowed for each in failures)
    return first.error.model_copy(update={"message": message[:MESSAGE_LIMIT], "retry_allowed": retry})


def _told(failures: Sequence[Failure]) -> list[str]:
    first, *backups = failures
    return [_short(first.error), *(f"its backup '{each.agent}': {_short(each.error)}" for each in backups)]


def _short(error: ErrorInfo) -> str:
    message = " ".join(error.message.split()).rstrip(".")
    return f"{error.code}: {message[:_SHORT] + '…' if len(message) > _SHORT else message}"

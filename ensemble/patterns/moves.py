"""What a pattern is told and what it answers: parts to run, or what the group has come to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult
from ensemble.plan.model import Plan, Step
from ensemble.plan.rendering import Scope

__all__ = ["Made", "Move", "Part", "Pattern", "Setting", "failed", "first_failure", "succeeded"]

_MESSAGE_CHARS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a pattern knows of the group it stands for."""

    id: str
    """The group's id in the run."""
    task: str
    fail_fast: bool
    scope: Callable[[Mapping[str, str], Mapping[str, Any]], Scope]
    """What texts can see here, given what words mean in addition: parts by their ids, and plain values."""
    warn: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A step to run now, or as soon as the parts it waits for have ended."""

    step: Step
    """Its id and those in *depends_on* are ids in the run."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What its texts call other parts."""
    local: Mapping[str, Any] = field(default_factory=dict)
    """What other words in its texts mean."""
    task: str | None = None
    """What it is given in place of the run's task."""
    plan: Plan | None = None
    """The plan in which *names* are steps."""
    headings: Mapping[str, str] = field(default_factory=dict)
    """Under which headings it is given the results of other parts; by their agents' names where it is not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a group has come to; parts that have not ended are given up."""

    status: StepStatus = StepStatus.SUCCEEDED
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    error: ErrorInfo | None = None
    confidence: float | None = None
    sources: Sequence[Any] = ()
    incomplete: bool = False
    """Whether something that was wanted is missing from it, so that the run is *partial*."""


type Move = tuple[Part, ...] | Made


class Pattern(Protocol):
    """One group while it runs."""

    def begin(self) -> Move:
        """Return the first parts.

        Raises:
            UnknownOutput: a text of the group reads an output that its step did not give.

        """

    def heard(self, result: StepResult) -> Move:
        """Take note of how a part ended; return what is to be done now, perhaps nothing. Raises UnknownOutput."""


def succeeded(result: StepResult) -> bool:
    """Return whether a part has a result."""
    return result.status is StepStatus.SUCCEEDED


def failed(message: str, because: StepResult | None = None, **more: Any) -> Made:
    """Return a group that came to nothing; *because* is the part that tells how it failed, as the code of the error."""
    error = None if because is None else because.error
    code = Outcome.REJECTED if error is None else error.code
    text = message if error is None else f"{message} {because.step if because else ''}: {error.message}"
    info = ErrorInfo(code=code, message=text[:_MESSAGE_CHARS], retry_allowed=error is not None and error.retry_allowed)
    return Made(status=StepStatus.FAILED, error=info, **more)


def first_failure(results: Iterable[StepResult]) -> StepResult | None:
    """Return the first of *results* that carries an error."""
    return next((result for result in results if result.error is not None), None)

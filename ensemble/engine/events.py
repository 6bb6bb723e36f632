"""What the engine tells while it runs, and what it says at the end."""

from __future__ import annotations

from dataclasses import dataclass

from ensemble.contract.outcomes import RunStatus
from ensemble.contract.results import StepResult, Usage

__all__ = ["AnswerText", "Closing", "Event", "Progress", "Report"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One line about what just happened, for people who watch. Never empty, no line break at its end."""

    line: str
    more: bool = False
    """Whether the next event is there already, so that whoever passes them on may put both into one message."""


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A piece of the run's answer as it comes."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a run ended."""

    status: RunStatus
    answer: str
    results: tuple[StepResult, ...]
    """One per step, in the plan's order."""
    parts: tuple[StepResult, ...] = ()
    """One per part of a group, whose own result is among the others and tells what its parts used."""
    usage: Usage
    warnings: tuple[str, ...]
    trace_id: str
    run_id: str
    run_url: str = ""
    """A link to the run's page, for whoever is given it, for a day; empty where the ledger has none."""
    failed_hard: bool = False
    """Whether the caller must see a failure: no step succeeded, or ``fail_fast`` and a step failed, or cancelled."""
    replayed: bool = False
    """Whether the answer was stored or followed, so that nothing was spent now."""
    deciding: frozenset[str] = frozenset()
    """Steps that only decided which others ran: their success is not the run's."""

    @property
    def errors(self) -> tuple[StepResult, ...]:
        """Return the results that carry an error: of steps, then of parts."""
        return tuple(result for result in (*self.results, *self.parts) if result.error is not None)


@dataclass(frozen=True, slots=True)
class Closing:
    """Every step has ended, and the ledger is being told. The run may still fail as a whole, or come to more warnings."""

    report: Report


type Event = Progress | AnswerText | Closing

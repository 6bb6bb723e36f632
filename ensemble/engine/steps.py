"""One step while its run runs: what is known of it, and how its attempts add up to its result."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto
from uuid import uuid4

from ensemble.agents.port import CallScope, Reply
from ensemble.contract.outcomes import Outcome, Source, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage
from ensemble.engine.ports import Job
from ensemble.engine.retry import Tally
from ensemble.engine.scopes import Home
from ensemble.engine.usage import add_usage, total_usage
from ensemble.plan.fallbacks import Chain
from ensemble.plan.joins import SkipReason
from ensemble.plan.model import Step

__all__ = ["NOW", "Failure", "Fallen", "Flight", "Kept", "Phase", "StepRun", "status_of"]

MESSAGE_LIMIT = 4000
"""The longest error message; the ledger takes 4096."""
NOW = math.inf
"""As an epoch: that of this engine, later than all on record."""


class Phase(Enum):
    """Where a step stands with the scheduler."""

    PENDING = auto()
    """Its join is not met yet."""
    READY = auto()
    """It wants an attempt and stands in line for a place."""
    QUEUED = auto()
    """It waits for a place at its agent's host."""
    ASKING = auto()
    """It has a place and asks the ledger for admission."""
    DELAYED = auto()
    """It waits for a moment: a retry's backoff or the ledger's *wait*."""
    RUNNING = auto()
    """Its call is out."""
    GROUP = auto()
    """Its parts work for it."""
    DONE = auto()


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of a step that an earlier engine of the run got."""

    result: StepResult
    epoch: int
    """In which its agent was called."""


@dataclass(slots=True)
class Flight:
    """A call that is out."""

    ticket: str
    scope: CallScope
    started_s: float
    ends_s: float
    """When the engine gives it up, by the monotonic clock."""
    cut_by_run: bool
    """Whether that is the run's deadline rather than the step's own timeout."""
    job: Job | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """How one agent failed at a step for good."""

    agent: str
    status: StepStatus
    error: ErrorInfo


@dataclass(slots=True)
class Fallen:
    """A step whose agent failed for good, and what stands in for it."""

    planned: Step
    """The step as the plan has it."""
    chain: Chain
    failures: list[Failure] = field(default_factory=list)
    """The plan's agent's, then those of its backups in turn."""

    @property
    def next_backup(self) -> int:
        """Which backup of the chain is next."""
        return len(self.failures) - 1


@dataclass(slots=True)
class StepRun:
    """What the scheduler knows of one step."""

    step: Step
    """As it is worked at now: a backup's takes the place of the plan's, with its agent and settings."""
    home: Home
    parent: StepRun | None = None
    """The group it is a part of."""
    parts: list[StepRun] = field(default_factory=list)
    """Of a group, in the order in which they came into being."""
    incomplete: bool = False
    """Of a group that succeeded: whether something that was wanted is missing from its result."""
    kept: bool = False
    """Whether its result is an earlier engine's."""
    made_in: float = 0
    """In which epoch of the run its result came to be, :data:`NOW` for one that no earlier engine had; 0: it has none."""
    given_in: float = 0
    """The newest epoch of what it and the groups around it are given: an older result answers another question."""
    again: bool = False
    """Whether its result on record does not count any more; until an attempt at another one is admitted."""
    heard_by: Callable[[StepRun, Phase], None] | None = None
    """Told of every move, with the phase before it."""
    _phase: Phase = Phase.PENDING
    ticket: str = field(default_factory=lambda: uuid4().hex)
    attempts: int = 0
    tally: Tally = field(default_factory=Tally)
    usage: Usage | None = None
    price_per_1k: Decimal | None = None
    """What 1,000 tokens of the present attempt cost by an operator's word; None: nobody says."""
    currency: str | None = None
    due_s: float = 0.0
    """While *delayed*: when to go on."""
    first_s: float | None = None
    flight: Flight | None = None
    last_error: ErrorInfo | None = None
    result: StepResult | None = None
    fallen: Fallen | None = None
    """Given once its agent has failed for good."""
    skipped: SkipReason | None = None
    """Why, if it was skipped: it decides what its dependents do."""

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        before, self._phase = self._phase, phase
        if self.heard_by is not None and phase is not before:
            self.heard_by(self, before)

    def new_ticket(self) -> None:
        """Begin another attempt."""
        self.ticket = uuid4().hex

    def book(self, usage: Usage) -> None:
        """Add what an attempt used."""
        self.usage = usage if self.usage is None else add_usage(self.usage, usage)

    def spent(self) -> tuple[Usage, int]:
        """Return what it has used so far, and in how many calls; of a group, what its parts have."""
        if not self.parts:
            return self.usage or Usage(), self.attempts
        each = [(usage, calls) for usage, calls in map(StepRun._told, self.parts) if calls]
        return total_usage(usage for usage, _ in each), sum(calls for _, calls in each)

    def finish(self, result: StepResult) -> StepResult:
        """End the step with *result*."""
        self.flight = None
        self.result = result
        # A value of the plan's own is no other than it was before.
        fresh = result.status is StepStatus.SUCCEEDED and result.source is not Source.DEFAULT
        if self.step.group is None and fresh and not self.kept:
            self.made_in = NOW
        self.phase = Phase.DONE
        return result

    def keep(self, kept: Kept) -> None:
        """End the step with what an earlier engine got for it."""
        self.kept, self.made_in = True, kept.epoch
        self.finish(kept.result)

    def ended(self, status: StepStatus, run_start_s: float, now_s: float, *, error: ErrorInfo | None) -> StepResult:
        """Return the result of a step that has no answer, with what its attempts took and used."""
        usage, attempts = self.spent()
        return StepResult(
            step=self.step.id,
            agent=self.step.worker,
            status=status,
            error=error,
            usage=usage,
            attempts=attempts,
            started_ms=self._started_ms(run_start_s),
            took_ms=self._took_ms(now_s),
        )

    def answered(self, reply: Reply, run_start_s: float, now_s: float) -> StepResult:
        """Return the result of a step whose agent gave *reply*."""
        return StepResult(
            step=self.step.id,
            agent=self.step.agent,
            status=StepStatus.SUCCEEDED,
            text=reply.text,
            data=dict(reply.data),
            source=Source.AGENT if self.fallen is None else Source.BACKUP,
            usage=self.usage or Usage(),
            confidence=reply.confidence,
            sources=tuple(reply.sources),
            attempts=self.attempts,
            started_ms=self._started_ms(run_start_s),
            took_ms=self._took_ms(now_s),
        )

    def _told(self) -> tuple[Usage, int]:
        """Return what its group may say of it: what it used, where that is not known because its call is out."""
        if self.result is not None:
            return self.result.usage, self.result.attempts
        usage, calls = self.spent()
        return add_usage(usage, Usage()) if self.phase is Phase.RUNNING else usage, calls

    def _started_ms(self, run_start_s: float) -> int | None:
        return None if self.first_s is None else max(0, round((self.first_s - run_start_s) * 1000))

    def _took_ms(self, now_s: float) -> int:
        return 0 if self.first_s is None else max(0, round((now_s - self.first_s) * 1000))


_STATUS = {
    Outcome.SUCCEEDED: StepStatus.SUCCEEDED,
    Outcome.TIMED_OUT: StepStatus.TIMED_OUT,
    Outcome.CANCELLED: StepStatus.CANCELLED,
    Outcome.REFUSED: StepStatus.REFUSED,
    Outcome.UNCERTAIN: StepStatus.UNCERTAIN,
    Outcome.INPUT_REQUIRED: StepStatus.INPUT_REQUIRED,
}


def status_of(outcome: Outcome) -> StepStatus:
    """Return the status of a step whose last attempt ended like this."""
    return _STATUS.get(outcome, StepStatus.FAILED)

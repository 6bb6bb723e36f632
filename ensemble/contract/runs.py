"""What can be asked about runs."""

from __future__ import annotations

from pydantic import Field

from ensemble.contract.base import AgentName, Answer, Ask, HexId, Identity, RunKey, StepId, TraceId
from ensemble.contract.budgets import BudgetView, Limits
from ensemble.contract.exchange import PlannedStep, Remote
from ensemble.contract.messages import AgentMessage
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage

__all__ = ["AttemptView", "CancelAnswer", "RunLine", "RunList", "RunLog", "RunParams", "RunView", "RunsParams"]


class RunParams(Ask):
    """Which run."""

    run_id: HexId


class RunsParams(Ask):
    """Which page of the runs, newest first."""

    trace_id: TraceId | None = None
    status: RunStatus | None = None
    before_ms: int | None = Field(default=None, ge=0, description="Only runs opened before this moment.")
    limit: int = Field(default=50, ge=1, le=500)


class AttemptView(Answer):
    """One attempt as the ledger holds it."""

    ticket: HexId
    step: StepId
    agent: AgentName
    identity: Identity
    attempt: int
    epoch: int
    content: str = ""
    admitted_ms: int = Field(description="Unix milliseconds by the store's clock.")
    settled_ms: int | None = None
    outcome: Outcome | None = Field(default=None, description="None while it is under way.")
    usage: Usage = Usage()
    took_ms: int | None = None
    error: ErrorInfo | None = None
    remote: Remote | None = None
    late: bool = Field(default=False, description="It went out while the sidecar was away, and was told afterwards.")


class RunLine(Answer):
    """One run in a list."""

    run_id: HexId
    run_key: RunKey
    trace_id: TraceId
    task: str
    pattern: str
    status: RunStatus
    opened_ms: int
    closed_ms: int | None = None
    parent_run_id: HexId | None = Field(default=None, description="The run one of whose calls this one was opened in.")
    depth: int = Field(default=1, ge=1, description="1 of a run nobody's call is known to have opened, and so on.")
    tokens: int = Field(default=0, ge=0, description="What its attempts have used, as far as they have settled.")
    calls: int = Field(default=0, ge=0, description="How many of its attempts have settled.")


class RunList(Answer):
    """Runs, newest first."""

    runs: tuple[RunLine, ...]
    next_before_ms: int | None = Field(default=None, description="Ask with this for the next page; None: no more.")


class RunView(RunLine):
    """One run, whole."""

    epoch: int
    lease_ms: int = Field(ge=0, description="How long the owner's lease still lasts; 0: nobody runs it.")
    steps: tuple[PlannedStep, ...]
    results: tuple[StepResult, ...]
    attempts: tuple[AttemptView, ...]
    answer: str | None = Field(default=None, description="None while it runs.")
    warnings: tuple[str, ...] = ()
    limits: Limits = Limits()
    budget: BudgetView = BudgetView()


class CancelAnswer(Answer):
    """What became of an ask to cancel a run."""

    run_id: HexId
    status: RunStatus = Field(description="*running*: its engine hears of it at its next exchange, within seconds.")


class RunLog(Answer):
    """A run's messages in order."""

    messages: tuple[AgentMessage, ...]

"""The one call between engine and ledger: settle these attempts, admit those, open, renew or close the run on the way.

Ids are the caller's, so the same ask gives the same answer. Inside one exchange things happen in this order: open, or
check the epoch and renew the lease; attempts told late; what was reached; settlements as listed; steps that ended
without an attempt; close; admissions as listed, each seeing what went before.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from pydantic import Field

from ensemble.contract.base import AgentName, Answer, Ask, Fingerprint, HexId, Identity, RunKey, StepId, TraceId
from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.budgets import BudgetName, Limits
from ensemble.contract.caching import CacheOrder
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage
from ensemble.contract.slots import HostName

__all__ = [
    "LEASE_MS",
    "Admission",
    "AdmissionAsk",
    "CloseRun",
    "Decision",
    "Exchange",
    "ExchangeAnswer",
    "OnLost",
    "OpenRun",
    "Parent",
    "PlannedStep",
    "Reached",
    "Remote",
    "Role",
    "RunHead",
    "Settlement",
    "StoredAnswer",
    "Uncertain",
    "Why",
]

LEASE_MS = 30_000
"""How long an owner keeps its run without another exchange, unless the ledger says otherwise."""

CONTENT_HEAD = 4_000
"""How many characters of what an agent was given the ledger keeps, for the log."""


class OnLost(StrEnum):
    """What becomes of the reservation of an attempt whose owner died."""

    CHARGE = "charge"
    """Booked as spent, flagged as estimated: the agent may well have done the work."""
    RELEASE = "release"
    """Given back."""


class PlannedStep(Ask):
    """One step as the ledger knows it."""

    id: StepId
    agent: AgentName
    identity: Identity | None = Field(default=None, description="None for a group, whose parts are called.")
    depends_on: tuple[StepId, ...] = ()


class Parent(Ask):
    """The call of another run inside which a run is opened, as its token named it."""

    run_id: HexId
    ticket: str = Field(
        pattern=r"^[0-9a-f]{12,32}$", description="The beginning of the attempt's, enough to know it by."
    )
    under_way: bool = Field(
        default=True,
        description="Whether the call has to be under way; not where a run is told once more, or elsewhere, that was "
        "opened before: then it goes on without a parent nobody knows.",
    )


class OpenRun(Ask):
    """Find the run of this key and fingerprint, or begin it."""

    run_key: RunKey
    fingerprint: Fingerprint
    trace_id: TraceId
    task: str = Field(default="", max_length=CONTENT_HEAD, description="The beginning of the task, for the log.")
    pattern: str = Field(default="", max_length=64)
    steps: tuple[PlannedStep, ...] = Field(max_length=2000)
    limits: Limits = Limits()
    budgets: tuple[BudgetName, ...] = Field(
        default=(), max_length=16, description="Named budgets every attempt is charged to as well."
    )
    max_parallel: int = Field(default=4, ge=1, le=1000)
    on_lost: OnLost = OnLost.CHARGE
    caller: Identity | None = Field(default=None, description="The app whose tool runs this, where Dify tells.")
    end_user: str = Field(
        default="", max_length=64, description="Tells the caller's users apart: a hash, no name; empty where unknown."
    )
    parent: Parent | None = Field(default=None, description="None: nobody's nested run, as far as it knows.")
    afterwards: bool = Field(
        default=False,
        description="The run is over, and is told of in several exchanges, the last of which closes it; that takes "
        "nothing from anybody.",
    )


class AdmissionAsk(Ask):
    """May this attempt go out?"""

    ticket: HexId
    step: StepId
    agent: AgentName
    identity: Identity
    attempt: int = Field(default=1, ge=1, description="1 is the first try.")
    timeout_ms: int = Field(ge=1, le=86_400_000)
    max_tokens: int | None = Field(
        default=None, ge=1, le=10**12, description="What the attempt is declared to use at most."
    )
    again: bool = Field(
        default=False,
        description="The step has a result from an earlier owner that does not count: what it is given has changed.",
    )
    breaker: BreakerPolicy | None = Field(default=None, description="None: the sidecar's default policy.")
    host: HostName | None = Field(default=None, description="Where the call goes; None: it takes no slot.")
    host_parallel: int | None = Field(
        default=None, ge=1, le=1000, description="Calls there at one time, unless an operator says how many."
    )
    priority: int = Field(default=0, ge=-9, le=9, description="Higher ones get a slot earlier.")
    content: str = Field(default="", max_length=CONTENT_HEAD, description="The beginning of what the agent is given.")


class Remote(Ask):
    """What Dify calls the run behind an attempt, as far as it told us."""

    task_id: str | None = Field(default=None, max_length=128)
    workflow_run_id: str | None = Field(default=None, max_length=128)
    conversation_id: str | None = Field(default=None, max_length=128)
    message_id: str | None = Field(default=None, max_length=128)
    app_id: str | None = Field(
        default=None,
        max_length=128,
        description="Of the app behind a key; told once in a while, for the ledger to keep.",
    )


class Reached(Ask):
    """What an attempt under way has told about itself, kept for whoever resumes the run."""

    ticket: HexId
    remote: Remote


class Settlement(Ask):
    """How an attempt ended. The first settlement of a ticket wins."""

    ticket: HexId
    step: StepId
    identity: Identity | None = Field(
        default=None, description="The agent's, so that its breaker is read at once; None costs a second look."
    )
    outcome: Outcome
    usage: Usage = Usage()
    started_ms: int = Field(default=0, ge=0, description="Since the run's start, by the engine's clock.")
    took_ms: int = Field(ge=0)
    error: ErrorInfo | None = None
    retry_after_ms: int | None = Field(default=None, ge=0, description="How long a throttled agent asked us to wait.")
    remote: Remote | None = None
    result: StepResult | None = Field(default=None, description="The step's result if this attempt ended the step.")
    cache: CacheOrder | None = Field(default=None, description="Keep that result, if it is an agent's own.")


class CloseRun(Ask):
    """The run is over; what its caller is told."""

    status: RunStatus
    answer: str
    warnings: tuple[str, ...] = ()


class Exchange(Ask):
    """One engine's news and wishes."""

    run_id: HexId
    owner: HexId
    epoch: int | None = Field(default=None, ge=1, description="As last told; None only together with *open*.")
    open: OpenRun | None = None
    late: tuple[AdmissionAsk, ...] = Field(
        default=(),
        max_length=20_000,
        description="Attempts that went out while the ledger did not answer: put on record, not asked for.",
    )
    reached: tuple[Reached, ...] = Field(default=(), max_length=2000)
    settle: tuple[Settlement, ...] = Field(default=(), max_length=20_000)
    ended: tuple[StepResult, ...] = Field(default=(), max_length=20_000, description="Steps that ended unattempted.")
    close: CloseRun | None = None
    admit: tuple[AdmissionAsk, ...] = Field(default=(), max_length=2000, description="None together with *close*.")
    holding: tuple[HexId, ...] = Field(
        default=(), max_length=2000, description="Open tickets of this owner, so that a lapsed lease can be healed."
    )


class Role(StrEnum):
    """What the asking engine is to the run now."""

    OWNER = "owner"
    FOLLOWER = "follower"
    """Somebody else runs it: start nothing, look again, tell the same answer."""
    FINISHED = "finished"
    """It is over; *stored* holds the answer."""
    SUPERSEDED = "superseded"
    """Somebody took it over: end the calls, book them late."""


class RunHead(Answer):
    """The run as the asking engine must know it."""

    run_id: HexId = Field(description="The run's first id; another engine's, where a run was found by its key.")
    epoch: int = Field(ge=1)
    role: Role
    lease_ms: int = Field(ge=0, description="How long the present owner's lease still lasts.")
    trace_id: TraceId | None = Field(default=None, description="Told after opening: the one it was opened with first.")
    cancelled: bool = Field(default=False, description="Somebody asked for its end: start nothing, close it.")
    url: str | None = Field(
        default=None,
        description="Told after opening: a link to the run's page, for a day. None where ENSEMBLE_PUBLIC_URL is not set.",
    )


class Decision(StrEnum):
    """What became of an ask for admission."""

    ADMITTED = "admitted"
    DONE = "done"
    """The step has its result already; *result* holds it."""
    WAIT = "wait"
    """Not now, but soon; ask again with the same ticket. Uses up no retry and no timeout."""
    REFUSED = "refused"


class Why(StrEnum):
    """Why an attempt has to wait or is refused."""

    BREAKER_OPEN = "breaker_open"
    COOLING = "cooling"
    """The agent was throttled and asked for time."""
    BUDGET = "budget"
    NO_SLOT = "no_slot"
    CANCELLED = "cancelled"
    RECURSION = "recursion"
    SUPERSEDED = "superseded"


class Admission(Answer):
    """What became of one ask for admission."""

    ticket: HexId
    decision: Decision
    why: Why | None = None
    detail: str = Field(default="", description="In words, for the builder.")
    retry_after_ms: int | None = Field(default=None, ge=0)
    result: StepResult | None = Field(default=None, description="With *done*.")
    warnings: tuple[str, ...] = Field(default=(), description="With *admitted*: budgets that are nearly spent.")
    price_per_1k: Decimal | None = Field(
        default=None,
        description="With *admitted*: what 1,000 tokens cost by an operator's word, for an app that reports no price.",
    )
    currency: str | None = Field(default=None, description="Of *price_per_1k*.")


class Uncertain(Answer):
    """A step that was under way when the run's last owner was lost: it may have run, nobody knows how it ended."""

    step: StepId
    ticket: HexId
    identity: Identity
    remote: Remote | None = Field(default=None, description="As far as it was told while the attempt ran.")


class StoredAnswer(Answer):
    """What the caller of a closed run was told."""

    status: RunStatus
    answer: str
    warnings: tuple[str, ...] = ()
    results: tuple[StepResult, ...]


class ExchangeAnswer(Answer):
    """What the ledger says."""

    run: RunHead
    admissions: tuple[Admission, ...] = ()
    kept: tuple[StepResult, ...] = Field(
        default=(), description="After opening: steps that succeeded before and are not done again."
    )
    kept_epochs: tuple[int, ...] = Field(
        default=(), description="In which epoch the agent of each of *kept* was called; 0 where it is not known."
    )
    uncertain: tuple[Uncertain, ...] = Field(
        default=(), description="After opening: steps the last owner left under way, in order of admission."
    )
    lost: tuple[HexId, ...] = Field(default=(), description="Tickets in *holding* the ledger no longer holds open.")
    stored: StoredAnswer | None = Field(default=None, description="With the role *finished*.")

"""The documents the ledger keeps, frozen: a rule never changes a record, it answers with another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from ensemble.contract.base import AgentName, Fingerprint, HexId, Identity, RunKey, TraceId
from ensemble.contract.breakers import BreakerCause, BreakerChange, BreakerForcing, BreakerPolicy, BreakerState
from ensemble.contract.budgets import (
    BudgetDefinition,
    BudgetName,
    Limits,
    Reservation,
    ReservationAsk,
    ReservationSettled,
)
from ensemble.contract.exchange import LEASE_MS, AdmissionAsk, OnLost, PlannedStep, Remote, Settlement
from ensemble.contract.guarding import CallAsk
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import StepResult

__all__ = [
    "About",
    "Amounts",
    "Attempt",
    "Booking",
    "Breaker",
    "Cached",
    "Call",
    "Charge",
    "Defaults",
    "Going",
    "Lineage",
    "Link",
    "NamedBudget",
    "Origin",
    "Reserved",
    "Run",
    "Seen",
    "Share",
    "Steps",
]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where an ask says nothing."""

    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    lease_ms: int = LEASE_MS


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return this record with some fields changed.

        The same as pydantic's, for records without private or extra fields and a third of its time: every exchange
        makes half a dozen of these.
        """
        if deep:
            return super().model_copy(update=update, deep=deep)
        changed = update or {}
        copy = object.__new__(type(self))
        for name, value in (
            ("__dict__", {**self.__dict__, **changed}),
            ("__pydantic_fields_set__", self.__pydantic_fields_set__ | changed.keys()),
            ("__pydantic_extra__", None),
            ("__pydantic_private__", None),
        ):
            object.__setattr__(copy, name, value)
        return copy


class Run(_Record):
    """Who runs a run and how it stands; everything long about it stands in documents of its own."""

    owner: HexId
    epoch: int = Field(ge=1, description="Grows whenever the run gets another owner.")
    former: tuple[HexId, ...] = Field(default=(), description="Earlier owners, the last ones; none of them comes back.")
    lease_until_ms: int = Field(description="Until when the owner keeps it, unix milliseconds.")
    status: RunStatus = RunStatus.RUNNING
    opened_ms: int
    since_ms: int = Field(description="When this epoch began.")
    closed_ms: int | None = None
    limits: Limits = Limits()
    budgets: tuple[BudgetName, ...] = ()
    max_parallel: int = 4
    on_lost: OnLost = OnLost.CHARGE
    cancelled: bool = Field(default=False, description="Somebody asked for its end.")
    lapsed: bool = Field(
        default=False, description="Its lease ended and that was noticed; no engine was heard of since."
    )
    open: dict[HexId, str] = Field(default_factory=dict, description="Tickets under way and the step of each.")
    admitted: int = Field(default=0, description="How many attempts were admitted so far, over all epochs.")
    above: tuple[HexId, ...] = Field(
        default=(), description="The runs inside whose calls it was opened, first one first."
    )
    inside: str = Field(
        default="",
        description="The ticket of the call it was opened in, the last of *above*'s; empty where that was over.",
    )
    recursion: str = Field(
        default="", description="Why its calls would go round in a circle, in words; empty: they do not."
    )


class About(_Record):
    """What a run is about; stays as it was opened first."""

    run_key: RunKey
    fingerprint: Fingerprint
    trace_id: TraceId
    task: str
    pattern: str


class Link(_Record):
    """One app on the way from the first run down to this one."""

    name: str = Field(default="", description="What the run above called it; empty of the first, which nobody called.")
    identities: tuple[Identity, ...] = Field(default=(), description="As it was called, and the app its tool runs in.")


class Origin(_Record):
    """The first run of a line: what tells which calls under way could have led to it."""

    caller: Identity | None = Field(default=None, description="The app its tool runs in.")
    end_user: str = Field(default="", description="A hash that tells users apart; empty where unknown.")
    opened_ms: int = Field(default=0, description="When it was opened last, unix milliseconds.")
    starter: bool = Field(
        default=False, description="Whether its user is known to start this app without any call of ours."
    )


class Lineage(_Record):
    """Where a run stands among those that were opened inside each other's calls."""

    chain: tuple[Link, ...] = Field(description="From the first run's app down to its own, one for each run.")
    origin: Origin


class Going(_Record):
    """A call under way into an app that runs teams itself, kept by that app as long as its attempt is open."""

    run_id: HexId
    agent: AgentName
    admitted_ms: int
    same_user: bool = Field(description="Whether the app sees the very user of the run that calls: Dify hands it on.")
    origin: Origin = Field(description="Of the run that calls.")
    depth: int = Field(description="Of the run that calls.")


class Steps(_Record):
    """The steps as the newest epoch planned them."""

    steps: tuple[PlannedStep, ...]


class Amounts(_Record):
    """An amount in each dimension of a budget."""

    tokens: int = 0
    calls: int = 0
    ms: int = Field(default=0, description="Agents' time.")
    nano: int = Field(default=0, description="Money, in billionths of *currency*.")
    currency: str | None = None


class Booking(_Record):
    """What was committed for one attempt."""

    spent: Amounts
    estimated: bool = Field(description="True where tokens were booked as reserved, for want of a report.")


class Share(_Record):
    """What one named budget holds of one attempt."""

    name: BudgetName
    reserved: Amounts
    booking: Booking | None = Field(default=None, description="None as long as the reservation stands.")
    slot: int | None = Field(default=None, description="Where in the budget's window it was booked.")
    life: int = Field(default=0, description="The window's, when it was booked.")
    born: int | None = Field(default=0, description="The budget's, when this was set apart; None: there was none.")


class Charge(_Record):
    """What a run above holds of one attempt."""

    run_id: HexId
    reserved: Amounts
    booking: Booking | None = Field(default=None, description="None as long as the reservation stands.")


class NamedBudget(_Record):
    """A budget as an operator defined it."""

    definition: BudgetDefinition
    life: int = Field(description="When its window was defined; another window forgets what was spent in it.")
    born: int = Field(default=0, description="When it was defined first, since it was forgotten last.")


class Reserved(_Record):
    """A reservation of a call of no run, from its admission to its settlement or loss."""

    ask: ReservationAsk
    told: Reservation
    shares: tuple[Share, ...]
    until_ms: int = Field(description="When it is booked as reserved, unless it is settled before.")
    settled: ReservationSettled | None = None


class Attempt(_Record):
    """One admitted attempt, from its admission to its settlement or loss."""

    ask: AdmissionAsk
    number: int = Field(description="In order of admission within the run, from 1.")
    epoch: int = Field(
        description="Of the engine that made it; 0 of one that never had the run here and told of it late."
    )
    generation: int = Field(
        description="The breaker's at admission, -1 where none was asked; under another one this attempt's news is old."
    )
    reserved: Amounts
    shares: tuple[Share, ...] = Field(default=(), description="What named budgets hold of it.")
    charges: tuple[Charge, ...] = Field(default=(), description="What the runs above hold of it.")
    nests: bool = Field(default=False, description="Whether a run was opened inside it, which it waits for.")
    into: Identity | None = Field(default=None, description="The app under which it is kept as a call under way.")
    slots: tuple[str, ...] = Field(default=(), description="The scopes in which it holds a slot until it is booked.")
    admitted_ms: int
    settlement: Settlement | None = Field(default=None, description="Without its result, which is the step's document.")
    settled_ms: int | None = Field(default=None, description="When it was settled, or given up as lost.")
    booking: Booking | None = Field(default=None, description="None as long as the reservation stands.")
    remote: Remote | None = Field(default=None, description="As told while it ran.")
    late: bool = Field(default=False, description="It went out while the ledger did not answer.")
    result_taken: bool = Field(default=False, description="Whether its result became the step's.")
    breaker: tuple[BreakerChange, ...] = Field(
        default=(), description="How it changed the state of its agent's breaker, for the log."
    )


class Breaker(_Record):
    """One agent's circuit breaker: counts, times, and what an operator set. Who asks brings the policy beside it."""

    state: BreakerState = BreakerState.CLOSED
    generation: int = Field(default=0, description="Grows at every change of state.")
    failures: int = Field(default=0, description="Consecutive failures while closed.")
    successes: int = Field(default=0, description="Successes while half-open.")
    probes: dict[str, str] = Field(
        default_factory=dict,
        description="Tickets out while half-open, and whose each is: a run's id; or, in decimal digits, the unix "
        "milliseconds until which a call of no run holds its place.",
    )
    opened_ms: int | None = Field(default=None, description="When it opened last.")
    half_open_ms: int | None = Field(default=None, description="Since when it is half-open.")
    trips: int = Field(default=0, description="How often it opened since it was closed last.")
    cooling_until_ms: int = Field(default=0, description="Until when a throttled agent is left in peace.")
    cause: BreakerCause | None = Field(default=None, description="Why it changed its state last.")
    forced: BreakerForcing | None = Field(default=None, description="How an operator holds it.")
    policy: BreakerPolicy | None = Field(default=None, description="An operator's; beats whatever is asked by.")


class Call(_Record):
    """A call of no run that is guarded by a breaker, from its admission to its settlement."""

    ask: CallAsk
    generation: int = Field(description="The breaker's at admission.")
    outcome: Outcome | None = Field(default=None, description="How it ended; None as long as nobody told.")


class Cached(_Record):
    """An answer that is kept for when its agent fails."""

    since_ms: int = Field(description="When the agent gave it, unix milliseconds.")
    until_ms: int = Field(description="When it is forgotten.")
    result: StepResult


class Seen(_Record):
    """What calls told of an agent; brought up to date once a minute at most, so that hot agents do not collide."""

    first_ms: int = Field(description="When it was called first, unix milliseconds.")
    fresh_ms: int = Field(description="When this was brought up to date.")
    names: tuple[AgentName, ...] = Field(default=(), description="What plans called it, the newest first.")
    calls: int = Field(default=0, description="That told their tokens, in the window of its statistics.")
    tokens_p95: int = Field(default=0, description="What 95 of 100 of those did not pass.")
    priced: dict[str, int] = Field(
        default_factory=dict, description="Calls in the window that told their price, by currency."
    )
    nano_p95: dict[str, int] = Field(default_factory=dict, description="Likewise, in billionths of the currency.")
    app: Identity | None = Field(
        default=None, description="The app behind a key, once it is known to run teams itself."
    )
    keys: tuple[Identity, ...] = Field(default=(), description="The keys that are known to open this app.")
    runs: bool = Field(default=False, description="An app that runs teams itself: calls into it can nest runs.")
    hands_on: bool = Field(default=False, description="An app that tells its runs by whose call they were opened.")

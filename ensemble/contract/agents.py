"""What is known of agents: what calls have told, and what an operator declares."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from ensemble.contract.base import AgentName, Answer, Ask, Identity
from ensemble.contract.breakers import BreakerPolicy, BreakerState
from ensemble.contract.outcomes import Outcome

__all__ = [
    "AgentCost",
    "AgentDeclaration",
    "AgentDeclared",
    "AgentForgotten",
    "AgentHealth",
    "AgentList",
    "AgentParams",
    "AgentStatistics",
    "AgentView",
    "AgentsParams",
    "Currency",
    "Spread",
]

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3,8}$")]
"""Such as USD."""


class AgentHealth(StrEnum):
    """How an agent does, in one word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It works, with failures; or it is probed, or asked for time."""
    FAILING = "failing"
    """Its breaker is open, or at least half of its last calls failed."""
    UNKNOWN = "unknown"
    """Nobody has called it lately."""


class AgentParams(Ask):
    """Which agent."""

    identity: Identity


class AgentsParams(Ask):
    """Which page of the agents, those called last first."""

    before_ms: int | None = Field(default=None, ge=0, description="Only agents called last before this moment.")
    limit: int = Field(default=50, ge=1, le=100)


class _Declared(BaseModel):
    name: AgentName | None = Field(default=None, description="What it shall be called on pages and in reports.")
    description: str = Field(default="", max_length=2000, description="What it is good for.")
    max_tokens: int | None = Field(
        default=None, ge=1, le=10**12, description="What one call is taken to use at most where its plan says nothing."
    )
    price_per_1k: Decimal | None = Field(
        default=None, ge=0, le=10**6, description="What 1,000 tokens cost, where the app itself reports no price."
    )
    currency: Currency = Field(default="USD", description="Of *price_per_1k*.")


class AgentDeclaration(_Declared, Ask):
    """All that an operator declares of an agent; what is left out is declared no more, except for the breaker."""

    breaker: BreakerPolicy | None = Field(
        default=None,
        description="Judge its calls by this policy, as PUT /v1/breakers/policy does; None leaves that as it is.",
    )


class AgentDeclared(_Declared, Answer):
    """What an operator has declared of an agent."""


class Spread(Answer):
    """How a figure is spread over calls, each end to within a tenth."""

    p50: int
    p95: int


class AgentCost(Answer):
    """What an agent's calls cost by its own reports, in one currency."""

    currency: str
    total: Decimal
    p95: Decimal = Field(description="Of one call.")


class AgentStatistics(Answer):
    """What an agent's settled calls of the last day tell; none of it outlives that day."""

    since_ms: int = Field(description="From when on calls are in it, unix milliseconds: 20 to 24 hours ago.")
    calls: int = 0
    outcomes: dict[Outcome, int] = Field(default={}, description="How many calls ended so.")
    failure_rate: float | None = Field(
        default=None, description="0 to 1: failures among the calls that were not cancelled; None where there are none."
    )
    recent_calls: int = Field(default=0, description="In the last hour.")
    recent_failures: int = Field(default=0, description="In the last hour.")
    latency_ms: Spread | None = Field(default=None, description="Of the calls that succeeded.")
    tokens: Spread | None = Field(default=None, description="Of the calls that told how many they used.")
    tokens_total: int = 0
    costs: tuple[AgentCost, ...] = ()


class AgentView(Answer):
    """One agent as far as it is known."""

    identity: Identity
    name: str = Field(description="As declared, else as plans called it last, else its identity.")
    names: tuple[AgentName, ...] = Field(default=(), description="What plans called it, the newest first.")
    first_seen_ms: int | None = Field(default=None, description="None: declared, and never called yet.")
    last_seen_ms: int | None = Field(default=None, description="To within a minute.")
    health: AgentHealth
    health_why: str = Field(description="In words.")
    breaker: BreakerState = Field(description="GET /v1/breakers/one tells more.")
    declared: AgentDeclared | None = None
    statistics: AgentStatistics


class AgentList(Answer):
    """A page of agents, those called or declared last first."""

    agents: tuple[AgentView, ...]
    next_before_ms: int | None = Field(default=None, description="What to ask for the next page by; None: the last.")


class AgentForgotten(Answer):
    """What was forgotten of an agent: sightings, statistics, declaration. Its breaker stays."""

    identity: Identity
    forgotten: bool = Field(description="False where nothing was known.")

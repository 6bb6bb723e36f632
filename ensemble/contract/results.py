"""What an agent gave back: usage, errors, the result of a step and the result as other agents see it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from ensemble.contract.base import AgentName, Answer, StepId, TraceId
from ensemble.contract.outcomes import Outcome, Source, StepStatus

__all__ = ["AgentResult", "ErrorInfo", "StepResult", "Usage"]

Confidence = Annotated[float, Field(ge=0, le=1)]


class Usage(Answer):
    """What something cost. An unknown figure is ``None``, never zero."""

    tokens: int | None = Field(default=None, ge=0, description="Prompt and completion tokens together.")
    price: Decimal | None = Field(default=None, ge=0, description="In *currency*; None where Dify gives no price.")
    currency: str | None = Field(default=None, max_length=8, description="Such as USD.")
    estimated: bool = Field(default=False, description="True where a figure is a reservation or a declared price.")


class ErrorInfo(Answer):
    """Why something has no result, in words for the builder of the workflow."""

    code: Outcome | Literal["upstream_failed", "quorum_impossible"] = Field(
        description="The outcome's name, or why a step was skipped."
    )
    message: str = Field(max_length=4096, description="What happened and what to do. Never holds a key.")
    retry_allowed: bool = Field(default=False, description="Whether the same call may succeed later.")


class StepResult(Answer):
    """How one step ended; a run's ``results`` are a list of these."""

    step: StepId
    agent: AgentName
    status: StepStatus
    text: str = ""
    data: dict[str, Any] = Field(default_factory=dict, description="Every output of the agent by its name.")
    source: Source | None = Field(default=None, description="None where there is no result.")
    age_ms: int | None = Field(default=None, ge=0, description="How old an answer from the cache is; else None.")
    stale: bool = Field(default=False, description="Whether that is past the time it counts as fresh.")
    error: ErrorInfo | None = None
    usage: Usage = Usage()
    confidence: Confidence | None = None
    sources: tuple[Any, ...] = Field(default=(), description="What the agent cites, as it gave it.")
    attempts: int = Field(default=0, ge=0, description="How often the agent was called.")
    started_ms: int | None = Field(default=None, ge=0, description="Since the run's start; None if never started.")
    took_ms: int = Field(default=0, ge=0)


class AgentResult(Answer):
    """One agent's result as it travels between agents and tools."""

    agent_id: AgentName
    task_id: StepId
    trace_id: TraceId
    result_type: str = Field(default="text", max_length=64, description="``text``, ``json`` or the agent's own word.")
    data: Any = None
    confidence: Confidence | None = None
    sources: tuple[Any, ...] = ()
    created_at: AwareDatetime | datetime

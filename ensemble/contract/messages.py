"""The messages agents exchange; a run's log is the list of them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import uuid4

from pydantic import AfterValidator, AwareDatetime, Field

from ensemble.contract.base import AgentName, Answer, TraceId

__all__ = ["SYSTEM", "AgentMessage", "MessageType"]

SYSTEM = "System"
"""Who sends what no agent sent: the engine itself."""


class MessageType(StrEnum):
    """What a message is about."""

    TASK = "task"
    RESULT = "result"
    ERROR = "error"
    STATUS = "status"


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


class AgentMessage(Answer):
    """One task, result, error or status between two agents."""

    message_id: str = Field(default_factory=lambda: uuid4().hex, min_length=1, max_length=128)
    trace_id: TraceId
    timestamp: Annotated[AwareDatetime, AfterValidator(_utc)] = Field(default_factory=lambda: datetime.now(UTC))
    sender_agent_id: AgentName
    sender_agent_name: str = Field(max_length=128)
    receiver_agent_id: AgentName
    message_type: MessageType
    content: Any = None
    task_id: str = Field(min_length=1, max_length=128)
    task_priority: int = Field(default=5, ge=1, le=10, description="10 is the most urgent.")
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, max_length=4096)
    retry_allowed: bool = False

"""What is said to guard a single call by a circuit breaker, outside any run: a workflow's HTTP node, any client."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from ensemble.contract.base import Answer, Ask, Identity
from ensemble.contract.breakers import BreakerPolicy, BreakerState
from ensemble.contract.exchange import Decision, Why
from ensemble.contract.outcomes import Outcome

__all__ = ["CallAdmission", "CallAsk", "CallNews", "CallSettled", "CallTicket"]

CallTicket = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_\-]{1,128}$")]
"""What a guarded call is known by, together with its identity; a run id of Dify's will do."""


class CallAsk(Ask):
    """May this call go out? The same ticket with the same body is answered the same."""

    identity: Identity
    ticket: CallTicket | None = Field(default=None, description="None: the sidecar mints one and tells it.")
    lease_s: float = Field(
        default=60, ge=1, le=3600, description="Seconds after which a call nobody settled holds no probe's place."
    )
    breaker: BreakerPolicy | None = Field(default=None, description="None: the sidecar's default policy.")


class CallAdmission(Answer):
    """Whether the call may go out."""

    ticket: CallTicket
    admitted: bool = Field(description="The decision in one word, for a condition in a workflow.")
    decision: Decision
    state: BreakerState
    why: Why | None = None
    detail: str = ""
    retry_after_ms: int | None = Field(default=None, ge=0, description="None where nobody knows when.")


class CallNews(Ask):
    """How a call ended. The first news of a ticket wins."""

    identity: Identity
    ticket: CallTicket
    outcome: Outcome
    took_ms: int = Field(default=0, ge=0)
    retry_after_ms: int | None = Field(default=None, ge=0, description="How long a throttled agent asked us to wait.")


class CallSettled(Answer):
    """The breaker after the news."""

    ticket: CallTicket
    state: BreakerState
    outcome: Outcome = Field(description="The first that was told of this ticket.")

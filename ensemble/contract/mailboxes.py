"""What can be said to the message router: mailboxes, sending, deliveries, dead letters, and the log of a trace."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from ensemble.contract.base import AgentName, Answer, Ask, Namespace, TraceId
from ensemble.contract.messages import AgentMessage, MessageType

__all__ = [
    "PROCESSING_ERROR",
    "Acknowledge",
    "Acknowledged",
    "DeadLetter",
    "DeadLetters",
    "DeadLettersParams",
    "Deliveries",
    "Delivery",
    "MailboxList",
    "MailboxParams",
    "MailboxView",
    "Receive",
    "Redrive",
    "Redriven",
    "Register",
    "Registered",
    "Reject",
    "Rejected",
    "Rejection",
    "Renew",
    "Renewed",
    "Send",
    "Sent",
    "TraceLog",
    "TraceLogParams",
]

PROCESSING_ERROR = "PROCESSING_ERROR"
"""The error code of the message that tells a sender that the handling of its own has failed for good."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""The longest message, as JSON."""
LONGEST_WAIT_MS = 20_000

MessageId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
Receipt = Annotated[
    str, StringConstraints(min_length=1, max_length=256), Field(description="As the delivery told it, which it names.")
]
LeaseMs = Annotated[
    int, Field(ge=100, le=3_600_000, description="How long the delivery is the receiver's own; then it comes again.")
]


class MailboxParams(Ask):
    """One agent's mailbox in one trace."""

    trace_id: TraceId
    agent: Namespace


class Register(Ask):
    """Open a mailbox, or change its terms."""

    description: str = Field(default="", max_length=1000, description="What the agent is for; shown in lists.")
    max_deliveries: int = Field(
        default=5, ge=1, le=100, description="How often a message is delivered before it becomes a dead letter."
    )


class Send(Ask):
    """Put a message into its receiver's mailbox. The same message_id again is the same message, and is kept once."""

    message_id: MessageId | None = Field(default=None, description="None makes a new one.")
    sender_agent_id: AgentName
    sender_agent_name: str = Field(default="", max_length=128)
    receiver_agent_id: Namespace
    message_type: MessageType = MessageType.TASK
    content: Any = None
    task_id: str = Field(default="", max_length=128, description="Empty: the message's own id.")
    task_priority: int = Field(default=5, ge=1, le=10, description="10 is the most urgent.")
    error_code: str | None = Field(default=None, max_length=64)
    error_message: str | None = Field(default=None, max_length=4096)
    retry_allowed: bool = False


class Receive(Ask):
    """Take the most urgent messages, the oldest of equals first, each under a lease."""

    at_most: int = Field(default=1, ge=1, le=100)
    lease_ms: LeaseMs = 30_000
    wait_ms: int = Field(
        default=0, ge=0, le=LONGEST_WAIT_MS, description="How long to wait where there is none (long poll)."
    )


class Acknowledge(Ask):
    """Say that a delivery was handled."""

    receipt: Receipt


class Reject(Ask):
    """Say that handling a delivery failed."""

    receipt: Receipt
    reason: str = Field(default="", max_length=4096, description="For the dead letter and for the sender.")
    retry: bool = Field(default=True, description="False makes it a dead letter at once.")
    retry_after_ms: int | None = Field(
        default=None, ge=0, le=86_400_000, description="None: 1 s, doubled with every delivery, 5 minutes at most."
    )


class Renew(Ask):
    """Ask for a delivery's lease to last *lease_ms* from now."""

    receipt: Receipt
    lease_ms: LeaseMs = 30_000


class DeadLettersParams(MailboxParams):
    """The dead letters of a mailbox, the oldest first."""

    limit: int = Field(default=100, ge=1, le=1000)


class Redrive(Ask):
    """Put dead letters back into their mailbox, with their place in line and all deliveries before them."""

    message_ids: tuple[MessageId, ...] = Field(default=(), max_length=1000, description="Empty: all, at most 1,000.")


class TraceLogParams(Ask):
    """The messages of a trace, from a moment on."""

    trace_id: TraceId
    after_ms: int | None = Field(default=None, ge=0, description="Only those later than this; unix milliseconds.")
    limit: int = Field(default=1000, ge=1, le=10_000)


class Registered(Answer):
    """Whether the mailbox is a new one."""

    agent: AgentName
    created: bool


class Sent(Answer):
    """Where the message is."""

    message_id: str
    duplicate: bool = Field(description="True where it had been sent before; nothing was written then.")


class Delivery(Answer):
    """One message, yours until its lease ends."""

    receipt: str = Field(description="Acknowledge, reject or renew the delivery by this.")
    deliveries: int = Field(ge=1, description="1 at the first time.")
    message: AgentMessage


class Deliveries(Answer):
    """What was received, the most urgent first."""

    deliveries: tuple[Delivery, ...]


class Acknowledged(Answer):
    """False where the delivery is not yours: it was settled before, or was delivered again after its lease."""

    acknowledged: bool


class Rejection(StrEnum):
    """What became of a rejected delivery."""

    RETRIED = "retried"
    """It comes again after a while."""
    DEAD = "dead"
    """It is a dead letter, and its sender was told."""
    GONE = "gone"
    """It is not yours: it was settled before, or was delivered again after its lease."""


class Rejected(Answer):
    """What became of it."""

    outcome: Rejection
    retry_after_ms: int | None = Field(default=None, ge=0)


class Renewed(Answer):
    """False where the delivery is not yours any more: stop working on it."""

    renewed: bool


class DeadLetter(Answer):
    """A message whose handling failed for good."""

    message: AgentMessage
    deliveries: int = Field(ge=0)
    reason: str
    died_at: AwareDatetime


class DeadLetters(Answer):
    """Dead letters, the oldest first."""

    dead_letters: tuple[DeadLetter, ...]
    truncated: bool = Field(default=False, description="True where there are more.")


class Redriven(Answer):
    """How many dead letters are back in the mailbox."""

    redriven: int = Field(ge=0)


class MailboxView(Answer):
    """One mailbox, and how many messages it holds in which state."""

    agent: AgentName
    description: str = ""
    max_deliveries: int
    waiting: int = Field(description="To be received now.")
    delayed: int = Field(description="Rejected, to come again later.")
    leased: int = Field(description="Being handled, or given up by somebody who died.")
    dead: int


class MailboxList(Answer):
    """The mailboxes of a trace, by name."""

    mailboxes: tuple[MailboxView, ...]


class TraceLog(Answer):
    """Messages of a trace in order: what agents sent, and what its runs' engines and agents exchanged."""

    messages: tuple[AgentMessage, ...]
    next_after_ms: int | None = Field(default=None, description="Ask with this for the next page; None: no more.")

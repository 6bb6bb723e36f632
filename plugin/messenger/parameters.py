"""Reads the messenger's parameters, in whatever type Dify hands them over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ensemble.contract.messages import MessageType
from plugin.errors import BadParameters, in_words
from plugin.reader import Reader
from plugin.stores import WRITER, names, needed_trace_id, number, value
from plugin.stripped import stripped_id

__all__ = ["MESSENGER_PARAMETERS", "MessengerParameters", "Operation", "read_messenger_parameters"]

MESSENGER_PARAMETERS = (
    "operation", "trace_id", "agent", "to", "content", "message_type", "priority", "task_id", "message_id", "receipt",
    "reason", "retry", "acknowledge", "wait_s", "lease_s", "limit",
)  # fmt: skip
"""Every parameter the messenger reads."""

LONGEST_WAIT_S = 20
_LONGEST_LEASE_S = 3600
_YES = "yes"
_LATER = "later"


class Operation(StrEnum):
    """What is done with messages."""

    SEND = "send"
    RECEIVE = "receive"
    ACKNOWLEDGE = "acknowledge"
    REJECT = "reject"
    REGISTER = "register"
    MAILBOXES = "mailboxes"
    DEAD_LETTERS = "dead_letters"
    REDRIVE = "redrive"
    LOG = "log"


_NEEDS_AGENT = {
    Operation.RECEIVE, Operation.ACKNOWLEDGE, Operation.REJECT, Operation.REGISTER, Operation.DEAD_LETTERS,
    Operation.REDRIVE,
}  # fmt: skip
_NEEDS_RECEIPT = {Operation.ACKNOWLEDGE, Operation.REJECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessengerParameters:
    """One call of the messenger, read."""

    operation: Operation
    trace_id: str
    agents: tuple[str, ...]
    """One, but for ``register``."""
    to: str
    content: Any
    message_type: MessageType
    priority: int
    task_id: str
    message_ids: tuple[str, ...]
    """One, but for ``redrive``."""
    receipt: str
    reason: str
    retry: bool
    acknowledge: bool
    """Whether what is received counts as handled at once."""
    wait_ms: int
    lease_ms: int
    limit: int

    @property
    def agent(self) -> str:
        """The one agent."""
        return self.agents[0] if self.agents else WRITER


def read_messenger_parameters(raw: Mapping[str, Any]) -> MessengerParameters:
    """Return the parameters as read.

    Raises:
        BadParameters: something can't be read; the text names every field concerned.

    """
    reader = Reader(raw)
    operation = reader.chosen("operation", Operation.RECEIVE)
    read = MessengerParameters(
        operation=operation,
        trace_id=needed_trace_id(reader),
        agents=_agents(reader, operation),
        to=_needed(reader, "to", operation is Operation.SEND, "Name the agent that shall receive it."),
        content=value(reader, "content"),
        message_type=reader.chosen("message_type", MessageType.TASK),
        priority=_whole(reader, "priority", least=1, most=10, default=5),
        task_id=reader.text("task_id") or "",
        message_ids=tuple(names(reader, "message_id")),
        receipt=_needed(reader, "receipt", operation in _NEEDS_RECEIPT, "Use the receipt of the message received."),
        reason=reader.text("reason") or "",
        retry=reader.choice("retry", (_YES, "no")) == _YES,
        acknowledge=reader.choice("acknowledge", (_LATER, "at_once")) != _LATER,
        wait_ms=_whole(reader, "wait_s", least=0, most=LONGEST_WAIT_S, default=0, scale=1000),
        lease_ms=_whole(reader, "lease_s", least=1, most=_LONGEST_LEASE_S, default=30, scale=1000),
        limit=_whole(reader, "limit", least=1, most=100, default=1 if operation is Operation.RECEIVE else 100),
    )
    # With such an id every message would be the same one, and only the first be sent.
    stripped = (
        *(stripped_id("message_id", each, surely=True) for each in read.message_ids),
        stripped_id("receipt", read.receipt),
    )
    reader.faults.extend(fault for fault in stripped if fault is not None)
    if reader.faults:
        raise BadParameters(in_words(reader.faults))
    return read


def _agents(reader: Reader, operation: Operation) -> tuple[str, ...]:
    if operation is Operation.REGISTER:
        agents = tuple(names(reader, "agent"))
    else:
        agent = reader.text("agent")
        agents = (agent,) if agent else ()
    if not agents and operation in _NEEDS_AGENT:
        reader.blame("agent", "is empty.", "Name the agent whose mailbox is meant.")
    return agents


def _needed(reader: Reader, name: str, is_needed: bool, fix: str) -> str:  # noqa: FBT001 -- read like a sentence above
    text = reader.text(name)
    if text is None and is_needed:
        reader.blame(name, "is empty.", fix)
    return text or ""


def _whole(reader: Reader, name: str, *, least: int, most: int, default: int, scale: int = 1) -> int:
    found = number(reader, name, least=least, most=most, default=default)
    return default * scale if found is None else int(found * scale)

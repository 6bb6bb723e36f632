"""Messages as they are kept, their ids and receipts, and the one the router writes itself."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from ensemble.contract.mailboxes import MAX_MESSAGE_BYTES, PROCESSING_ERROR, Send
from ensemble.contract.messages import SYSTEM, AgentMessage, MessageType
from ensemble.contract.problems import Fault
from sidecar.errors import TooLarge
from sidecar.state.values import to_json

__all__ = ["about_failure", "id_in", "moment", "to_message", "to_text"]

LONGEST_REASON = 4096


def to_text(message_id: str, trace_id: str, ask: Send) -> str:
    """Return the JSON that is kept of a message: everything but its timestamp, which is the store's.

    Raises:
        Invalid: The content holds a number JSON has no word for.
        TooLarge: It takes more than 1 MiB.

    """
    fields: dict[str, Any] = ask.model_dump() | {
        "message_id": message_id,
        "trace_id": trace_id,
        "task_id": ask.task_id or message_id,
        "sender_agent_name": ask.sender_agent_name or ask.sender_agent_id,
    }
    text = to_json(fields, "content")
    size = len(text.encode())
    if size > MAX_MESSAGE_BYTES:
        raise TooLarge(
            f"The message takes {size} bytes as JSON; a message may take {MAX_MESSAGE_BYTES}.",
            Fault(field="content", problem="too large", fix="Keep it in shared state and send its key."),
        )
    return text


def to_message(record: str) -> AgentMessage:
    """Return the message kept as *record*: when it was sent (unix ms), its number, newline, JSON."""
    head, _, text = record.partition("\n")
    sent = moment(int(head.partition(" ")[0])).isoformat()
    return AgentMessage.model_validate_json(f'{{"timestamp":"{sent}",{text[1:]}')


def about_failure(message: AgentMessage, reason: str, *, retry_allowed: bool) -> tuple[str, str]:
    """Return id and JSON of the message that tells a sender that its own was not handled; ("", "") about an error."""
    if message.message_type is MessageType.ERROR:
        return "", ""
    message_id = uuid.uuid4().hex
    telling = Send(
        message_id=message_id,
        sender_agent_id=SYSTEM,
        receiver_agent_id=message.sender_agent_id,
        message_type=MessageType.ERROR,
        content={"message_id": message.message_id, "receiver_agent_id": message.receiver_agent_id},
        task_id=message.task_id,
        task_priority=message.task_priority,
        error_code=PROCESSING_ERROR,
        error_message=reason[:LONGEST_REASON],
        retry_allowed=retry_allowed,
    )
    return message_id, to_text(message_id, message.trace_id, telling)


def id_in(receipt: str) -> str:
    """Return the id of the message a receipt is for."""
    return receipt.partition(":")[2]


def moment(at_ms: int) -> datetime:
    """Return *at_ms*, unix milliseconds, as a moment."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)

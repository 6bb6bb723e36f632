"""One call of the messenger: from parameters and credentials to messages and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.mailboxes import (
    Acknowledge,
    DeadLettersParams,
    Delivery,
    MailboxParams,
    Receive,
    Redrive,
    Register,
    Reject,
    Rejection,
    Send,
    TraceLogParams,
)
from ensemble.contract.messages import AgentMessage
from ensemble.contract.state import TraceParams
from plugin.adapters.pools import POOLS, Pools
from plugin.errors import BadParameters, in_words
from plugin.messenger.parameters import MessengerParameters, Operation, read_messenger_parameters
from plugin.stores import Said, as_text, faults_of, sidecar_for

__all__ = ["MESSENGER_VARIABLES", "exchange_messages", "message_entry"]

MESSENGER_VARIABLES = (
    "done", "outcome", "count", "content", "message_id", "receipt", "messages", "mailboxes", "problem", "trace_id",
)  # fmt: skip
"""Every variable sent."""

_PARAMETERS = {
    "sender_agent_id": "agent", "receiver_agent_id": "to", "message_ids": "message_id", "task_priority": "priority",
    "at_most": "limit",
}  # fmt: skip
"""What fills the fields of the contract that are called otherwise there."""
_GONE = "The delivery is not this receipt's any more: it was settled before, or was delivered again after its lease."


def exchange_messages(parameters: Mapping[str, Any], credentials: Mapping[str, Any], pools: Pools = POOLS) -> Said:
    """Do what *parameters* ask for. An empty mailbox, or a delivery that is somebody else's by now, is an answer.

    Raises:
        EnsembleError: parameters or credentials can't be used, there is no sidecar, or it refuses: an unknown receiver.

    """
    asked = read_messenger_parameters(parameters)
    sidecar = sidecar_for(credentials, pools, "Sending messages")
    try:
        return _DOING[asked.operation](sidecar, asked)
    except ValidationError as error:
        raise BadParameters(in_words(faults_of(error, _PARAMETERS))) from None


def _send(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    ask = Send(
        message_id=asked.message_ids[0] if asked.message_ids else None,
        sender_agent_id=asked.agent,
        receiver_agent_id=asked.to,
        message_type=asked.message_type,
        content=asked.content,
        task_id=asked.task_id,
        task_priority=asked.priority,
    )
    sent = sidecar.send_message(TraceParams(trace_id=asked.trace_id), ask)
    outcome = "duplicate" if sent.duplicate else "sent"
    text = f"The message {sent.message_id} to {asked.to} was sent{' before' if sent.duplicate else ''}."
    return _said(asked, text, outcome=outcome, count=1, message_id=sent.message_id)


def _receive(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    ask = Receive(at_most=asked.limit, lease_ms=asked.lease_ms, wait_ms=asked.wait_ms)
    got = sidecar.receive_messages(_at(asked), ask).deliveries
    if asked.acknowledge:
        for delivery in got:
            sidecar.acknowledge_message(_at(asked), Acknowledge(receipt=delivery.receipt))
    if not got:
        return _said(asked, "No message.", done=False, outcome="empty", problem="The mailbox holds no message now.")
    first = got[0]
    return _said(
        asked,
        "\n\n".join(map(_delivered, got)),
        outcome="received",
        message_id=first.message.message_id,
        receipt=first.receipt,
        messages=[
            message_entry(each.message) | {"receipt": each.receipt, "deliveries": each.deliveries} for each in got
        ],
    )


def _acknowledge(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    done = sidecar.acknowledge_message(_at(asked), Acknowledge(receipt=asked.receipt)).acknowledged
    if not done:
        return _gone(asked)
    return _said(asked, "Acknowledged.", outcome="acknowledged", receipt=asked.receipt)


def _reject(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    ask = Reject(receipt=asked.receipt, reason=asked.reason, retry=asked.retry)
    rejected = sidecar.reject_message(_at(asked), ask)
    if rejected.outcome is Rejection.GONE:
        return _gone(asked)
    after_s = (rejected.retry_after_ms or 0) / 1000
    text = f"It comes again in {after_s:g} s." if rejected.outcome is Rejection.RETRIED else "It is a dead letter now."
    return _said(asked, text, outcome=str(rejected.outcome), receipt=asked.receipt)


def _register(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    boxes = [_at(asked, agent) for agent in asked.agents]  # all of them, before any is made
    created = [sidecar.register_agent(box, Register()).created for box in boxes]
    outcome = "registered" if any(created) else "known"
    return _said(asked, f"{', '.join(asked.agents)} can receive messages.", outcome=outcome, count=len(created))


def _mailboxes(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    views = sidecar.list_mailboxes(TraceParams(trace_id=asked.trace_id)).mailboxes
    shown = [view.model_dump() for view in views]
    text = "\n".join(f"{view.agent}: {view.waiting} waiting, {view.dead} dead" for view in views) or "No mailbox."
    return _said(asked, text, outcome="listed", count=len(shown), mailboxes=shown)


def _dead_letters(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    params = DeadLettersParams(trace_id=asked.trace_id, agent=asked.agent, limit=asked.limit)
    letters = sidecar.list_dead_letters(params).dead_letters
    shown = [message_entry(each.message) | {"deliveries": each.deliveries, "reason": each.reason} for each in letters]
    text = "\n\n".join(f"{_headed(each.message)}\n[{each.reason}]" for each in letters) or "No dead letter."
    return _said(asked, text, outcome="listed", messages=shown)


def _redrive(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    redriven = sidecar.redrive_dead_letters(_at(asked), Redrive(message_ids=asked.message_ids)).redriven
    return _said(asked, f"{redriven} back in the mailbox.", done=redriven > 0, outcome="redriven", count=redriven)


def _log(sidecar: SidecarLedger, asked: MessengerParameters) -> Said:
    messages = sidecar.get_trace_log(TraceLogParams(trace_id=asked.trace_id, limit=asked.limit)).messages
    text = "\n\n".join(map(_headed, messages)) or "No message."
    return _said(asked, text, outcome="listed", messages=[message_entry(each) for each in messages])


_DOING: Mapping[Operation, Callable[[SidecarLedger, MessengerParameters], Said]] = {
    Operation.SEND: _send,
    Operation.RECEIVE: _receive,
    Operation.ACKNOWLEDGE: _acknowledge,
    Operation.REJECT: _reject,
    Operation.REGISTER: _register,
    Operation.MAILBOXES: _mailboxes,
    Operation.DEAD_LETTERS: _dead_letters,
    Operation.REDRIVE: _redrive,
    Operation.LOG: _log,
}


def message_entry(message: AgentMessage) -> dict[str, Any]:
    """Return one entry of *messages*; fields without a value are left out."""
    entry = {
        "message_id": message.message_id,
        "sender": message.sender_agent_id,
        "receiver": message.receiver_agent_id,
        "type": str(message.message_type),
        "content": as_text(message.content),
        "data": message.content if isinstance(message.content, dict) else None,
        "task_id": message.task_id,
        "priority": message.task_priority,
        "timestamp": message.timestamp.isoformat(timespec="milliseconds"),
        "error_code": message.error_code,
        "error_message": message.error_message,
    }
    return {name: each for name, each in entry.items() if each is not None}


def _said(
    asked: MessengerParameters,
    text: str,
    *,
    outcome: str,
    done: bool = True,
    count: int | None = None,
    message_id: str = "",
    receipt: str = "",
    messages: Sequence[Mapping[str, Any]] = (),
    mailboxes: Iterable[Mapping[str, Any]] = (),
    problem: str = "",
) -> Said:
    """Return what is told: each variable always there and of its type, so that a workflow can branch on any."""
    variables = {
        "done": done,
        "outcome": outcome,
        "count": len(messages) if count is None else count,
        "content": messages[0]["content"] if messages else "",
        "message_id": message_id,
        "receipt": receipt,
        "messages": list(messages),
        "mailboxes": list(mailboxes),
        "problem": problem,
        "trace_id": asked.trace_id,
    }
    return Said(text=text, variables={name: variables[name] for name in MESSENGER_VARIABLES})


def _gone(asked: MessengerParameters) -> Said:
    return _said(asked, _GONE, done=False, outcome="gone", receipt=asked.receipt, problem=_GONE)


def _at(asked: MessengerParameters, agent: str | None = None) -> MailboxParams:
    return MailboxParams(trace_id=asked.trace_id, agent=asked.agent if agent is None else agent)


def _delivered(delivery: Delivery) -> str:
    return f"{_headed(delivery.message)}\n(receipt {delivery.receipt})"


def _headed(message: AgentMessage) -> str:
    """Return a message as a model reads it: who to whom, what kind, then the content."""
    head = f"{message.sender_agent_id} to {message.receiver_agent_id} ({message.message_type}):"
    return f"{head} {message.error_message or as_text(message.content)}"

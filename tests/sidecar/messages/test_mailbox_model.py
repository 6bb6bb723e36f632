"""Mailboxes behave like lists of messages with a state each, whatever is done to them in whatever order."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ensemble.contract.mailboxes import (
    Acknowledge,
    DeadLettersParams,
    MailboxParams,
    Receive,
    Redrive,
    Register,
    Reject,
    Renew,
    Send,
    TraceLogParams,
)
from ensemble.contract.messages import MessageType
from ensemble.contract.state import TraceParams
from sidecar.errors import Conflict
from sidecar.messages.keys import queue_keys
from sidecar.messages.log import Log
from sidecar.messages.mailboxes import Mailboxes
from sidecar.store.connection import Client
from sidecar.store.store import Store
from sidecar.waiting import Waiting

AGENTS = ("a", "b")
MOST = 3
"""Deliveries of a message."""
T = TraceParams(trace_id="t")
agents = st.sampled_from(AGENTS)
senders = st.sampled_from((*AGENTS, "outside"))


def at(agent: str) -> MailboxParams:
    """Return where *agent*'s mailbox is."""
    return MailboxParams(trace_id="t", agent=agent)


@dataclass
class Kept:
    """What the model knows of one message."""

    id: str
    number: int
    sender: str
    receiver: str
    priority: int
    type: MessageType
    state: str = "ready"
    count: int = 0
    receipt: str = ""
    due: bool = False
    """Whether its lease, or its pause, is over."""


@dataclass
class Model:
    """All messages in the order in which they were sent, and every receipt ever given."""

    messages: list[Kept] = field(default_factory=list)
    receipts: dict[str, Kept] = field(default_factory=dict)

    def of(self, agent: str, state: str) -> list[Kept]:
        """Return the messages of a mailbox in a state, as they are received."""
        found = [kept for kept in self.messages if (kept.receiver, kept.state) == (agent, state)]
        return sorted(found, key=lambda kept: (-kept.priority, kept.number))

    def sent(self) -> list[Kept]:
        """Return the messages that were sent, not written by the router."""
        return [kept for kept in self.messages if kept.sender != "System"]

    def bury(self, kept: Kept) -> bool:
        """Let a message die; return whether its sender is told."""
        kept.state, kept.receipt = "dead", ""
        return kept.type is not MessageType.ERROR


class MailboxMachine(RuleBasedStateMachine):
    """Does the same to the router and to the model, and compares every answer."""

    redis: Client

    def __init__(self) -> None:
        """Begin with a tenant nobody knows."""
        super().__init__()
        self.boxes = Mailboxes(self.redis, Waiting(1))
        self.log = Log(Store(self.redis), Waiting(1))
        self.tenant, self.model = f"m-{uuid.uuid4().hex}", Model()

    @initialize()
    def register(self) -> None:
        """Open the mailboxes."""
        for agent in AGENTS:
            assert self.boxes.register(self.tenant, at(agent), Register(max_deliveries=MOST)).created

    @rule(sender=senders, receiver=agents, priority=st.integers(1, 10), kind=st.sampled_from(MessageType))
    def send(self, sender: str, receiver: str, priority: int, kind: MessageType) -> None:
        """Send something new."""
        ask = Send(sender_agent_id=sender, receiver_agent_id=receiver, task_priority=priority, message_type=kind)
        sent = self.boxes.send(self.tenant, T, ask)
        assert not sent.duplicate
        self.model.messages.append(Kept(sent.message_id, len(self.model.messages), sender, receiver, priority, kind))

    @precondition(lambda self: self.model.sent())
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """Send what was sent before: it stays one message, whatever became of it."""
        kept = data.draw(st.sampled_from(self.model.sent()))
        ask = Send(
            message_id=kept.id,
            sender_agent_id=kept.sender,
            receiver_agent_id=kept.receiver,
            task_priority=kept.priority,
            message_type=kept.type,
        )
        assert self.boxes.send(self.tenant, T, ask).duplicate
        with pytest.raises(Conflict):
            self.boxes.send(self.tenant, T, ask.model_copy(update={"content": "another"}))

    @rule(agent=agents, most=st.integers(1, 3))
    def receive(self, agent: str, most: int) -> None:
        """The most urgent first, the oldest of equals; who died too often is given up and its sender told."""
        given_up = [kept for kept in self.model.of(agent, "leased") if kept.due and kept.count >= MOST]
        for state in ("leased", "later"):
            for kept in self.model.of(agent, state):
                if kept.due and kept not in given_up:
                    kept.state, kept.due = "ready", False
        wanted = self.model.of(agent, "ready")[:most]

        got = self.boxes.receive(self.tenant, at(agent), Receive(at_most=most)).deliveries

        assert [each.message.message_id for each in got] == [kept.id for kept in wanted]
        for kept, delivery in zip(wanted, got, strict=True):
            kept.state, kept.count, kept.receipt = "leased", kept.count + 1, delivery.receipt
            assert delivery.deliveries == kept.count
            self.model.receipts[delivery.receipt] = kept
        # They are given up in the order in which their leases ended, which the model does not know.
        self._take_down_errors([kept for kept in given_up if self.model.bury(kept)])

    @precondition(lambda self: self.model.receipts)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """Only the newest receipt counts, and only once."""
        receipt, kept = self._receipt(data)
        good = kept.receipt == receipt
        done = self.boxes.acknowledge(self.tenant, at(kept.receiver), Acknowledge(receipt=receipt))
        assert done.acknowledged == good
        if good:
            kept.state, kept.receipt = "done", ""

    @precondition(lambda self: self.model.receipts)
    @rule(data=st.data(), retry=st.booleans())
    def reject(self, data: st.DataObject, *, retry: bool) -> None:
        """It comes again, or dies and its sender is told."""
        receipt, kept = self._receipt(data)
        ask = Reject(receipt=receipt, reason="no", retry=retry, retry_after_ms=60_000)
        outcome = self.boxes.reject(self.tenant, at(kept.receiver), ask).outcome
        if kept.receipt != receipt:
            assert outcome == "gone"
        elif retry and kept.count < MOST:
            assert outcome == "retried"
            kept.state, kept.receipt, kept.due = "later", "", False
        else:
            assert outcome == "dead"
            self._take_down_errors([kept] if self.model.bury(kept) else [])

    @precondition(lambda self: self.model.receipts)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        """A lease goes on as long as nobody took the message over."""
        receipt, kept = self._receipt(data)
        good = kept.receipt == receipt and kept.state == "leased"
        renewed = self.boxes.renew(self.tenant, at(kept.receiver), Renew(receipt=receipt, lease_ms=60_000)).renewed
        assert renewed == good
        if good:
            kept.due = False

    @rule(agent=agents, state=st.sampled_from(["leased", "later"]))
    def time_passes(self, agent: str, state: str) -> None:
        """All leases, or all pauses, of a mailbox end."""
        key = getattr(queue_keys(self.tenant, "t", agent), state)
        aged: Any = self.redis
        for kept in self.model.of(agent, state):
            aged.zadd(key, {kept.id: 1}, xx=True)
            kept.due = True

    @rule(agent=agents, data=st.data())
    def redrive(self, agent: str, data: st.DataObject) -> None:
        """The dead come back with all their deliveries before them."""
        dead = self.model.of(agent, "dead")
        chosen = data.draw(st.lists(st.sampled_from(dead), unique_by=id) if dead else st.just([]))
        done = self.boxes.redrive(self.tenant, at(agent), Redrive(message_ids=tuple(kept.id for kept in chosen)))
        back = chosen or dead
        assert done.redriven == len(back)
        for kept in back:
            kept.state, kept.count, kept.due = "ready", 0, False

    @invariant()
    def every_message_is_where_the_model_has_it(self) -> None:
        """Counts of each state, the dead letters, and the log of everything in order."""
        views = {view.agent: view for view in self.boxes.all(self.tenant, T).mailboxes}
        for agent, view in views.items():
            counts = (view.waiting, view.delayed, view.leased, view.dead)
            assert counts == tuple(len(self.model.of(agent, state)) for state in ("ready", "later", "leased", "dead"))
            letters = self.boxes.dead_letters(self.tenant, DeadLettersParams(trace_id="t", agent=agent)).dead_letters
            assert {each.message.message_id for each in letters} == {kept.id for kept in self.model.of(agent, "dead")}
        logged = self.log.page(self.tenant, TraceLogParams(trace_id="t")).messages
        assert [message.message_id for message in logged] == [kept.id for kept in self.model.messages]

    def _receipt(self, data: st.DataObject) -> tuple[str, Kept]:
        return data.draw(st.sampled_from(list(self.model.receipts.items())))

    def _take_down_errors(self, buried: list[Kept]) -> None:
        """Find the router's messages about *buried* at the end of the log, and take them into the model."""
        logged = self.log.page(self.tenant, TraceLogParams(trace_id="t")).messages[len(self.model.messages) :]
        about = {kept.id: kept for kept in buried}
        assert sorted(message.content["message_id"] for message in logged) == sorted(about)
        for message in logged:
            kept = about[message.content["message_id"]]
            assert (message.sender_agent_id, message.error_code) == ("System", "PROCESSING_ERROR")
            assert (message.receiver_agent_id, message.message_type) == (kept.sender, "error")
            state = "ready" if kept.sender in AGENTS else "logged"
            number = len(self.model.messages)
            told = Kept(message.message_id, number, "System", kept.sender, kept.priority, MessageType.ERROR, state)
            self.model.messages.append(told)


def test_mailboxes_are_lists_of_messages_with_a_state_each(redis: Client) -> None:
    """Random walks of sending, receiving, settling, dying and coming back agree with the model at every step."""
    machine = type("Machine", (MailboxMachine,), {"redis": redis})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))

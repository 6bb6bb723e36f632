"""What can be done with mailboxes. Each verb is one script, so that a process of ours may be killed at any moment."""

from __future__ import annotations

import time
import uuid
from difflib import get_close_matches

from ensemble.contract.mailboxes import (
    Acknowledge,
    Acknowledged,
    DeadLetter,
    DeadLetters,
    DeadLettersParams,
    Deliveries,
    Delivery,
    MailboxList,
    MailboxParams,
    MailboxView,
    Receive,
    Redrive,
    Redriven,
    Register,
    Registered,
    Reject,
    Rejected,
    Rejection,
    Renew,
    Renewed,
    Send,
    Sent,
)
from ensemble.contract.messages import SYSTEM
from ensemble.contract.problems import Fault
from ensemble.contract.state import TraceParams
from sidecar.errors import Conflict, Forbidden, NotFound, TooLarge
from sidecar.messages.keys import agents_key, log_keys, mailbox_keys, queue_keys
from sidecar.messages.records import about_failure, id_in, moment, to_message, to_text
from sidecar.store.connection import Client
from sidecar.store.faults import store_errors
from sidecar.store.scripts import Script
from sidecar.waiting import Waiting

__all__ = ["Mailboxes"]

KEPT_MS = 24 * 3_600_000
"""How long a trace's messages and mailboxes are kept after they were used last, milliseconds."""
MOST_HELD = 10_000
"""Messages in one mailbox that are not acknowledged."""
MOST_LOGGED = 20_000
"""Messages of one trace; beyond, the oldest leave that nobody waits for."""
MOST_BYTES = 256 * 1024 * 1024
"""What the messages of one trace may take."""
MOST_RECEIVED_BYTES = 8 * 1024 * 1024
MOST_REDRIVEN = 1000
SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS = 1000, 300_000
"""Before a rejected message comes again."""
LONGEST_NAP_S = 0.5
"""How long a caller waits without looking: shorter than the store's timeout, and whoever died is noticed after it."""
SHORTEST_NAP_S = 0.005

_MAILBOX = ["mailbox.lua"]
_REGISTER = Script("sidecar.messages", "register.lua", includes=_MAILBOX)
_SEND = Script("sidecar.messages", "send.lua", includes=_MAILBOX)
_RECEIVE = Script("sidecar.messages", "receive.lua", includes=_MAILBOX)
_ACKNOWLEDGE = Script("sidecar.messages", "acknowledge.lua", includes=_MAILBOX)
_RENEW = Script("sidecar.messages", "renew.lua", includes=_MAILBOX)
_REJECT = Script("sidecar.messages", "reject.lua", includes=_MAILBOX)
_REDRIVE = Script("sidecar.messages", "redrive.lua", includes=_MAILBOX)
_DEAD = Script("sidecar.messages", "dead.lua", includes=_MAILBOX)
_AGENTS = Script("sidecar.messages", "agents.lua")


class Mailboxes:
    """The mailboxes of all traces of all tenants."""

    def __init__(self, redis: Client, waiting: Waiting) -> None:
        self._redis = redis
        self._waiting = waiting

    def register(self, tenant: str, at: MailboxParams, ask: Register) -> Registered:
        """Open a mailbox, or change its terms. Raises Forbidden for the router's own name."""
        _not_system(at.agent, "agent")
        record = f"{ask.max_deliveries}\n{ask.description}"
        created = _REGISTER.run(self._redis, mailbox_keys(tenant, at.trace_id, at.agent), [KEPT_MS, at.agent, record])
        return Registered(agent=at.agent, created=created == 1)

    def send(self, tenant: str, at: TraceParams, ask: Send) -> Sent:
        """Put a message into its receiver's mailbox; sent twice, it is kept once.

        Raises:
            NotFound: The receiver has no mailbox in this trace.
            Conflict: Another message has this id.
            Forbidden: The sender has the router's own name.
            Invalid, TooLarge: The message can't be kept, or the mailbox is full.

        """
        _not_system(ask.sender_agent_id, "sender_agent_id")
        message_id = ask.message_id or uuid.uuid4().hex
        done = _SEND.run(
            self._redis,
            mailbox_keys(tenant, at.trace_id, ask.receiver_agent_id),
            [
                *(KEPT_MS, message_id, ask.task_priority, to_text(message_id, at.trace_id, ask)),
                *(ask.receiver_agent_id, MOST_HELD, MOST_LOGGED, MOST_BYTES),
            ],
        )
        match done:
            case 0:
                raise self._no_mailbox(tenant, at.trace_id, ask.receiver_agent_id, "receiver_agent_id")
            case -1:
                problem = "belongs to another message of this trace"
                raise Conflict(
                    "The message was not sent: its id is taken.",
                    Fault(field="message_id", problem=problem, fix="Leave it out, or send the very same message."),
                )
            case -2 | -3:
                whose = f"The mailbox of {ask.receiver_agent_id!r}" if done == -2 else "The trace"  # noqa: PLR2004
                raise TooLarge(
                    f"{whose} is full of messages that nobody has handled.",
                    Fault(field="receiver_agent_id", problem="full", fix="Receive and acknowledge what is there."),
                )
        return Sent(message_id=message_id, duplicate=done != 1)

    def receive(self, tenant: str, at: MailboxParams, ask: Receive) -> Deliveries:
        """Lease the most urgent messages, the oldest of equals first; where there is none, wait for one.

        Raises:
            NotFound: There is no such mailbox.
            Busy: There is none, and as many wait at this process as may.

        """
        deadline = time.monotonic() + ask.wait_ms / 1000
        found, due_s = self._take(tenant, at, ask)
        if found.deliveries or not ask.wait_ms:
            return found
        bell = queue_keys(tenant, at.trace_id, at.agent).bell
        give_back = self._waiting.take()
        try:
            while not found.deliveries and (left := deadline - time.monotonic()) > 0:
                with store_errors(self._redis, [bell]):
                    self._redis.blpop(bell, max(SHORTEST_NAP_S, min(left, due_s, LONGEST_NAP_S)))
                found, due_s = self._take(tenant, at, ask)
        finally:
            give_back()
        return found

    def acknowledge(self, tenant: str, at: MailboxParams, ask: Acknowledge) -> Acknowledged:
        """Take a handled message out of its mailbox; of all who say so, one is told yes."""
        done = _ACKNOWLEDGE.run(
            self._redis,
            mailbox_keys(tenant, at.trace_id, at.agent),
            [KEPT_MS, id_in(ask.receipt), ask.receipt],
        )
        return Acknowledged(acknowledged=done == 1)

    def renew(self, tenant: str, at: MailboxParams, ask: Renew) -> Renewed:
        """Let a lease last longer."""
        done = _RENEW.run(
            self._redis,
            mailbox_keys(tenant, at.trace_id, at.agent),
            [KEPT_MS, id_in(ask.receipt), ask.receipt, ask.lease_ms],
        )
        return Renewed(renewed=done == 1)

    def reject(self, tenant: str, at: MailboxParams, ask: Reject) -> Rejected:
        """Let a message come again after a while, or make it a dead letter and tell its sender."""
        record = self._record(tenant, at.trace_id, id_in(ask.receipt))
        if record is None:
            return Rejected(outcome=Rejection.GONE)
        done, pause_ms = self._fail(
            tenant, at, record, ask.receipt, reason=ask.reason, retry=ask.retry, pause_ms=ask.retry_after_ms
        )
        outcome = (Rejection.GONE, Rejection.RETRIED, Rejection.DEAD)[done]
        return Rejected(outcome=outcome, retry_after_ms=pause_ms if outcome is Rejection.RETRIED else None)

    def dead_letters(self, tenant: str, at: DeadLettersParams) -> DeadLetters:
        """Return dead letters, the oldest first. Raises NotFound."""
        done, *told = _DEAD.run(self._redis, mailbox_keys(tenant, at.trace_id, at.agent), [at.agent, at.limit])
        if not done:
            raise self._no_mailbox(tenant, at.trace_id, at.agent, "agent")
        letters: list[DeadLetter] = []
        size = 0
        for died_ms, record, deliveries, reason in zip(*[iter(told[1:])] * 4, strict=True):
            size += len(record)
            if size > MOST_RECEIVED_BYTES and letters:
                break
            message, died_at = to_message(record), moment(int(died_ms))
            letters.append(DeadLetter(message=message, deliveries=deliveries, reason=reason, died_at=died_at))
        return DeadLetters(dead_letters=tuple(letters), truncated=len(letters) < told[0])

    def redrive(self, tenant: str, at: MailboxParams, ask: Redrive) -> Redriven:
        """Put dead letters back into their mailbox."""
        done = _REDRIVE.run(
            self._redis,
            mailbox_keys(tenant, at.trace_id, at.agent),
            [KEPT_MS, MOST_REDRIVEN, *ask.message_ids],
        )
        return Redriven(redriven=done)

    def all(self, tenant: str, at: TraceParams) -> MailboxList:
        """Return the mailboxes of a trace, and how full they are."""
        key = agents_key(tenant, at.trace_id)
        names = sorted(_AGENTS.run(self._redis, [key], [])[0][::2])
        queues = [queue_keys(tenant, at.trace_id, name) for name in names]
        keys = [each for queue in queues for each in (queue.ready, queue.later, queue.leased, queue.dead)]
        now, *counts = _AGENTS.run(self._redis, [key, *keys], [])
        records = dict(zip(now[::2], now[1::2], strict=True))
        views = []
        for place, name in enumerate(names):
            if name in records:
                most, _, description = records[name].partition("\n")
                waiting, delayed, leased, dead = counts[4 * place : 4 * place + 4]
                view = MailboxView(
                    agent=name,
                    description=description,
                    max_deliveries=int(most),
                    waiting=waiting,
                    delayed=delayed,
                    leased=leased,
                    dead=dead,
                )
                views.append(view)
        return MailboxList(mailboxes=tuple(views))

    def _take(self, tenant: str, at: MailboxParams, ask: Receive) -> tuple[Deliveries, float]:
        """Lease what is there; return it, and in how many seconds a message comes back by itself."""
        done, *told = _RECEIVE.run(
            self._redis,
            mailbox_keys(tenant, at.trace_id, at.agent),
            [KEPT_MS, at.agent, ask.at_most, ask.lease_ms, uuid.uuid4().hex, MOST_RECEIVED_BYTES],
        )
        if not done:
            raise self._no_mailbox(tenant, at.trace_id, at.agent, "agent")
        due_ms, given_up, *triples = told
        parts = list(zip(*[iter(triples)] * 3, strict=True))
        for _, record, count in parts[:given_up]:
            reason = f"It was delivered {count} times, and nobody finished handling it before the lease ended."
            self._fail(tenant, at, record, "", reason=reason, retry=True)
        deliveries = tuple(
            Delivery(receipt=receipt, deliveries=count, message=to_message(record))
            for receipt, record, count in parts[given_up:]
        )
        return Deliveries(deliveries=deliveries), LONGEST_NAP_S if due_ms < 0 else due_ms / 1000

    def _fail(
        self,
        tenant: str,
        at: MailboxParams,
        record: str,
        receipt: str,
        *,
        reason: str,
        retry: bool,
        pause_ms: int | None = None,
    ) -> tuple[int, int]:
        """Run ``reject.lua`` on the message of *record*; return what it answers."""
        message = to_message(record)
        error_id, error = about_failure(message, reason, retry_allowed=retry)
        sender = queue_keys(tenant, at.trace_id, message.sender_agent_id)
        done, pause = _REJECT.run(
            self._redis,
            [*mailbox_keys(tenant, at.trace_id, at.agent), sender.ready, sender.bell],
            [
                *(KEPT_MS, message.message_id, receipt, at.agent, int(retry)),
                *("" if pause_ms is None else pause_ms, SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS),
                *(reason, message.sender_agent_id, error_id, error, message.task_priority),
            ],
        )
        return done, pause

    def _record(self, tenant: str, trace_id: str, message_id: str) -> str | None:
        """Return a message as it is kept: what it says never changes."""
        key, _ = log_keys(tenant, trace_id)
        with store_errors(self._redis, [key]):
            return self._redis.hget(key, message_id)

    def _no_mailbox(self, tenant: str, trace_id: str, agent: str, field: str) -> NotFound:
        names = [view.agent for view in self.all(tenant, TraceParams(trace_id=trace_id)).mailboxes]
        near = get_close_matches(agent, names, n=1)
        known = ", ".join(map(repr, names[:20])) or "none yet"
        fix = f"Did you mean {near[0]!r}?" if near else "Register the agent first."
        return NotFound(
            f"{agent!r} has no mailbox in this trace; registered: {known}.",
            Fault(field=field, problem="has no mailbox", fix=fix),
        )


def _not_system(name: str, field: str) -> None:
    """Keep the router's own name to itself. Raises Forbidden."""
    if name == SYSTEM:
        raise Forbidden(
            f"{SYSTEM!r} is who the router itself speaks as.",
            Fault(field=field, problem="is the router's own name", fix="Choose another name."),
        )

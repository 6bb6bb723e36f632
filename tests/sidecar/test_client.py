"""The helpers for Python programs, on the real router and the real store: nothing lost, nothing done for nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ensemble.client.handling import CantHandle, Handlers
from ensemble.client.updating import Contended, update_atomic
from ensemble.contract.mailboxes import (
    Acknowledge,
    Acknowledged,
    DeadLettersParams,
    Deliveries,
    MailboxParams,
    Receive,
    Register,
    Registered,
    Reject,
    Rejected,
    Renew,
    Renewed,
    Send,
)
from ensemble.contract.messages import AgentMessage
from ensemble.contract.state import (
    PlacedPut,
    StateFound,
    StateParams,
    StateRead,
    StateWrite,
    StateWritten,
    TraceParams,
)
from sidecar.messages.mailboxes import Mailboxes
from sidecar.state.service import State
from sidecar.store.connection import Client, connect
from sidecar.waiting import Waiting

TRACE = TraceParams(trace_id="t")
KEY = StateParams(trace_id="t", namespace="shared", key="k")


class Direct:
    """The sidecar's services as a client sees them, without HTTP between."""

    def __init__(self, redis: Client, tenant: str) -> None:
        self.state, self.boxes, self.tenant = State(redis), Mailboxes(redis, Waiting(8)), tenant
        self.renewed = 0

    def get_states(self, params: TraceParams, ask: StateRead) -> StateFound:
        return self.state.get_many(self.tenant, params, ask)

    def put_states(self, params: TraceParams, ask: StateWrite) -> StateWritten:
        return self.state.put_many(self.tenant, params, ask)

    def register_agent(self, params: MailboxParams, ask: Register) -> Registered:
        return self.boxes.register(self.tenant, params, ask)

    def receive_messages(self, params: MailboxParams, ask: Receive) -> Deliveries:
        return self.boxes.receive(self.tenant, params, ask)

    def acknowledge_message(self, params: MailboxParams, ask: Acknowledge) -> Acknowledged:
        return self.boxes.acknowledge(self.tenant, params, ask)

    def reject_message(self, params: MailboxParams, ask: Reject) -> Rejected:
        return self.boxes.reject(self.tenant, params, ask)

    def renew_message(self, params: MailboxParams, ask: Renew) -> Renewed:
        self.renewed += 1
        return self.boxes.renew(self.tenant, params, ask)


@pytest.fixture
def direct(redis: Client, tenant: str) -> Direct:
    """A client of this test's own tenant."""
    return Direct(redis, tenant)


def test_eight_writers_lose_no_update(valkey: Any, tenant: str) -> None:
    """Each adds twenty words to one object by a function."""
    barrier = threading.Barrier(8)

    def work(name: int) -> None:
        client = Direct(connect(valkey.url), tenant)
        barrier.wait()
        for number in range(20):

            def add(value: dict[str, int], word: str = f"{name}/{number}") -> dict[str, int]:
                return {**value, word: 1}

            update_atomic(client, KEY, add, writer=str(name), default={})

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, name) for name in range(8)]:
            future.result()

    entry = State(connect(valkey.url)).get(tenant, KEY)
    assert (len(entry.value), entry.version) == (160, 160)


def test_an_update_that_always_comes_too_late_gives_up(direct: Direct) -> None:
    """After as many tries as it was given, with growing pauses, and says so."""
    pauses: list[float] = []

    def overtaken(value: int) -> int:
        put = PlacedPut(namespace="shared", key="k", value=value + 1, expected_version=value)
        direct.put_states(TRACE, StateWrite(writer="other", puts=(put,)))
        return -1

    with pytest.raises(Contended, match="5 times"):
        update_atomic(direct, KEY, overtaken, writer="a", default=0, tries=5, sleep=pauses.append)

    assert direct.state.get(direct.tenant, KEY).value == 5
    assert len(pauses) == 4


def test_what_the_function_raises_is_passed_on_and_nothing_is_stored(direct: Direct) -> None:
    """A rule of the caller's is no conflict."""
    with pytest.raises(ZeroDivisionError):
        update_atomic(direct, KEY, lambda value: 1 // value, writer="a", default=0)

    assert (
        direct.get_states(TRACE, StateRead(items=(PlacedPut(namespace="shared", key="k", value=None),))).entries == ()
    )


def test_a_handled_message_is_acknowledged_and_a_failed_one_comes_again(direct: Direct) -> None:
    """Until it fails for good; a message nobody could ever handle dies at once."""
    seen: list[Any] = []

    def handler(message: AgentMessage) -> None:
        seen.append(message.content)
        if message.content == "bad":
            raise CantHandle("never")
        if message.content == "poor" and seen.count("poor") == 1:
            raise OSError("not now")

    handlers = Handlers(direct, "t")
    handlers.register("market", handler)
    for content in ("good", "poor", "bad"):
        direct.boxes.send(direct.tenant, TRACE, Send(sender_agent_id="a", receiver_agent_id="market", content=content))

    assert handlers.handle("market", at_most=5) == 3
    assert handlers.handle("market", wait_ms=5000) == 1
    (view,) = direct.boxes.all(direct.tenant, TRACE).mailboxes
    (letter,) = direct.boxes.dead_letters(direct.tenant, DeadLettersParams(trace_id="t", agent="market")).dead_letters
    assert seen == ["good", "poor", "bad", "poor"]
    assert (view.waiting, view.leased, view.delayed) == (0, 0, 0)
    assert letter.reason == "CantHandle: never"


def test_a_slow_handler_keeps_its_message(direct: Direct) -> None:
    """Its lease is renewed as long as it works, so nobody else is given the message."""
    began, never = threading.Event(), threading.Event()

    def handler(message: AgentMessage) -> None:
        began.set()
        while direct.renewed < 4:
            never.wait(0.02)

    handlers = Handlers(direct, "t", lease_ms=300)
    handlers.register("market", handler)
    direct.boxes.send(direct.tenant, TRACE, Send(sender_agent_id="a", receiver_agent_id="market"))

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(handlers.handle, "market")
        at = MailboxParams(trace_id="t", agent="market")
        assert began.wait(10)
        while not working.done():
            assert direct.boxes.receive(direct.tenant, at, Receive(wait_ms=50)).deliveries == ()
        assert working.result() == 1

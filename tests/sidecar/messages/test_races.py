"""Several processes at one mailbox, some of them killed: no message is lost, none is acknowledged twice."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ensemble.contract.mailboxes import Acknowledge, MailboxParams, Receive, Register, Send
from ensemble.contract.state import TraceParams
from sidecar.messages.mailboxes import Mailboxes
from sidecar.store.connection import connect
from sidecar.waiting import Waiting

ROOT = Path(__file__).resolve().parents[3]
TRACE = TraceParams(trace_id="t")
AT = MailboxParams(trace_id="t", agent="market")


def send(boxes: Mailboxes, tenant: str, **more: Any) -> str:
    """Send one message to the market."""
    ask = Send(sender_agent_id="a", receiver_agent_id="market", **more)
    return boxes.send(tenant, TRACE, ask).message_id


def test_killed_consumers_lose_nothing(valkey: Any, tenant: str, tmp_path: Path) -> None:
    """Two die with messages in hand, two others find them; every message is acknowledged, and exactly once."""
    boxes = Mailboxes(connect(valkey.url), Waiting(1))
    boxes.register(tenant, AT, Register(max_deliveries=10))
    path = tmp_path / "done"
    command = [sys.executable, "-m", "tests.sidecar.messages.consumer", valkey.url, tenant, str(path)]
    sent = {send(boxes, tenant, content=number, task_priority=1 + number % 10) for number in range(60)}
    dying = [subprocess.Popen([*command, str(deliveries)], cwd=ROOT) for deliveries in (5, 9)]
    sent |= {send(boxes, tenant, content=number) for number in range(60, 120)}
    assert [each.wait(30) for each in dying] == [-9, -9]
    others = [subprocess.Popen([*command, "0"], cwd=ROOT) for _ in range(2)]
    assert [each.wait(30) for each in others] == [0, 0]

    done = path.read_text(encoding="utf-8").split()
    assert len(done) == len(set(done))
    assert set(done) == sent


def test_of_many_who_take_a_message_exactly_one_gets_it(valkey: Any, tenant: str) -> None:
    """Thirty rounds of eight receivers let go together; and of two acknowledgements of it one counts."""
    boxes = Mailboxes(connect(valkey.url), Waiting(8))
    boxes.register(tenant, AT, Register())
    barrier = threading.Barrier(8)

    def take(_: int) -> tuple[str, ...]:
        barrier.wait()
        return tuple(each.receipt for each in boxes.receive(tenant, AT, Receive()).deliveries)

    def acknowledge(receipt: str) -> bool:
        barrier.wait()
        return boxes.acknowledge(tenant, AT, Acknowledge(receipt=receipt)).acknowledged

    with ThreadPoolExecutor(8) as pool:
        for _ in range(30):
            send(boxes, tenant)
            receipts = [receipt for got in pool.map(take, range(8)) for receipt in got]

            assert len(receipts) == 1
            assert sum(pool.map(acknowledge, receipts * 8)) == 1


def test_urgent_messages_overtake_however_many_send(valkey: Any, tenant: str) -> None:
    """Eight senders at once; what is received is in order of priority, and of each sender in order of age."""
    boxes = Mailboxes(connect(valkey.url), Waiting(1))
    boxes.register(tenant, AT, Register())
    barrier = threading.Barrier(8)

    def work(sender: int) -> None:
        barrier.wait()
        for number in range(20):
            send(boxes, tenant, content=[sender, number], task_priority=1 + number % 3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    got = []
    while found := boxes.receive(tenant, AT, Receive(at_most=50)).deliveries:
        got += [each.message for each in found]

    assert len(got) == 160
    priorities = [message.task_priority for message in got]
    assert priorities == sorted(priorities, reverse=True)
    for sender in range(8):
        of_one = [message for message in got if message.content[0] == sender]
        order = [(-message.task_priority, message.content[1]) for message in of_one]
        assert order == sorted(order)

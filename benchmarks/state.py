"""Shared state and messages under many writers, beside a WATCH/MULTI loop that does the same on the same store.

Both are called from threads of this process on a Valkey of its own, without HTTP between: what is compared is one script
at the store with a loop of optimistic transactions. 16 writers append to one list that keeps its newest 100 items; 8
pairs send a message with a priority, lease the most urgent one, and acknowledge it.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis, WatchError

from benchmarks.results import Entry, median, table
from ensemble.contract.mailboxes import Acknowledge, MailboxParams, Receive, Register, Send
from ensemble.contract.state import Append, StateParams, TraceParams
from sidecar.launch.embedded import EmbeddedStore
from sidecar.messages.mailboxes import Mailboxes
from sidecar.settings import Durability
from sidecar.state.service import State
from sidecar.store.connection import Client, connect
from sidecar.waiting import Waiting

__all__ = ["measure"]

WRITERS = 16
PAIRS = 8
KEPT = 100
WATCHING = "WATCH/MULTI loop"

type Operation = Callable[[], None]


def measure(rounds: int, seconds: float) -> list[Entry]:
    """Measure each way for *seconds* in each of *rounds* rounds, in turn; print the table, return the entries."""
    ways: dict[str, tuple[Callable[[str], Operation], Callable[[str], Operation], int]] = {}
    with _store() as url:
        client: Client = connect(url)
        theirs = Redis.from_url(url, decode_responses=True)
        ways["state"] = (lambda name: _append(client, name), lambda name: _watch_append(theirs, name), WRITERS)
        ways["messages"] = (lambda name: _pass_on(client, name), lambda name: _watch_pass_on(theirs, name), PAIRS)
        found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
        for _ in range(rounds):
            for name, (ours, other, threads) in ways.items():
                for mine, make in ((True, ours), (False, other)):
                    found.setdefault((name, mine), []).append(_run(make(uuid.uuid4().hex), threads, seconds))
        client.close()
        theirs.close()
    return _entries(found)


def _entries(found: dict[tuple[str, bool], list[tuple[float, float]]]) -> list[Entry]:
    entries, rows = [], []
    for name, what in (("state", "append to one list, 16 writers"), ("messages", "send, lease, acknowledge, 8 pairs")):
        (ops, p99), (their_ops, their_p99) = (
            [median(each[column] for each in found[name, mine]) for column in (0, 1)] for mine in (True, False)
        )
        entries.append(Entry(f"{name}.ops_s", ops, "1/s", {WATCHING: their_ops}))
        entries.append(Entry(f"{name}.p99_ms", p99, "ms", {WATCHING: their_p99}))
        rows += [
            [f"ensemble: {what}", f"{ops:,.0f}", f"{p99:.1f}"],
            [f"{WATCHING}: {what}", f"{their_ops:,.0f}", f"{their_p99:.1f}"],
        ]
    print(f"\nMany at one key\n\n{table(('way', 'a second', 'p99 ms'), rows)}")
    return entries


@contextmanager
def _store() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ensemble-bench-") as folder:
        server = EmbeddedStore(Path(folder) / "store", Durability.EVERYSEC)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


def _run(operation: Operation, threads: int, seconds: float) -> tuple[float, float]:
    """Return operations a second, and the 99th percentile of their times in milliseconds."""
    barrier = threading.Barrier(threads)

    def work(_: int) -> list[float]:
        barrier.wait()
        took, ends = [], time.perf_counter() + seconds
        while (begun := time.perf_counter()) < ends:
            operation()
            took.append(time.perf_counter() - begun)
        return took

    with ThreadPoolExecutor(threads) as pool:
        took = sorted(each for part in pool.map(work, range(threads)) for each in part)
    return len(took) / seconds, took[int(len(took) * 0.99)] * 1000


def _append(client: Client, name: str) -> Operation:
    state, at = State(client), StateParams(trace_id=name, namespace="shared", key="list")
    ask = Append(writer="a", items=({"by": "a", "n": 1},), at_most=KEPT)

    def append() -> None:
        state.append("bench", at, ask)

    return append


def _watch_append(redis: Any, name: str) -> Operation:
    def append() -> None:
        with redis.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(name)
                    items = [*json.loads(pipe.get(name) or "[]"), {"by": "a", "n": 1}][-KEPT:]
                    pipe.multi()
                    pipe.set(name, json.dumps(items), ex=3600)
                    pipe.execute()
                except WatchError:
                    continue
                return

    return append


def _pass_on(client: Client, name: str) -> Operation:
    boxes, at = Mailboxes(client, Waiting(0)), MailboxParams(trace_id=name, agent="market")
    boxes.register("bench", at, Register())
    trace, send, take = TraceParams(trace_id=name), Send(sender_agent_id="a", receiver_agent_id="market"), Receive()

    def pass_on() -> None:
        boxes.send("bench", trace, send)
        for delivery in boxes.receive("bench", at, take).deliveries:
            boxes.acknowledge("bench", at, Acknowledge(receipt=delivery.receipt))

    return pass_on


def _watch_pass_on(redis: Any, name: str) -> Operation:
    ready, leased, bodies = f"{name}:ready", f"{name}:leased", f"{name}:bodies"

    def pass_on() -> None:
        message_id = uuid.uuid4().hex
        with redis.pipeline() as pipe:
            pipe.hset(bodies, message_id, json.dumps({"message_id": message_id, "content": None}))
            pipe.zadd(ready, {message_id: 5})
            pipe.execute()
            while True:
                try:
                    pipe.watch(ready)
                    first = pipe.zrange(ready, 0, 0)
                    if not first:
                        return
                    pipe.multi()
                    pipe.zrem(ready, first[0])
                    pipe.zadd(leased, {first[0]: time.time() + 30})
                    pipe.hget(bodies, first[0])
                    pipe.execute()
                except WatchError:
                    continue
                break
            pipe.zrem(leased, first[0])
            pipe.hdel(bodies, first[0])
            pipe.execute()

    return pass_on

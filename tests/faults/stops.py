"""One stop: runs held at every point, somebody stopped where they stand for longer than anybody waits, then let go on.

A stopped process is worse than a dead one: it comes back, and does not know for how long it was away.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator

from ensemble.client.links import READ_S
from sidecar.store.connection import ANSWER_TIMEOUT_S
from tests.faults.holding import LEASE_MS, POINTS, Holding, wait_for
from tests.faults.judging import Count
from tests.processes import store_of, until, workers_of

__all__ = ["STOPPED", "stop"]

STOPPED = ("engine", "engine taken over", "worker", "valkey")
"""Who is stopped; *taken over*: another process of the plugin makes the same calls meanwhile."""
LONG_S = {"engine": 1.5 * LEASE_MS / 1000, "worker": READ_S + 0.5, "valkey": ANSWER_TIMEOUT_S + 0.5}
"""Longer than whoever waits for it does."""


def stop(world: Holding, stopped: str) -> Count:
    """Hold one run at each point, stop somebody for a while, let everything come to its end, and count."""
    calls, held = world.begun()
    count = Count(runs=len(POINTS))
    if stopped == "engine taken over":
        _taken_over(world, list(calls), held, count)
        wait_for(calls, count, expected="RunTakenOver")
    else:
        with _stopped(_whom(world, stopped, held)):
            world.release(list(held))
            time.sleep(LONG_S[stopped])
        wait_for(calls, count)
    return world.ended(held, count)


def _whom(world: Holding, stopped: str, held: dict[str, int]) -> int:
    if stopped == "engine":
        return world.plugin.pid
    if stopped == "valkey":
        return store_of(world.sidecar.pid)
    workers = workers_of(world.sidecar.pid)
    # One of them: both would be the whole sidecar.
    holding_most = Counter(pid for pid in held.values() if pid in workers).most_common(1)
    return holding_most[0][0] if holding_most else min(workers)


def _taken_over(world: Holding, marks: list[str], held: dict[str, int], count: Count) -> None:
    """Stop the engine until another one has its runs: while that works on them, or after, in turn.

    What the sidecar holds of the stopped one's exchanges goes on only then as well.
    """
    with world.started_plugin() as heir:
        with _stopped(world.plugin.pid):
            calls = {mark: world.call(mark, heir) for mark in marks}
            if world.rounds % 2:
                until(lambda: any(world.ledger.run(run_id).epoch > 1 for run_id in held), "a run to be taken over")
            else:
                wait_for(calls, count)
            world.release(list(held))
        wait_for(calls, count)


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Stop a process until the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)

"""Calls run beside the engine, and a cancelled one is killed without anybody waiting for it."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from ensemble.engine.ports import Runner
from plugin.adapters.greenlets import GreenletRunner, in_parallel


def test_a_job_runs_beside_its_starter() -> None:
    """And says when it is over."""
    runner: Runner = GreenletRunner()
    go, done = Event(), Event()

    def work() -> None:
        go.wait()
        done.set()

    job = runner.start("call", work)
    gevent.sleep(0)
    assert not job.ended()
    go.set()

    assert done.wait(1)
    gevent.sleep(0)
    assert job.ended()


def test_a_cancelled_job_ends_where_it_waits() -> None:
    """Cancelling returns before the job has ended; what it holds is let go of."""
    begun, let_go = Event(), Event()

    def work() -> None:
        try:
            begun.set()
            Event().wait()
        finally:
            let_go.set()

    job = GreenletRunner().start("call", work)
    begun.wait(1)

    job.cancel()
    assert not let_go.is_set()

    assert let_go.wait(1)
    gevent.sleep(0)
    assert job.ended()


def test_no_more_than_allowed_at_one_time() -> None:
    """All are done in the end, under their own names."""
    running: list[int] = []
    most: list[int] = []

    def work(number: int) -> int:
        running.append(number)
        most.append(len(running))
        gevent.sleep(0.001)
        running.remove(number)
        return number

    def bound(number: int) -> Any:
        return lambda: work(number)

    answers = in_parallel({str(number): bound(number) for number in range(20)}, within_s=5, at_most=3)

    assert answers == {str(number): number for number in range(20)}
    assert max(most) == 3


def test_what_is_late_is_left_out_and_killed() -> None:
    """It does not go on in the background."""
    killed = Event()

    def forever() -> None:
        try:
            Event().wait()
        finally:
            killed.set()

    answers = in_parallel({"quick": lambda: None, "late": forever}, within_s=0.05, at_most=5)

    assert answers == {"quick": None}
    assert killed.wait(1)


def test_a_fault_of_ours_is_not_swallowed() -> None:
    """Only what a check says is an answer."""

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_parallel({"broken": broken}, within_s=1, at_most=1)

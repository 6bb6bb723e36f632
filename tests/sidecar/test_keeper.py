"""The keeper of the embedded store: never waits, starts anew with growing pauses, and the log tells why."""

from __future__ import annotations

import logging
import time
from itertools import pairwise
from typing import cast

import pytest

from sidecar.launch.embedded import EmbeddedStore
from sidecar.launch.keeper import FIRST_PAUSE_S, LONGEST_PAUSE_S, SLOW_S, Keeper


class Store:
    """A store that runs and answers as it is told to."""

    def __init__(self) -> None:
        self.running = self.ready = True
        self.spawned = 0
        self.starts = True
        self.broken = False

    def answers(self) -> bool:
        return self.ready

    def spawn(self) -> None:
        self.spawned += 1
        if self.broken:
            raise FileNotFoundError(2, "No such file")
        self.running = self.starts

    def end(self) -> str:
        return "was ended by SIGSEGV"

    def log_end(self) -> str:
        return "the last words"


class Clock:
    """Time that passes when it is told to."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time for the keeper."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def kept(store: Store) -> Keeper:
    """Return a keeper of it."""
    return Keeper(cast(EmbeddedStore, store))


def test_a_crash_is_told_with_its_cause_and_its_end(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """And when it is over."""
    store = Store()
    keeper = kept(store)
    keeper.look()
    assert (store.spawned, caplog.records) == (0, [])

    store.running = store.ready = False
    with caplog.at_level(logging.WARNING, "sidecar.store"):
        keeper.look()
        keeper.look()
        assert store.spawned == 1
        (crash,) = caplog.records
        assert "SIGSEGV" in crash.message
        assert crash.__dict__["end_of_log"] == "the last words"

        clock.now_s += 2
        store.ready = True
        keeper.look()
        keeper.look()
    assert [record.message for record in caplog.records[1:]] == [
        "The embedded store answers again, 2.0 s after it was started."
    ]


def test_one_that_is_slow_is_left_to_load_and_told_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A long append-only file takes its time; ending it would begin all over."""
    store = Store()
    keeper = kept(store)
    store.running = store.ready = False
    keeper.look()
    for _ in range(10):
        clock.now_s += SLOW_S / 5
        keeper.look()

    assert store.spawned == 1
    assert [record.message for record in caplog.records if "does not answer yet" in record.message] != []
    assert len(caplog.records) == 2


@pytest.mark.parametrize("broken", [False, True])
def test_one_that_ends_again_and_again_is_started_with_growing_pauses(clock: Clock, *, broken: bool) -> None:
    """Not in a tight loop, whether it ends at once or can't even be started; and all begins anew once it has answered."""
    store = Store()
    keeper = kept(store)
    store.running = store.ready = store.starts = False
    store.broken = broken
    starts: list[float] = []
    while len(starts) < 10:
        keeper.look()
        if store.spawned > len(starts):
            starts.append(clock.now_s)
        clock.now_s += 0.1
    pauses = [round(after - before) for before, after in pairwise(starts)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert (FIRST_PAUSE_S, LONGEST_PAUSE_S) == (1, 30)

    clock.now_s += 30
    store.starts, store.broken = True, False
    keeper.look()
    store.ready = True
    keeper.look()
    store.running = store.starts = False
    keeper.look()
    assert store.spawned == 12
    clock.now_s += 1.1
    keeper.look()
    assert store.spawned == 13

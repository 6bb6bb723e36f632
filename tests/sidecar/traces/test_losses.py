"""What is lost is counted, and told at most once a minute."""

from __future__ import annotations

import threading

import pytest

from sidecar.traces.losses import EVERY_S, Losses


class Clock:
    """A clock by hand."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_first_is_told_at_once_and_the_others_together_a_minute_later(caplog: pytest.LogCaptureFixture) -> None:
    """By what was lost, and why."""
    clock = Clock()
    losses = Losses(clock)

    losses.add(3, "Spans, why")
    losses.add(2, "Spans, why")
    losses.add(1, "Runs, for this")
    clock.now_s += EVERY_S - 1
    losses.add(5, "Spans, why")
    assert len(caplog.records) == 1
    clock.now_s += 1
    losses.add(1, "Runs, for this")

    first, second = (record.getMessage() for record in caplog.records)
    assert first.endswith("Spans, why (3).")
    assert second.endswith("Spans, why (7); Runs, for this (2).")
    assert losses.total == 12


def test_what_was_not_told_yet_is_told_though_nothing_is_lost_any_more(caplog: pytest.LogCaptureFixture) -> None:
    """A minute later, or at once where there is no later; and once."""
    clock = Clock()
    losses = Losses(clock)
    losses.tell(at_once=True)
    assert caplog.records == []
    losses.add(3, "Spans, why")
    losses.add(2, "Spans, why")

    losses.tell()
    assert len(caplog.records) == 1
    clock.now_s += EVERY_S
    losses.tell()
    losses.tell()
    losses.add(1, "Runs, for this")
    losses.tell(at_once=True)

    _, second, third = (record.getMessage() for record in caplog.records)
    assert second.endswith("it. Spans, why (2).")
    assert third.endswith("it. Runs, for this (1).")


def test_none_is_counted_twice_or_not_at_all() -> None:
    """By many threads at once."""
    losses = Losses()

    def lose() -> None:
        for _ in range(500):
            losses.add(1, "x")

    threads = [threading.Thread(target=lose) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert losses.total == 4_000

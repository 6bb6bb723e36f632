"""Killed anywhere, nothing lost, nothing paid twice unseen: the short form of ``make soak``."""

from __future__ import annotations

import pytest

from ensemble.contract.outcomes import Outcome, RunStatus
from tests.faults.claims import budgets, increments, probes, successors, without_sidecar
from tests.faults.crash import POINTS, VICTIMS, crashes


@pytest.mark.timeout(120)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_kill_at_any_point_costs_nothing_that_is_not_flagged(victim: str) -> None:
    """A run at each point of an attempt's life; the victim dies; everything ends, whole, and is counted."""
    with crashes() as world:
        count = world.round(victim)

    assert count.runs == len(POINTS)
    assert (count.faults, count.seen) == (0, [])


@pytest.mark.timeout(60)
def test_one_probe_goes_through_however_many_ask() -> None:
    """Eight processes of eight threads at one instant."""
    assert probes(3) == [1, 1, 1]


@pytest.mark.timeout(60)
def test_a_dead_probe_is_followed_by_one_more() -> None:
    """Once the lease of its run has ended."""
    ((number, seconds),) = successors(1)

    assert number == 1
    assert seconds > 0.9, "not before its lease of one second"


@pytest.mark.timeout(60)
def test_no_increment_is_lost() -> None:
    """Many processes add to one number."""
    assert increments(processes=8, times=100) == 800


@pytest.mark.timeout(60)
def test_a_budget_is_never_admitted_beyond() -> None:
    """64 threads in 8 processes ask while workers of the sidecar are killed."""
    ((admitted, view),) = budgets(1)

    assert (admitted, view.budget.calls_reserved, view.budget.tokens_reserved) == (40, 40, 40_000)


@pytest.mark.timeout(60)
def test_fail_open_goes_on_and_hands_in_later() -> None:
    """With a warning; the record is whole afterwards and answers a repeated call, which calls nobody."""
    told = without_sidecar("fail_open")

    assert told["result"].error is None
    assert "went on without it" in told["result"].variables["warnings"][0]
    assert told["view"].status is RunStatus.SUCCEEDED
    assert [(each.step, each.outcome) for each in told["view"].attempts] == [
        (step, Outcome.SUCCEEDED) for step in ("one", "two", "three")
    ]
    assert told["view"].attempts[-1].late
    assert told["calls"] == {"one": 1, "two": 1, "three": 1}


@pytest.mark.timeout(60)
def test_fail_closed_fails_naming_the_sidecar_and_loses_nothing() -> None:
    """A repeated call goes on where it was."""
    told = without_sidecar("fail_closed")

    assert told["result"].error.error_type == "SidecarUnavailable"
    assert "http://127.0.0.1" in told["result"].error.message
    assert told["again"].variables["status"] == RunStatus.SUCCEEDED
    assert told["calls"] == {"one": 1, "two": 1, "three": 1}

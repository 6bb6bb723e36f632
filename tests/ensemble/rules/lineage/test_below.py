"""Whoever cancels a run cancels the runs inside its calls, however deep, whatever else goes on at that moment."""

from __future__ import annotations

from functools import partial

import pytest

from ensemble.contract.exchange import LEASE_MS, Decision, Exchange, Why
from ensemble.contract.outcomes import RunStatus
from ensemble.rules.lineage.below import below_wants, runs_to_cancel
from ensemble.rules.runs.ending import cancel, cancel_inside, ending_wants
from ensemble.rules.snapshot import Changes
from tests.ensemble.rules.asks import closing, hex_id, opening
from tests.ensemble.rules.lineage.family import LATER_MS, Member, opened
from tests.ensemble.rules.store import StrictStore

APPS = ("app:a", "app:b", "app:c", "app:d")


def family(store: StrictStore) -> list[Member]:
    """Return a run, one inside its call, one inside that one's, and so on; each still calls."""
    members = [opened(store, 1, APPS[0])]
    for number, app in enumerate(APPS[1:], start=2):
        ticket = 10 * number
        members[-1].call(ticket, app)
        members.append(opened(store, number, app, parent=members[-1].parent(ticket)))
    return members


def cancelled(store: StrictStore, member: Member) -> RunStatus:
    """Cancel a run as the sidecar does."""
    status = store.apply(partial(cancel, member.run_id), ending_wants(member.run_id))
    for below in below_of(store, member):
        store.apply(partial(cancel_inside, member.run_id, below), ending_wants(below))
    return status


def below_of(store: StrictStore, member: Member) -> tuple[str, ...]:
    return store.apply(
        lambda snapshot: (runs_to_cancel(member.run_id, snapshot), Changes()), below_wants(member.run_id)
    )


def states(members: list[Member]) -> list[tuple[bool, RunStatus]]:
    return [(each.tell().run.cancelled, each.view().status) for each in members]


GOES, ENDS = (False, RunStatus.RUNNING), (True, RunStatus.RUNNING)


@pytest.mark.parametrize("number", range(4))
def test_all_runs_below_are_to_end_and_none_above(number: int) -> None:
    """Their engines hear of it at their next exchange."""
    store = StrictStore()
    members = family(store)

    cancelled(store, members[number])

    assert states(members) == [GOES] * number + [ENDS] * (4 - number)


def test_those_whose_engine_has_died_are_closed_at_once() -> None:
    """Nobody would do it for them."""
    store = StrictStore()
    members = family(store)
    store.now_ms += LEASE_MS
    members[0].tell()
    members[2].tell()

    cancelled(store, members[0])

    assert [each.view().status for each in members] == [
        RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.RUNNING, RunStatus.CANCELLED,
    ]  # fmt: skip


def test_a_run_that_is_over_keeps_its_end_and_its_runs_below_go_on() -> None:
    """Only what is under way can be cancelled."""
    store = StrictStore()
    members = family(store)
    members[1].close()

    assert cancelled(store, members[1]) is RunStatus.SUCCEEDED
    assert states(members[2:]) == [GOES, GOES]


def test_what_was_cancelled_before_is_cancelled_to_the_end_at_a_second_time() -> None:
    """The first one may have died just after it had marked the first run."""
    store = StrictStore()
    members = family(store)
    store.apply(partial(cancel, members[0].run_id), ending_wants(members[0].run_id))
    members[0].tell(close=closing(RunStatus.CANCELLED))

    cancelled(store, members[0])

    assert states(members[1:]) == [ENDS] * 3


@pytest.mark.parametrize("number", range(3))
def test_a_run_that_is_opened_below_a_cancelled_one_begins_as_cancelled(number: int) -> None:
    """An app that was still working comes to its team only then; whichever of the runs above it was cancelled."""
    store = StrictStore()
    members = family(store)[:3]
    store.apply(partial(cancel, members[number].run_id), ending_wants(members[number].run_id))

    late = opened(store, 9, APPS[3], parent=members[2].parent(40))

    assert late.answer.run.cancelled
    told = late.call(99, "app:x")
    assert (told.decision, told.why) == (Decision.REFUSED, Why.CANCELLED)


def test_a_run_that_is_opened_at_that_very_moment_is_not_missed() -> None:
    """It was decided before its parent was cancelled, and is written after that: it is decided anew."""
    store = StrictStore()
    members = family(store)
    ask = Exchange(
        run_id=hex_id(9),
        owner=hex_id(99),
        open=opening("late", caller=APPS[3], parent=members[2].parent(40)),
    )

    answer = store.exchange(ask, meanwhile=lambda: cancelled(store, members[0]))

    assert store.lost_races == 1
    assert answer.run.cancelled


def test_a_cancelled_run_that_is_called_again_begins_without_that() -> None:
    """And so do the runs inside its calls."""
    store = StrictStore()
    first = opened(store, 1, APPS[0])
    cancelled(store, first)
    first.tell(close=closing(RunStatus.CANCELLED))
    assert below_of(store, first) == ()
    store.now_ms += LATER_MS

    again = opened(store, 2, APPS[0], key=1)
    again.call(10, APPS[1])
    inside = opened(store, 3, APPS[1], parent=again.parent(10))

    assert (again.run_id, again.answer.run.epoch) == (first.run_id, 2)
    assert states([again, inside]) == [GOES, GOES]


def called_again_elsewhere(store: StrictStore) -> tuple[Member, Member]:
    """Return a cancelled run, and one that was inside its call, and is inside another's since."""
    first, other = opened(store, 1, APPS[0]), opened(store, 2, APPS[1])
    first.call(10, APPS[2])
    inside = opened(store, 3, APPS[2], parent=first.parent(10))
    cancelled(store, first)
    inside.tell(close=closing(RunStatus.CANCELLED))
    first.tell(close=closing(RunStatus.CANCELLED))
    other.call(20, APPS[2])
    return first, opened(store, 4, APPS[2], key=3, parent=other.parent(20))


def test_a_run_that_is_inside_another_call_since_is_not_cancelled_with_the_first() -> None:
    """However often, or late, somebody cancels that one."""
    store = StrictStore()
    first, inside = called_again_elsewhere(store)

    assert below_of(store, first) == (inside.run_id,)
    cancelled(store, first)

    assert states([inside]) == [GOES]


def test_runs_below_one_that_is_opened_again_meanwhile_go_on() -> None:
    """Between the mark and the last of them, for which whoever cancels may take its time."""
    store = StrictStore()
    first = opened(store, 1, APPS[0])
    cancelled(store, first)
    first.tell(close=closing(RunStatus.CANCELLED))
    store.now_ms += LATER_MS
    again = opened(store, 2, APPS[0], key=1)
    again.call(10, APPS[1])
    inside = opened(store, 3, APPS[1], parent=again.parent(10))

    store.apply(partial(cancel_inside, first.run_id, inside.run_id), ending_wants(inside.run_id))

    assert states([inside]) == [GOES]


def test_a_run_whose_time_has_passed_is_left_alone() -> None:
    """There is nothing to cancel."""
    store = StrictStore()
    first, inside = called_again_elsewhere(store)
    del store.hashes[f"run:{inside.run_id}"]

    cancelled(store, first)

    assert f"run:{inside.run_id}" not in store.hashes

"""What decisions say has happened: once each, and nothing that was not written."""

from __future__ import annotations

from functools import partial

import pytest

from ensemble.contract.breakers import BreakerState
from ensemble.contract.exchange import LEASE_MS, Decision, Why
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import Usage
from ensemble.rules.happenings import (
    AttemptAdmitted,
    AttemptLost,
    AttemptSettled,
    AttemptTurnedAway,
    BreakerChanged,
    EngineLost,
    Happening,
    RunClosed,
    RunOpened,
)
from ensemble.rules.runs.ending import cancel, ending_wants, sweep
from ensemble.rules.snapshot import Changes
from tests.ensemble.rules.asks import admission, closing, first, hex_id, later, settlement
from tests.ensemble.rules.store import StrictStore

MINE, THEIRS = 11, 12
RUN, OTHER_RUN = 1, 2


@pytest.fixture
def store() -> StrictStore:
    return StrictStore()


def kinds(store: StrictStore) -> list[type[Happening]]:
    """Return what was told, by kind, and forget it."""
    told = [type(each) for each in store.news]
    store.news.clear()
    return told


def swept(store: StrictStore, times: int = 1) -> None:
    for _ in range(times):
        store.apply(partial(sweep, hex_id(RUN)), ending_wants(hex_id(RUN)))


def test_a_run_from_its_opening_to_its_end(store: StrictStore) -> None:
    """With the records as they were written."""
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 1_500
    store.exchange(later(RUN, MINE, settle=(settlement(one, usage=Usage(tokens=7)),), close=closing()))

    opened, admitted, settled, closed = store.news
    assert isinstance(opened, RunOpened)
    assert (opened.run_id, opened.resumed, opened.about.pattern) == (hex_id(RUN), False, "parallel")
    assert isinstance(admitted, AttemptAdmitted)
    assert (admitted.attempt.ask, admitted.attempt.late) == (one, False)
    assert isinstance(settled, AttemptSettled)
    assert settled.attempt.settlement is not None
    assert (settled.attempt.settlement.usage.tokens, settled.after_loss) == (7, False)
    assert isinstance(closed, RunClosed)
    assert closed.run.status is RunStatus.SUCCEEDED
    assert (closed.run.closed_ms or 0) - closed.run.since_ms == 1_500


def test_an_exchange_that_is_sent_twice_tells_once(store: StrictStore) -> None:
    one = admission(1)
    for ask in (
        first(RUN, MINE, admit=(one,)),
        later(RUN, MINE, settle=(settlement(one),), admit=(admission(2, "two"),)),
        later(RUN, MINE, late=(admission(3, "three"),)),
        later(RUN, MINE, close=closing()),
    ):
        store.exchange(ask)
        assert kinds(store)
        store.exchange(ask)
        assert kinds(store) == []


@pytest.mark.parametrize("why", [Why.CANCELLED, Why.BREAKER_OPEN])
def test_who_is_turned_away_is_told_with_the_reason(store: StrictStore, why: Why) -> None:
    one, two = admission(1), admission(2)
    store.exchange(first(RUN, MINE, admit=(one, two)))
    if why is Why.CANCELLED:
        store.apply(partial(cancel, hex_id(RUN)), ending_wants(hex_id(RUN)))
    else:
        broken = (settlement(ask, Outcome.UNAVAILABLE, ends=False) for ask in (one, two))
        store.exchange(later(RUN, MINE, settle=tuple(broken)))
    store.news.clear()

    wish = admission(3)
    for _ in range(2):
        store.exchange(later(RUN, MINE, admit=(wish,)))

    assert store.news == [AttemptTurnedAway(hex_id(RUN), wish, Decision.REFUSED, why)] * 2


def test_a_lost_engine_is_told_once_by_the_sweep(store: StrictStore) -> None:
    """However often it comes round; the heir does not tell it again."""
    store.exchange(first(RUN, MINE, admit=(admission(1),)))
    store.now_ms += LEASE_MS
    store.news.clear()

    swept(store, 3)
    assert kinds(store) == [EngineLost, AttemptLost]
    store.exchange(first(OTHER_RUN, THEIRS))
    assert kinds(store) == [RunOpened]


def test_a_lost_engine_is_told_by_its_heir_where_the_sweep_is_late(store: StrictStore) -> None:
    store.exchange(first(RUN, MINE, admit=(admission(1),)))
    store.now_ms += LEASE_MS
    store.news.clear()

    store.exchange(first(OTHER_RUN, THEIRS))
    swept(store)

    lost, _, opened = store.news
    assert isinstance(lost, EngineLost)
    assert isinstance(opened, RunOpened)
    assert (lost.run.epoch, opened.run.epoch, opened.resumed) == (1, 2, True)


def test_an_engine_that_comes_back_can_be_lost_again(store: StrictStore) -> None:
    """And what it still held is settled after it was lost."""
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += LEASE_MS
    swept(store)
    store.exchange(later(RUN, MINE, holding=(one.ticket,)))
    store.now_ms += LEASE_MS
    store.news.clear()

    swept(store)
    store.exchange(later(RUN, MINE, settle=(settlement(one),)))

    lost, given_up, settled = store.news
    assert isinstance(lost, EngineLost)
    assert isinstance(given_up, AttemptLost)
    assert isinstance(settled, AttemptSettled)
    assert settled.after_loss


def test_a_cancelled_run_nobody_runs_is_told_lost_and_closed(store: StrictStore) -> None:
    store.exchange(first(RUN, MINE))
    store.now_ms += LEASE_MS
    store.news.clear()

    for _ in range(2):
        store.apply(partial(cancel, hex_id(RUN)), ending_wants(hex_id(RUN)))

    assert kinds(store) == [EngineLost, RunClosed]


def test_a_breaker_tells_every_change(store: StrictStore) -> None:
    asks = admission(1), admission(2)
    store.exchange(first(RUN, MINE, admit=asks))
    store.exchange(later(RUN, MINE, settle=tuple(settlement(a, Outcome.UNAVAILABLE, ends=False) for a in asks)))

    (change,) = (each for each in store.news if isinstance(each, BreakerChanged))

    assert change.identity == "app:left"
    assert (change.change.before, change.change.after) == (BreakerState.CLOSED, BreakerState.OPEN)


def test_a_lost_race_tells_nothing(store: StrictStore) -> None:
    """Only what was written is told, and once."""
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.news.clear()
    ask = later(RUN, MINE, settle=(settlement(one),))

    store.exchange(ask, meanwhile=lambda: store.exchange(ask))

    assert kinds(store) == [AttemptSettled]


def test_news_alone_is_nothing_to_write() -> None:
    """A decision that only says no commits nothing."""
    assert not Changes(news=(AttemptTurnedAway(hex_id(RUN), admission(1), Decision.WAIT, None),))

"""What the ledger does when engines vanish, come back, tell things late, or are told to stop."""

from __future__ import annotations

from functools import partial

import pytest

from ensemble.contract.exchange import LEASE_MS, Decision, OnLost, Reached, Remote, Role, Why
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import Usage
from ensemble.contract.runs import RunView
from ensemble.rules.addresses import breaker_at, run_hash
from ensemble.rules.records import Breaker
from ensemble.rules.runs.ending import cancel, ending_wants, sweep
from ensemble.rules.runs.views import run_view
from tests.ensemble.rules.asks import POLICY, admission, closing, first, hex_id, later, settlement
from tests.ensemble.rules.store import StrictStore

RUN = hex_id(1)


def view(store: StrictStore) -> RunView:
    return run_view(RUN, store.hashes[run_hash(RUN)], store.now_ms)


def swept(store: StrictStore) -> bool:
    return store.apply(partial(sweep, RUN), ending_wants(RUN))


def cancelled(store: StrictStore) -> RunStatus:
    return store.apply(partial(cancel, RUN), ending_wants(RUN))


def test_the_sweep_leaves_a_living_run_alone() -> None:
    """And writes nothing."""
    store = StrictStore()
    store.exchange(first(1, 2, admit=(admission(10),)))
    store.now_ms += LEASE_MS - 1

    before = {key: dict(fields) for key, fields in store.hashes.items()}
    assert not swept(store)
    assert store.hashes == before


def test_the_sweep_books_what_a_dead_engine_left_under_way() -> None:
    """Uncertain, at its estimate, flagged; the lease is off the list, the run waits for an heir."""
    store = StrictStore()
    store.exchange(first(1, 2, admit=(admission(10, max_tokens=700),)))
    store.now_ms += LEASE_MS

    assert swept(store)
    seen = view(store)
    assert [each.outcome for each in seen.attempts] == [Outcome.UNCERTAIN]
    assert (seen.status, seen.lease_ms) == (RunStatus.RUNNING, 0)
    assert (seen.budget.tokens_committed, seen.budget.tokens_reserved, seen.budget.estimated) == (700, 0, True)
    assert not [address for address in store.index if address.key == "leases"]


def test_the_sweep_frees_a_dead_probe_neutrally() -> None:
    """The breaker stays half-open, and the next asker probes."""
    store = StrictStore()
    broken = admission(10), admission(11)
    store.exchange(first(1, 2, admit=broken))
    store.exchange(later(1, 2, settle=tuple(settlement(ask, Outcome.UNAVAILABLE, ends=False) for ask in broken)))
    store.now_ms += int(POLICY.recovery_timeout * 1000)
    (probe,) = store.exchange(later(1, 2, admit=(admission(12),))).admissions
    assert probe.decision is Decision.ADMITTED
    store.now_ms += LEASE_MS

    assert swept(store)
    breaker = Breaker.model_validate_json(store.hashes[breaker_at("app:left").key]["breaker"])
    assert (breaker.state, breaker.probes, breaker.failures) == ("half_open", {}, 0)


def test_a_lapsed_owner_that_comes_back_takes_its_attempts_up_again() -> None:
    """Reserved anew; the lease is on the list again, and its news counts as ever."""
    store = StrictStore()
    ask = admission(10, max_tokens=700)
    store.exchange(first(1, 2, admit=(ask,)))
    store.now_ms += LEASE_MS
    swept(store)

    answer = store.exchange(later(1, 2, holding=(ask.ticket, hex_id(99))))
    assert (answer.run.role, answer.lost) == (Role.OWNER, (hex_id(99),))
    assert (view(store).budget.tokens_committed, view(store).budget.tokens_reserved) == (0, 700)

    store.exchange(later(1, 2, settle=(settlement(ask),), close=closing()))
    seen = view(store)
    assert (seen.budget.tokens_committed, seen.budget.tokens_reserved, seen.budget.estimated) == (100, 0, False)
    assert [result.text for result in seen.results] == [f"one by {ask.ticket}"]


def test_an_heir_is_told_which_steps_are_uncertain_and_what_dify_calls_them() -> None:
    """Before and after the sweep has been there; a step that has its result is none of them."""
    for sweep_first in (False, True):
        store = StrictStore()
        done, lost = admission(10, "one"), admission(11, "two")
        store.exchange(first(1, 2, admit=(done, lost)))
        remote = Remote(workflow_run_id="w", task_id="t")
        store.exchange(later(1, 2, reached=(Reached(ticket=lost.ticket, remote=remote),), settle=(settlement(done),)))
        store.now_ms += LEASE_MS
        if sweep_first:
            swept(store)

        answer = store.exchange(first(3, 4))
        assert [(each.step, each.ticket, each.remote) for each in answer.uncertain] == [("two", lost.ticket, remote)]
        assert [each.step for each in answer.kept] == ["one"]
        assert store.exchange(first(3, 4)) == answer


def test_a_reopened_run_has_nothing_uncertain() -> None:
    """Its last owner had said how everything ended."""
    store = StrictStore()
    ask = admission(10)
    store.exchange(first(1, 2, admit=(ask,)))
    store.exchange(later(1, 2, settle=(settlement(ask, Outcome.AGENT_FAILED),), close=closing(RunStatus.FAILED)))

    assert store.exchange(first(3, 4)).uncertain == ()


def test_what_went_out_without_the_ledger_is_put_on_record_whatever_the_limits() -> None:
    """Booked as used, marked late, its result the step's; telling it twice changes nothing."""
    store = StrictStore()
    asks = admission(10, "one"), admission(11, "two")
    told = first(1, 2, late=asks, settle=tuple(map(settlement, asks)), close=closing())

    assert store.exchange(told).run.role is Role.OWNER
    after = {key: dict(fields) for key, fields in store.hashes.items()}
    assert store.exchange(told).run.role is Role.OWNER
    assert store.hashes == after
    seen = view(store)
    assert [each.late for each in seen.attempts] == [True, True]
    assert (seen.status, seen.budget.tokens_committed, seen.budget.tokens_reserved) == ("succeeded", 200, 0)
    assert [result.step for result in seen.results] == ["one", "two"]


def test_late_news_moves_no_breaker() -> None:
    """It is old, and nobody asked that breaker."""
    store = StrictStore()
    asks = tuple(admission(number, "one") for number in range(10, 15))
    news = tuple(settlement(ask, Outcome.UNAVAILABLE, ends=False) for ask in asks)
    store.exchange(first(1, 2, late=asks, settle=news, close=closing(RunStatus.FAILED)))

    assert breaker_at("app:left").key not in store.hashes


def test_a_book_handed_in_takes_the_run_from_nobody() -> None:
    """Another call has it meanwhile: usage is booked, results only fill what nobody has and nobody works on."""
    store = StrictStore()
    store.exchange(first(1, 2, admit=(admission(20, "two"),)))
    asks = admission(10, "one"), admission(11, "two")
    answer = store.exchange(first(3, 4, late=asks, settle=tuple(map(settlement, asks)), close=closing()))

    assert (answer.run.role, answer.run.run_id) == (Role.SUPERSEDED, RUN)
    seen = view(store)
    assert (seen.status, [result.step for result in seen.results]) == (RunStatus.RUNNING, ["one"])
    assert seen.budget.tokens_committed == 200
    assert [each.outcome for each in seen.attempts] == [None, Outcome.SUCCEEDED, Outcome.SUCCEEDED]


def test_an_engine_that_was_taken_over_books_what_it_had_out() -> None:
    """In place of the estimate; nothing of it becomes a result that another works on."""
    store = StrictStore()
    ask = admission(10, max_tokens=700)
    store.exchange(first(1, 2, admit=(ask,)))
    store.now_ms += LEASE_MS
    store.exchange(first(3, 4, admit=(admission(11),)))

    late = settlement(ask, Outcome.CANCELLED, usage=Usage(tokens=5), ends=False)
    assert store.exchange(later(1, 2, settle=(late,))).run.role is Role.SUPERSEDED
    assert view(store).budget.tokens_committed == 5


@pytest.mark.parametrize("ran_it", [True, False], ids=["taken over", "never known here"])
@pytest.mark.parametrize("knows", [True, False], ids=["settled", "under way"])
def test_news_of_another_engine_hides_nothing_that_the_last_one_left_under_way(ran_it: bool, knows: bool) -> None:  # noqa: FBT001
    """Else the next heir would call an agent twice and not say so; what the other one does not know itself it hears too."""
    store = StrictStore()
    if ran_it:
        store.exchange(first(1, 11))
        store.now_ms += LEASE_MS
    left, late, also = admission(1), admission(2), admission(3, "two")
    epoch = store.exchange(first(2, 12, admit=(left,))).run.epoch
    news = tuple(settlement(each, Outcome.UNAVAILABLE) for each in (late, also)) if knows else ()
    store.exchange(first(1, 11, late=(late, also), settle=news, close=closing()))

    store.now_ms += LEASE_MS
    heir = store.exchange(first(3, 13))

    assert heir.run.epoch == epoch + 1
    assert {each.step for each in heir.uncertain} == ({"one"} if knows else {"one", "two"})


def test_a_result_told_late_counts_as_old_as_it_is() -> None:
    """It was made of what the earlier engine had, however late it is told."""
    store = StrictStore()
    store.exchange(first(1, 11))
    store.now_ms += LEASE_MS
    one = admission(1, "one")
    store.exchange(first(2, 12, admit=(one,)))
    store.exchange(later(1, 12, epoch=2, settle=(settlement(one),)))
    two = admission(2, "two")
    store.exchange(first(1, 11, late=(two,), settle=(settlement(two),), close=closing()))

    store.now_ms += LEASE_MS
    heir = store.exchange(first(3, 13))

    assert [each.step for each in heir.kept] == ["one", "two"]
    assert heir.kept_epochs == (2, 1)


def test_a_cancelled_run_admits_nothing_and_its_engine_hears_of_it() -> None:
    """The engine closes it; that stays its end."""
    store = StrictStore()
    ask = admission(10)
    store.exchange(first(1, 2, admit=(ask,)))

    assert cancelled(store) is RunStatus.RUNNING
    answer = store.exchange(later(1, 2, admit=(admission(11, "two"),)))
    assert answer.run.cancelled
    assert [(each.decision, each.why) for each in answer.admissions] == [(Decision.REFUSED, Why.CANCELLED)]
    store.exchange(later(1, 2, settle=(settlement(ask, Outcome.CANCELLED),), close=closing(RunStatus.CANCELLED)))
    assert cancelled(store) is RunStatus.CANCELLED


def test_a_run_nobody_runs_is_closed_by_the_cancel_itself_or_by_the_sweep() -> None:
    """Whichever comes after the lease's end."""
    for cancel_first in (False, True):
        store = StrictStore()
        store.exchange(first(1, 2, on_lost=OnLost.RELEASE, admit=(admission(10),)))
        if cancel_first:
            cancelled(store)
        store.now_ms += LEASE_MS
        assert swept(store) if cancel_first else cancelled(store) is RunStatus.CANCELLED
        seen = view(store)
        assert (seen.status, seen.budget.tokens_reserved) == (RunStatus.CANCELLED, 0)


def test_a_cancelled_run_that_is_opened_again_goes_on() -> None:
    """The ask to cancel was for what ran then."""
    store = StrictStore()
    store.exchange(first(1, 2))
    cancelled(store)
    store.exchange(later(1, 2, close=closing(RunStatus.CANCELLED)))

    assert not store.exchange(first(3, 4)).run.cancelled

"""What the ledger answers to an exchange, one story each, over a store as strict as the sidecar's."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.budgets import BudgetView, Limits
from ensemble.contract.exchange import LEASE_MS, Decision, ExchangeAnswer, OnLost, Role, Why
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import StepResult, Usage
from ensemble.contract.runs import RunView
from ensemble.rules.addresses import breaker_at, run_hash
from ensemble.rules.breakers.view import breaker_view
from ensemble.rules.records import Breaker
from ensemble.rules.runs.exchange import Conflict, UnknownRun
from ensemble.rules.runs.views import run_view
from tests.ensemble.rules.asks import admission, closing, first, hex_id, later, settlement
from tests.ensemble.rules.store import StrictStore

MINE, THEIRS = 11, 12
TWICE = BreakerPolicy(failure_threshold=2)
RUN, OTHER_RUN = 1, 2


@pytest.fixture
def store() -> StrictStore:
    return StrictStore()


def view(store: StrictStore, run: int = RUN) -> RunView:
    """Return a run as it is shown."""
    return run_view(hex_id(run), store.hashes[run_hash(hex_id(run))], store.now_ms)


def decisions(answer: ExchangeAnswer) -> list[tuple[Decision, Why | None]]:
    """Return what became of each ask for admission."""
    return [(told.decision, told.why) for told in answer.admissions]


ADMITTED = (Decision.ADMITTED, None)


def fail_twice(store: StrictStore, run: int, owner: int, run_key: str) -> None:
    """Open the breaker of the agent of step one."""
    one, two = admission(owner * 100 + 1), admission(owner * 100 + 2)
    store.exchange(first(run, owner, run_key, admit=(one, two)))
    news = [settlement(ask, Outcome.UNAVAILABLE, ends=False) for ask in (one, two)]
    store.exchange(later(run, owner, settle=tuple(news)))


def test_a_chain_takes_one_read_per_exchange(store: StrictStore) -> None:
    one, two = admission(1, "one"), admission(2, "two")
    answer = store.exchange(first(RUN, MINE, admit=(one,)))
    assert (answer.run.role, answer.run.epoch, answer.run.lease_ms) == (Role.OWNER, 1, LEASE_MS)
    assert decisions(answer) == [ADMITTED]
    answer = store.exchange(later(RUN, MINE, settle=(settlement(one),), admit=(two,), holding=(hex_id(1),)))
    assert (decisions(answer), answer.lost) == ([ADMITTED], ())
    store.exchange(later(RUN, MINE, settle=(settlement(two),), close=closing()))
    assert store.reads == 3
    assert view(store).budget == BudgetView(tokens_committed=200, calls_committed=2, ms_committed=2_000)


def test_a_hot_healthy_agent_s_breaker_is_never_written(store: StrictStore) -> None:
    one, two = admission(1), admission(2)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.exchange(later(RUN, MINE, settle=(settlement(one, ends=False),), admit=(two,)))
    assert breaker_at("app:left").key not in store.hashes


def test_a_second_caller_follows_and_hears_the_same_answer(store: StrictStore) -> None:
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 10_000
    follower = store.exchange(first(OTHER_RUN, THEIRS, admit=(admission(2),)))
    assert (follower.run.run_id, follower.run.role) == (hex_id(RUN), Role.FOLLOWER)
    assert (follower.run.lease_ms, follower.admissions) == (LEASE_MS - 10_000, ())
    assert not store.changes, "a follower writes nothing"
    store.exchange(later(RUN, MINE, settle=(settlement(one),), close=closing()))
    finished = store.exchange(first(OTHER_RUN, THEIRS))
    assert finished.run.role is Role.FINISHED
    assert finished.stored is not None
    assert (finished.stored.answer, finished.stored.warnings) == ("all is succeeded", ("mind",))
    assert [result.step for result in finished.stored.results] == ["one"]


def test_another_fingerprint_under_the_same_key_is_another_run(store: StrictStore) -> None:
    ask = first(RUN, MINE)
    store.exchange(ask)
    assert ask.open is not None
    other = first(OTHER_RUN, THEIRS).model_copy(update={"open": ask.open.model_copy(update={"fingerprint": "1" * 64})})
    answer = store.exchange(other)
    assert (answer.run.run_id, answer.run.role) == (hex_id(OTHER_RUN), Role.OWNER)


@pytest.mark.parametrize("status", sorted(set(RunStatus) - {RunStatus.RUNNING, RunStatus.SUCCEEDED}))
def test_a_run_closed_without_success_is_reopened_and_keeps_what_agents_gave(
    store: StrictStore, status: RunStatus
) -> None:
    one, three = admission(1, "one"), admission(3, "three")
    store.exchange(first(RUN, MINE, limits=Limits(tokens=5_000), admit=(one, three)))
    guessed = StepResult(step="two", agent="left", status=StepStatus.SUCCEEDED, source=Source.DEFAULT, text="-")
    news = (settlement(one), settlement(three, Outcome.AGENT_FAILED))
    store.exchange(later(RUN, MINE, settle=news, ended=(guessed,), close=closing(status)))
    answer = store.exchange(first(OTHER_RUN, THEIRS, limits=Limits(tokens=9_000)))
    assert (answer.run.run_id, answer.run.epoch, answer.run.role) == (hex_id(RUN), 2, Role.OWNER)
    assert [result.step for result in answer.kept] == ["one"]
    shown = view(store)
    assert (shown.status, shown.closed_ms, shown.answer) == (RunStatus.RUNNING, None, None)
    assert ([result.step for result in shown.results], shown.limits.tokens) == (["one"], 9_000)
    assert shown.budget.tokens_committed == 200
    again = store.exchange(later(RUN, THEIRS, 2, admit=(admission(4, "one"), admission(5, "two"))))
    assert [told.decision for told in again.admissions] == [Decision.DONE, Decision.ADMITTED]
    assert again.admissions[0].result == answer.kept[0]


@pytest.mark.parametrize(
    ("on_lost", "after"),
    [
        (OnLost.CHARGE, BudgetView(tokens_committed=4_000, calls_committed=1, estimated=True)),
        (OnLost.RELEASE, BudgetView()),
    ],
)
def test_a_dead_owner_s_run_is_taken_over_and_its_late_news_books_usage(
    store: StrictStore, on_lost: OnLost, after: BudgetView
) -> None:
    one = admission(1)
    store.exchange(first(RUN, MINE, on_lost=on_lost, admit=(one,)))
    store.now_ms += LEASE_MS
    heir = store.exchange(first(OTHER_RUN, THEIRS))
    assert (heir.run.role, heir.run.epoch, heir.kept) == (Role.OWNER, 2, ())
    shown = view(store)
    assert (shown.budget, shown.attempts[0].outcome) == (after, Outcome.UNCERTAIN)
    late = store.exchange(later(RUN, MINE, settle=(settlement(one),), admit=(admission(2),)))
    assert (late.run.role, late.run.epoch, late.admissions) == (Role.SUPERSEDED, 2, ())
    shown = view(store)
    assert shown.budget == BudgetView(tokens_committed=100, calls_committed=1, ms_committed=1_000)
    assert [result.step for result in shown.results] == ["one"], "nobody works on it: the late result counts"


def test_a_late_result_is_not_taken_while_the_step_is_done_again(store: StrictStore) -> None:
    one, again = admission(1), admission(2)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += LEASE_MS
    store.exchange(first(OTHER_RUN, THEIRS, admit=(again,)))
    store.exchange(later(RUN, MINE, settle=(settlement(one),)))
    assert view(store).results == ()
    store.exchange(later(RUN, THEIRS, 2, settle=(settlement(again),)))
    assert [result.text for result in view(store).results] == [f"one by {again.ticket}"]


def test_a_late_result_is_not_taken_while_the_step_is_just_being_done_again(store: StrictStore) -> None:
    one, again = admission(1), admission(2)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += LEASE_MS
    store.exchange(first(OTHER_RUN, THEIRS))
    heir = later(RUN, THEIRS, 2, admit=(again,))
    store.exchange(later(RUN, MINE, settle=(settlement(one),)), meanwhile=lambda: store.exchange(heir))
    shown = view(store)
    assert (shown.results, shown.budget.tokens_committed, store.lost_races) == ((), 100, 1)


def test_taking_a_run_over_gives_its_probes_back(store: StrictStore) -> None:
    fail_twice(store, RUN, MINE, "a")
    store.now_ms += 10_000
    store.exchange(later(RUN, MINE, admit=(admission(1),)))
    store.now_ms += LEASE_MS
    store.exchange(first(OTHER_RUN, THEIRS, "a"))
    shown = breaker_view("app:left", store.hashes["breaker:app:left"]["breaker"], store.now_ms)
    assert (shown.state, shown.probes) == ("half_open", 0)


def test_a_lapsed_owner_nobody_took_over_goes_on(store: StrictStore) -> None:
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 10 * LEASE_MS
    answer = store.exchange(later(RUN, MINE, holding=(one.ticket, hex_id(99))))
    assert (answer.run.role, answer.run.lease_ms, answer.lost) == (Role.OWNER, LEASE_MS, (hex_id(99),))


def test_a_late_copy_of_an_opening_does_not_reopen_what_its_owner_closed(store: StrictStore) -> None:
    ask = first(RUN, MINE)
    store.exchange(ask)
    store.exchange(later(RUN, MINE, close=closing(RunStatus.FAILED)))
    answer = store.exchange(ask)
    assert (answer.run.role, answer.run.epoch) == (Role.FINISHED, 1)
    assert view(store).status is RunStatus.FAILED


def test_what_is_open_when_a_run_is_closed_is_booked_as_lost(store: StrictStore) -> None:
    store.exchange(first(RUN, MINE, admit=(admission(1),)))
    store.exchange(later(RUN, MINE, close=closing(RunStatus.CANCELLED)))
    shown = view(store)
    assert shown.budget == BudgetView(tokens_committed=4_000, calls_committed=1, estimated=True)
    assert (shown.status, shown.lease_ms, shown.answer) == (RunStatus.CANCELLED, 0, "all is cancelled")


def test_admissions_of_one_exchange_see_each_other(store: StrictStore) -> None:
    asks = tuple(admission(number, max_tokens=400) for number in (1, 2, 3))
    answer = store.exchange(first(RUN, MINE, limits=Limits(tokens=1_000), admit=asks))
    assert decisions(answer) == [ADMITTED, ADMITTED, (Decision.WAIT, Why.BUDGET)]
    assert answer.admissions[2].retry_after_ms
    news = (settlement(asks[0], ends=False, usage=Usage(tokens=700)),)
    answer = store.exchange(later(RUN, MINE, settle=news, admit=asks[2:]))
    assert decisions(answer) == [(Decision.REFUSED, Why.BUDGET)]
    assert "300" in answer.admissions[0].detail


def test_who_spends_meanwhile_fails_the_commit(store: StrictStore) -> None:
    """Late news changes only counters; the guard on them makes the admission decided anew."""
    lost, mine = admission(1), admission(2, "three", max_tokens=900)
    limits = Limits(tokens=1_000)
    store.exchange(first(RUN, MINE, limits=limits, on_lost=OnLost.RELEASE, admit=(lost,)))
    store.now_ms += LEASE_MS
    store.exchange(first(OTHER_RUN, THEIRS, limits=limits))
    late = later(RUN, MINE, settle=(settlement(lost, ends=False, usage=Usage(tokens=300)),))
    answer = store.exchange(later(RUN, THEIRS, 2, admit=(mine,)), meanwhile=lambda: store.exchange(late))
    assert decisions(answer) == [(Decision.REFUSED, Why.BUDGET)]
    assert store.lost_races == 1


def test_a_breaker_opens_lets_one_probe_pass_and_closes(store: StrictStore) -> None:
    fail_twice(store, RUN, MINE, "a")
    store.exchange(first(OTHER_RUN, THEIRS, "b"))
    refused = store.exchange(later(OTHER_RUN, THEIRS, admit=(admission(1),))).admissions[0]
    assert (refused.decision, refused.why, refused.retry_after_ms) == (Decision.REFUSED, Why.BREAKER_OPEN, 10_000)
    store.now_ms += 10_000
    for ticket in (1, 3):
        probe = admission(ticket)
        answer = store.exchange(later(OTHER_RUN, THEIRS, admit=(probe, admission(2))))
        assert decisions(answer) == [ADMITTED, (Decision.REFUSED, Why.BREAKER_OPEN)]
        store.exchange(later(OTHER_RUN, THEIRS, settle=(settlement(probe, ends=False),)))
    text = store.hashes["breaker:app:left"]["breaker"]
    shown = breaker_view("app:left", text, store.now_ms)
    assert (shown.state, shown.generation, shown.probes) == ("closed", 3, 0)


def test_a_dead_prober_s_place_is_given_away_after_its_lease_and_never_before(store: StrictStore) -> None:
    fail_twice(store, RUN, MINE, "a")
    store.now_ms += 10_000
    assert decisions(store.exchange(later(RUN, MINE, admit=(admission(1),)))) == [ADMITTED]
    store.now_ms += LEASE_MS - 1
    other = first(OTHER_RUN, THEIRS, "b", admit=(admission(2),))
    assert decisions(store.exchange(other)) == [(Decision.REFUSED, Why.BREAKER_OPEN)]
    store.now_ms += 1
    wish = later(OTHER_RUN, THEIRS, admit=(admission(2),))
    beat = later(RUN, MINE)
    raced = store.exchange(wish, meanwhile=lambda: store.exchange(beat))
    assert decisions(raced) == [(Decision.REFUSED, Why.BREAKER_OPEN)], "it lived after all"
    store.now_ms += LEASE_MS
    assert decisions(store.exchange(wish)) == [ADMITTED]
    store.exchange(later(RUN, MINE, settle=(settlement(admission(1), Outcome.AGENT_FAILED),)))
    breaker = Breaker.model_validate_json(store.hashes["breaker:app:left"]["breaker"])
    assert breaker.probes == {hex_id(2): hex_id(OTHER_RUN)}, "the old probe's news is not heard any more"


def test_a_throttled_agent_makes_others_wait_without_a_failure(store: StrictStore) -> None:
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    news = settlement(one, Outcome.THROTTLED, ends=False, retry_after_ms=700)
    told = store.exchange(later(RUN, MINE, settle=(news,), admit=(admission(2),))).admissions[0]
    assert (told.decision, told.why, told.retry_after_ms) == (Decision.WAIT, Why.COOLING, 700)
    store.now_ms += 700
    assert decisions(store.exchange(later(RUN, MINE, admit=(admission(2),)))) == [ADMITTED]


def test_a_step_that_has_ended_is_done_and_first_commit_wins(store: StrictStore) -> None:
    one, two = admission(1), admission(2)
    store.exchange(first(RUN, MINE, admit=(one, two)))
    store.exchange(later(RUN, MINE, settle=(settlement(one),)))
    answer = store.exchange(later(RUN, MINE, settle=(settlement(two),), admit=(admission(3),)))
    told = answer.admissions[0]
    assert told.decision is Decision.DONE
    assert told.result is not None
    assert told.result.text == f"one by {one.ticket}"


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (later(RUN, MINE, admit=(admission(1, "two"),)), "admit.0.ticket"),
        (later(RUN, MINE, admit=(admission(1, timeout_ms=1),)), "admit.0.ticket"),
        (later(RUN, MINE, settle=(settlement(admission(77)),)), "settle.0.ticket"),
        (later(RUN, MINE, settle=(settlement(admission(1, "two")),)), "settle.0.step"),
        (later(RUN, MINE, close=closing(RunStatus.RUNNING)), "close.status"),
        (later(RUN, MINE, close=closing(), admit=(admission(2),)), "admit"),
        (first(RUN, THEIRS, "another key"), "run_id"),
        (later(RUN, MINE).model_copy(update={"epoch": None}), "epoch"),
    ],
)
def test_an_ask_that_contradicts_the_record_or_itself_names_its_field(
    store: StrictStore, ask: object, field: str
) -> None:
    store.exchange(first(RUN, MINE, admit=(admission(1),)))
    before = {key: dict(fields) for key, fields in store.hashes.items()}
    with pytest.raises(Conflict) as caught:
        store.exchange(ask)  # type: ignore[arg-type] # parametrize knows no types
    assert caught.value.field == field
    assert store.hashes == before


def test_a_run_nobody_opened_is_unknown(store: StrictStore) -> None:
    with pytest.raises(UnknownRun):
        store.exchange(later(RUN, MINE))


def test_a_kept_step_is_done_again_where_its_question_has_changed(store: StrictStore) -> None:
    """It is forgotten with the admission of its new attempt and no sooner; a copy that comes late forgets nothing."""
    one = admission(1, "one")
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.exchange(later(RUN, MINE, settle=(settlement(one),), close=closing(RunStatus.PARTIAL)))
    assert [kept.step for kept in store.exchange(first(OTHER_RUN, THEIRS)).kept] == ["one"]

    anew = admission(2, "one", again=True)
    ask = later(RUN, THEIRS, epoch=2, admit=(anew,))
    assert decisions(store.exchange(ask)) == [ADMITTED]
    assert view(store).results == ()
    store.exchange(later(RUN, THEIRS, epoch=2, settle=(settlement(anew),)))
    assert decisions(store.exchange(ask)) == [ADMITTED]
    assert [result.step for result in view(store).results] == ["one"]


@pytest.mark.parametrize("closed", [False, True])
def test_who_was_superseded_takes_no_result_away(store: StrictStore, closed: bool) -> None:  # noqa: FBT001
    """It had wanted a step done again while the ledger was away; whoever has the run now has the step's result."""
    store.exchange(first(RUN, MINE))
    store.now_ms += LEASE_MS
    one = admission(1, "one")
    store.exchange(first(OTHER_RUN, THEIRS, admit=(one,)))
    store.exchange(later(RUN, THEIRS, epoch=2, settle=(settlement(one),), close=closing() if closed else None))

    again = admission(2, "one", again=True)
    late = first(RUN, MINE, late=(again,), settle=(settlement(again, Outcome.UNAVAILABLE),))
    assert store.exchange(late).run.role in (Role.SUPERSEDED, Role.FINISHED)

    assert [(each.step, each.status) for each in view(store).results] == [("one", StepStatus.SUCCEEDED)]
    assert len(view(store).attempts) == 2


def test_absurd_figures_are_booked_at_the_most_a_counter_adds_up(store: StrictStore) -> None:
    """What an agent reports is not ours; a commit that overflows halfway would be."""
    ask = admission(1)
    store.exchange(first(RUN, MINE, admit=(ask,)))

    usage = Usage(tokens=10**40, price=Decimal("1e40"), currency="USD")
    store.exchange(later(RUN, MINE, settle=(settlement(ask).model_copy(update={"usage": usage}),), close=closing()))

    told = view(store)
    assert told.budget.tokens_committed == 10**12
    assert told.attempts[0].usage == Usage(tokens=10**12, price=Decimal(1_000_000), currency="USD", estimated=True)

"""What exchanges leave behind about agents: sightings, counters, estimates; and what an operator's word changes."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.agents import AgentDeclaration, AgentHealth, AgentView, Spread
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import Admission, Decision, Settlement
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.rules.agents.declaring import agent_view, agent_wants, declare, forget
from ensemble.rules.agents.drafted import FRESH_MS, NAMES_KEPT, TELLING_CALLS
from ensemble.rules.agents.statistics import FAILED, NOT_ITS_OWN, SLOT_MS, SLOTS, bucket, count, quantile
from ensemble.rules.snapshot import Changes, Draft, Snapshot
from tests.ensemble.rules.asks import admission, first, later, settlement
from tests.ensemble.rules.store import StrictStore

IDENTITY = "app:left"
MINUTE, HOUR = 60_000, 3_600_000


@pytest.fixture
def store() -> StrictStore:
    """A store in the middle of a slot of the statistics."""
    return StrictStore(now_ms=1000 * SLOT_MS + 2 * HOUR)


class Calls:
    """One run that calls the same agent as often as it is told to."""

    def __init__(self, store: StrictStore, limits: Limits | None = None) -> None:
        self.store = store
        self.tickets = 0
        store.exchange(first(1, 1, limits=limits))

    def call(self, outcome: Outcome = Outcome.SUCCEEDED, name: str = "left", **news: Any) -> Admission:
        """Ask for an admission and settle it."""
        self.tickets += 1
        ask = admission(self.tickets).model_copy(update={"agent": name})
        answer = self.store.exchange(later(1, 1, admit=(ask,)))
        if answer.admissions[0].decision is Decision.ADMITTED:
            self.store.exchange(later(1, 1, settle=(settlement(ask, outcome, ends=False, **news),)))
        return answer.admissions[0]


def view(store: StrictStore) -> AgentView:
    """Return the agent as it is known now."""

    def look(snapshot: Snapshot) -> tuple[AgentView, Changes]:
        return agent_view(IDENTITY, snapshot), Changes()

    return store.apply(look, agent_wants(IDENTITY))


def declared(store: StrictStore, **fields: Any) -> AgentView:
    """Declare the agent and return how it is shown."""
    return store.apply(partial(declare, IDENTITY, AgentDeclaration(**fields)), agent_wants(IDENTITY))


def test_an_agent_is_known_from_its_first_call_on(store: StrictStore) -> None:
    """By identity, with the name it was called by; how the call went is counted when it is settled."""
    calls = Calls(store)
    calls.call(usage=Usage(tokens=100), took_ms=1000)

    seen = view(store)

    assert (seen.name, seen.names) == ("left", ("left",))
    assert seen.first_seen_ms == seen.last_seen_ms == store.now_ms
    assert seen.health is AgentHealth.HEALTHY
    assert seen.statistics.outcomes == {Outcome.SUCCEEDED: 1}
    assert seen.statistics.tokens_total == 100
    assert seen.statistics.tokens is not None
    assert seen.statistics.tokens.p50 == pytest.approx(100, rel=0.1)
    assert seen.statistics.latency_ms is not None
    assert seen.statistics.latency_ms.p95 == pytest.approx(1000, rel=0.1)


def test_what_is_told_twice_counts_once(store: StrictStore) -> None:
    """The first settlement of a ticket wins; the others are not counted either."""
    ask = admission(1)
    store.exchange(first(1, 1, admit=(ask,)))
    news = later(1, 1, settle=(settlement(ask),))
    store.exchange(news)
    store.exchange(news)

    assert view(store).statistics.calls == 1


def test_a_hot_agent_is_not_written_at_every_call(store: StrictStore) -> None:
    """Only its first call in a minute writes a document, so that its callers do not collide."""
    calls = Calls(store)
    calls.call()
    ask = admission(9)

    store.exchange(later(1, 1, admit=(ask,)))

    assert not [address for address in store.changes.puts if address.key.startswith("agent:")]


def test_who_is_called_by_several_names_is_known_by_all_of_them(store: StrictStore) -> None:
    """The newest first, and so many at most."""
    calls = Calls(store)
    for number in range(NAMES_KEPT + 3):
        calls.call(name=f"n{number}")

    names = view(store).names

    assert names == tuple(f"n{number}" for number in reversed(range(3, NAMES_KEPT + 3)))


def test_failures_say_how_it_does(store: StrictStore) -> None:
    """What was cancelled says nothing of the agent."""
    calls = Calls(store)
    for outcome in (Outcome.SUCCEEDED, Outcome.TIMED_OUT, Outcome.CANCELLED, Outcome.SUCCEEDED):
        calls.call(outcome)

    statistics = view(store).statistics

    assert statistics.calls == 4
    assert statistics.failure_rate == pytest.approx(1 / 3, abs=1e-4)
    assert (statistics.recent_calls, statistics.recent_failures) == (3, 1)


def test_calls_leave_the_hour_and_then_the_day(store: StrictStore) -> None:
    """The last hour is told apart; after a day nothing is left of a call but when it was seen."""
    calls = Calls(store)
    calls.call(Outcome.AGENT_FAILED)
    store.now_ms += HOUR + 10 * MINUTE

    assert (view(store).statistics.recent_calls, view(store).statistics.calls) == (0, 1)

    store.now_ms += SLOTS * SLOT_MS

    assert view(store).statistics.calls == 0
    assert view(store).first_seen_ms is not None


def test_costs_are_kept_by_currency(store: StrictStore) -> None:
    """As the apps report them; an estimated price is none."""
    calls = Calls(store)
    calls.call(usage=Usage(tokens=10, price=Decimal("0.002"), currency="USD"))
    calls.call(usage=Usage(tokens=10, price=Decimal("0.003"), currency="USD"))
    calls.call(usage=Usage(tokens=10, price=Decimal(1), currency="CNY"))
    calls.call(usage=Usage(tokens=10, price=Decimal(5), currency="USD", estimated=True))

    costs = {each.currency: each.total for each in view(store).statistics.costs}

    assert costs == {"USD": Decimal("0.005"), "CNY": Decimal(1)}


def test_enough_calls_tell_what_the_next_one_uses(store: StrictStore) -> None:
    """The reservation is what 95 of 100 calls did not pass, once there are twenty and a minute has gone."""
    calls = Calls(store, Limits(tokens=1_000_000))
    for _ in range(TELLING_CALLS):
        calls.call(usage=Usage(tokens=900))
    store.now_ms += FRESH_MS
    calls.call()  # brings the figures up to date
    store.exchange(later(1, 1, admit=(admission(99),)))

    reserved = store.counter("run:" + f"{1:032x}", "tokens_reserved")

    assert reserved == pytest.approx(900, rel=0.1)


def test_an_operator_says_what_a_call_uses_and_costs(store: StrictStore) -> None:
    """The estimate is the declared one, and the price goes with the admission, asked once or twice."""
    declared(store, name="Market", max_tokens=250, price_per_1k=Decimal("0.5"), currency="EUR")
    ask = admission(1)

    answers = [store.exchange(said).admissions[0] for said in (first(1, 1, admit=(ask,)), later(1, 1, admit=(ask,)))]

    assert answers[0] == answers[1]
    assert (answers[0].price_per_1k, answers[0].currency) == (Decimal("0.5"), "EUR")
    assert store.counter("run:" + f"{1:032x}", "tokens_reserved") == 250
    assert view(store).name == "Market"


def test_a_declared_breaker_is_the_operators_policy(store: StrictStore) -> None:
    """It is kept with the breaker, where its own endpoint keeps it."""
    policy = admission(1).breaker

    declared(store, breaker=policy)

    assert '"policy"' in store.hashes[f"breaker:{IDENTITY}"]["breaker"]


def test_what_is_declared_and_never_called_is_listed(store: StrictStore) -> None:
    """Without a sighting."""
    shown = declared(store, description="Looks things up.")

    assert (shown.first_seen_ms, shown.health) == (None, AgentHealth.UNKNOWN)
    assert shown.declared is not None
    assert shown.declared.description == "Looks things up."


def test_what_is_forgotten_is_gone_until_it_is_called_again(store: StrictStore) -> None:
    """Sightings and declaration; statistics go in a moment."""
    Calls(store).call()
    declared(store, name="Market")

    answer = store.apply(partial(forget, IDENTITY), agent_wants(IDENTITY))
    again = store.apply(partial(forget, IDENTITY), agent_wants(IDENTITY))

    assert (answer.forgotten, again.forgotten) == (True, False)
    assert view(store).first_seen_ms is None
    assert view(store).declared is None


PIECE = 10 * MINUTE
GAPS = st.sampled_from([0, 1, MINUTE, PIECE - 1, PIECE, HOUR, SLOT_MS - 1, SLOT_MS, SLOTS * SLOT_MS])


@given(st.lists(st.tuples(GAPS, st.sampled_from(list(Outcome))), max_size=30), GAPS)
def test_the_window_holds_what_was_counted_in_it(told: list[tuple[int, Outcome]], later_ms: int) -> None:
    """Against a list of all calls and their moments, wherever the edges of hours and slots fall."""
    store = StrictStore(now_ms=1000 * SLOT_MS + 5)
    calls: list[tuple[int, Outcome]] = []
    for gap, outcome in told:
        store.now_ms += gap
        calls.append((store.now_ms, outcome))
        news = settlement(admission(1), outcome)

        def counted(snapshot: Snapshot, news: Settlement = news) -> tuple[None, Changes]:
            draft = Draft(snapshot)
            count(draft, IDENTITY, news)
            return None, draft.changes()

        store.apply(counted, ())
    store.now_ms += later_ms
    statistics = view(store).statistics
    since = (store.now_ms // SLOT_MS - SLOTS + 1) * SLOT_MS
    hour = (store.now_ms // PIECE - 5) * PIECE

    assert statistics.since_ms == since
    assert statistics.outcomes == Counter(outcome for at, outcome in calls if at >= since)
    judged = [outcome for at, outcome in calls if at >= hour and outcome not in NOT_ITS_OWN]
    assert statistics.recent_calls == len(judged)
    assert statistics.recent_failures == sum(outcome in FAILED for outcome in judged)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_right_to_within_a_tenth(values: list[int], part: float) -> None:
    """Against the sorted values themselves; small whole numbers are rounded."""
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket(value)] = counts.get(bucket(value), 0) + 1
    exact = sorted(values)[max(0, -int(-part * len(values) // 1) - 1)]

    assert quantile(counts, part) == pytest.approx(exact, rel=0.1, abs=0.6)


def test_nothing_has_no_spread(store: StrictStore) -> None:
    """What was never told is not zero."""
    calls = Calls(store)
    calls.call(Outcome.UNAVAILABLE, usage=Usage())

    assert view(store).statistics.tokens is None
    assert view(store).statistics.latency_ms is None
    assert Spread(p50=0, p95=0) != view(store).statistics.tokens

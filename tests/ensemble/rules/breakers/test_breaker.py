"""The circuit breaker's rules as tables: every state, every event, what comes after."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.contract.breakers import BreakerCause, BreakerForcing, BreakerPolicy, BreakerState, Forced
from ensemble.contract.exchange import Decision, Why
from ensemble.contract.outcomes import Outcome
from ensemble.rules.breakers import breaker as rules
from ensemble.rules.breakers.tripping import Counts, fewest_calls, open_ms
from ensemble.rules.records import Breaker
from tests.ensemble.rules.tables import cases, holds, table

POLICY = BreakerPolicy(failure_threshold=3, recovery_timeout=60, success_threshold=2, half_open_probes=2)
NOW = 1_000_000
MINE, OTHER, THIRD = "a" * 32, "b" * 32, "c" * 32
RUN = "d" * 32
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN

FAILURES = [Outcome.AGENT_FAILED, Outcome.UNAVAILABLE, Outcome.TIMED_OUT]
NEUTRAL = sorted(set(Outcome) - {*FAILURES, Outcome.SUCCEEDED, Outcome.THROTTLED})


def closed(**more: Any) -> Breaker:
    return Breaker(state=CLOSED, generation=4, **more)


def opened(ago_ms: int, **more: Any) -> Breaker:
    return Breaker(state=OPEN, generation=5, opened_ms=NOW - ago_ms, **{"trips": 1, **more})


def half_open(*tickets: str, **more: Any) -> Breaker:
    times = {"opened_ms": NOW - 70_000, "half_open_ms": NOW - 10_000, "trips": 1}
    return Breaker(state=HALF_OPEN, generation=6, probes=dict.fromkeys(tickets, RUN), **{**times, **more})


@pytest.mark.parametrize(
    ("before", "decision", "why", "retry_after_ms", "after"),
    [
        pytest.param(closed(), Decision.ADMITTED, None, None, closed(), id="closed lets pass"),
        pytest.param(closed(failures=2), Decision.ADMITTED, None, None, closed(failures=2), id="failing still passes"),
        pytest.param(opened(0), Decision.REFUSED, Why.BREAKER_OPEN, 60_000, opened(0), id="open refuses"),
        pytest.param(opened(59_999), Decision.REFUSED, Why.BREAKER_OPEN, 1, opened(59_999), id="to the last ms"),
        pytest.param(
            opened(60_000),
            Decision.ADMITTED,
            None,
            None,
            Breaker(
                state=HALF_OPEN,
                generation=6,
                opened_ms=NOW - 60_000,
                half_open_ms=NOW,
                trips=1,
                probes={MINE: RUN},
                cause=BreakerCause.RECOVERY,
            ),
            id="recovered: a probe, in a new generation",
        ),
        pytest.param(half_open(), Decision.ADMITTED, None, None, half_open(MINE), id="half-open: a probe"),
        pytest.param(half_open(OTHER), Decision.ADMITTED, None, None, half_open(OTHER, MINE), id="a second probe"),
        pytest.param(
            half_open(OTHER, THIRD),
            Decision.REFUSED,
            Why.BREAKER_OPEN,
            rules.PROBE_WAIT_MS,
            half_open(OTHER, THIRD),
            id="all probes out",
        ),
        pytest.param(
            closed(cooling_until_ms=NOW + 1),
            Decision.WAIT,
            Why.COOLING,
            1,
            closed(cooling_until_ms=NOW + 1),
            id="cooling waits",
        ),
        pytest.param(
            closed(cooling_until_ms=NOW), Decision.ADMITTED, None, None, closed(cooling_until_ms=NOW), id="cooled"
        ),
        pytest.param(
            opened(60_000, cooling_until_ms=NOW + 5),
            Decision.WAIT,
            Why.COOLING,
            5,
            opened(60_000, cooling_until_ms=NOW + 5),
            id="recovered but cooling: waits, stays open",
        ),
        pytest.param(
            opened(0, cooling_until_ms=NOW + 5),
            Decision.REFUSED,
            Why.BREAKER_OPEN,
            60_000,
            opened(0, cooling_until_ms=NOW + 5),
            id="open refuses, cooling or not",
        ),
        pytest.param(
            half_open(cooling_until_ms=NOW + 5),
            Decision.WAIT,
            Why.COOLING,
            5,
            half_open(cooling_until_ms=NOW + 5),
            id="half-open and cooling waits",
        ),
    ],
)
def test_admission(
    before: Breaker, decision: Decision, why: Why | None, retry_after_ms: int | None, after: Breaker
) -> None:
    assert rules.admit(before, POLICY, NOW, MINE, RUN) == (after, rules.Verdict(decision, why, retry_after_ms))


def settle(before: Breaker, outcome: Outcome, *, generation: int | None = None, asked_ms: int | None = None) -> Breaker:
    return rules.settle(
        before,
        POLICY,
        NOW,
        ticket=MINE,
        generation=before.generation if generation is None else generation,
        outcome=outcome,
        retry_after_ms=asked_ms,
    )


TRIPPED_CLOSED = Breaker(state=OPEN, generation=5, opened_ms=NOW, trips=1, cause=BreakerCause.FAILURES)
TRIPPED_HALF_OPEN = Breaker(state=OPEN, generation=7, opened_ms=NOW, trips=2, cause=BreakerCause.PROBE_FAILED)
HEALED = Breaker(state=CLOSED, generation=7, opened_ms=NOW - 70_000, cause=BreakerCause.HEALED)

TABLE = [
    (closed(), Outcome.SUCCEEDED, closed()),
    (closed(failures=2), Outcome.SUCCEEDED, closed()),
    *[(closed(), outcome, closed(failures=1)) for outcome in FAILURES],
    *[(closed(failures=2), outcome, TRIPPED_CLOSED) for outcome in FAILURES],
    *[(closed(failures=2), outcome, closed(failures=2)) for outcome in NEUTRAL],
    (closed(failures=2), Outcome.THROTTLED, closed(failures=2, cooling_until_ms=NOW + rules.COOLING_MS)),
    *[(opened(5), outcome, opened(5)) for outcome in Outcome if outcome not in {*FAILURES, Outcome.THROTTLED}],
    (half_open(MINE, OTHER), Outcome.SUCCEEDED, half_open(OTHER, successes=1)),
    (half_open(MINE, OTHER, successes=1), Outcome.SUCCEEDED, HEALED),
    *[(half_open(MINE, OTHER, successes=1), outcome, TRIPPED_HALF_OPEN) for outcome in FAILURES],
    *[(half_open(MINE, OTHER, successes=1), outcome, half_open(OTHER, successes=1)) for outcome in NEUTRAL],
    (
        half_open(MINE, successes=1),
        Outcome.THROTTLED,
        half_open(successes=1, cooling_until_ms=NOW + rules.COOLING_MS),
    ),
    *[(half_open(OTHER, successes=1), outcome, half_open(OTHER, successes=1)) for outcome in Outcome],
]


@pytest.mark.parametrize(
    ("before", "outcome", "after"),
    [pytest.param(*row, id=f"{row[0].state}-{n}-{row[1]}") for n, row in enumerate(TABLE)],
)
def test_settlement(before: Breaker, outcome: Outcome, after: Breaker) -> None:
    """Under its own generation: success, failure, throttled, neutral; a lost probe's place is not heard."""
    assert settle(before, outcome) == after


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("before", [closed(failures=2), opened(5), half_open(MINE, OTHER, successes=1)])
def test_news_of_another_generation_changes_nothing(before: Breaker, outcome: Outcome) -> None:
    assert settle(before, outcome, generation=before.generation - 1) is before
    assert settle(before, outcome, generation=before.generation + 1) is before


@pytest.mark.parametrize(
    ("cooling_until_ms", "asked_ms", "after_ms"),
    [
        (0, None, NOW + rules.COOLING_MS),
        (0, 7_000, NOW + 7_000),
        (0, 0, NOW),
        (NOW + 9_000, 7_000, NOW + 9_000),
        (0, 10**12, NOW + rules.MAX_COOLING_MS),
    ],
)
def test_a_throttled_agent_cools_as_long_as_it_asks(cooling_until_ms: int, asked_ms: int | None, after_ms: int) -> None:
    after = settle(closed(cooling_until_ms=cooling_until_ms), Outcome.THROTTLED, asked_ms=asked_ms)
    assert after == closed(cooling_until_ms=after_ms)


def test_a_freed_probe_leaves_all_else_as_it_was() -> None:
    before = half_open(MINE, OTHER, successes=1)
    assert rules.free(before, (MINE, THIRD)) == half_open(OTHER, successes=1)
    assert rules.free(before, (THIRD,)) is before


def held(state: Forced, until_ms: int | None = None, **more: Any) -> Breaker:
    return rules.force(closed(**more), BreakerForcing(state=state, until_ms=until_ms), NOW)


# --- how long it stays open

GROWING = BreakerPolicy(recovery_timeout=10, exponential_backoff_multiplier=2)
JITTER = GROWING.model_copy(update={"randomized_wait_factor": 0.5})
CAPPED = GROWING.model_copy(update={"exponential_max_wait_duration_in_open_state": 35})


@pytest.mark.parametrize(
    ("policy", "trips", "seconds"),
    [
        (BreakerPolicy(recovery_timeout=10), 1, 10),
        (BreakerPolicy(recovery_timeout=10), 9, 10),
        (GROWING, 1, 10),
        (GROWING, 2, 20),
        (GROWING, 4, 80),
        (GROWING, 10**6, 3600),
        (CAPPED, 2, 20),
        (CAPPED, 3, 35),
        (BreakerPolicy(recovery_timeout=10, exponential_backoff_multiplier=1.5), 3, 22.5),
    ],
)
def test_the_time_open_grows_up_to_its_cap(policy: BreakerPolicy, trips: int, seconds: float) -> None:
    assert open_ms(opened(0, trips=trips), policy) == seconds * 1000


def test_chance_moves_the_time_open_within_its_bounds_and_every_asker_draws_the_same() -> None:
    drawn = {open_ms(opened(number, trips=2), JITTER) for number in range(200)}
    assert min(drawn) >= 10_000
    assert max(drawn) <= 30_000
    assert max(drawn) - min(drawn) > 15_000, "it is spread"
    assert open_ms(opened(3, trips=2), JITTER) == open_ms(opened(3, trips=2), JITTER)


PATIENT = POLICY.model_copy(update={"max_wait_duration_in_half_open_state": 10})


@pytest.mark.parametrize(
    ("since_ms", "policy", "expected"),
    [
        (NOW - 9_999, PATIENT, rules.Verdict(Decision.ADMITTED)),
        (NOW - 10_000, PATIENT, rules.Verdict(Decision.REFUSED, Why.BREAKER_OPEN, 60_000)),
        (NOW - 69_999, PATIENT, rules.Verdict(Decision.REFUSED, Why.BREAKER_OPEN, 1)),
        (NOW - 70_000, PATIENT, rules.Verdict(Decision.ADMITTED)),
        (NOW - 10**8, POLICY, rules.Verdict(Decision.ADMITTED)),
    ],
)
def test_half_open_too_long_is_open_again_from_that_moment(
    since_ms: int, policy: BreakerPolicy, expected: rules.Verdict
) -> None:
    before = half_open(OTHER, half_open_ms=since_ms)
    assert rules.admit(before, policy, NOW, MINE, RUN)[1] == expected


# --- rates

RATES = BreakerPolicy(
    failure_threshold=1000,
    sliding_window_size=20,
    minimum_number_of_calls=10,
    failure_rate_threshold=50,
    slow_call_rate_threshold=80,
    slow_call_duration_threshold=2,
)


@pytest.mark.parametrize(
    ("counts", "cause"),
    [
        pytest.param(Counts(9, 9, 9), None, id="too few calls"),
        pytest.param(Counts(10, 4, 0), None, id="below both"),
        pytest.param(Counts(10, 5, 0), BreakerCause.FAILURE_RATE, id="at the failure rate"),
        pytest.param(Counts(10, 0, 7), None, id="slow, not slow enough"),
        pytest.param(Counts(10, 0, 8), BreakerCause.SLOW_CALLS, id="at the slow rate"),
        pytest.param(Counts(20, 10, 20), BreakerCause.FAILURE_RATE, id="failures are named first"),
        pytest.param(None, None, id="not counted"),
    ],
)
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.TIMED_OUT])
def test_rates_open_a_closed_breaker(counts: Counts | None, cause: BreakerCause | None, outcome: Outcome) -> None:
    before = closed()
    after = rules.settle(before, RATES, NOW, ticket=MINE, generation=4, outcome=outcome, counts=counts)
    assert (after.state, after.cause) == (CLOSED if cause is None else OPEN, cause)


@pytest.mark.parametrize(
    ("size", "minimum", "fewest"), [(100, 10, 10), (100, 100, 91), (5, 10, 5), (1, 10, 1), (25, 100, 28)]
)
def test_no_more_calls_are_waited_for_than_a_window_holds(size: int, minimum: int, fewest: int) -> None:
    policy = RATES.model_copy(update={"sliding_window_size": size, "minimum_number_of_calls": minimum})
    assert fewest_calls(policy) == fewest


@pytest.mark.parametrize(("took_ms", "after"), [(1_999, HALF_OPEN), (2_000, OPEN)])
def test_a_slow_success_of_a_probe_counts_as_failed_where_slow_calls_are_judged(
    took_ms: int, after: BreakerState
) -> None:
    news: dict[str, Any] = {"ticket": MINE, "generation": 6, "outcome": Outcome.SUCCEEDED, "took_ms": took_ms}
    assert rules.settle(half_open(MINE), RATES, NOW, **news).state is after
    assert rules.settle(half_open(MINE), POLICY, NOW, **news).state is HALF_OPEN


@pytest.mark.parametrize(
    ("before", "outcome", "belongs"),
    [
        (closed(), Outcome.SUCCEEDED, True),
        *[(closed(), outcome, True) for outcome in FAILURES],
        *[(closed(), outcome, False) for outcome in (*NEUTRAL, Outcome.THROTTLED)],
        (opened(5), Outcome.SUCCEEDED, False),
        (half_open(MINE), Outcome.SUCCEEDED, False),
        (held(Forced.CLOSED), Outcome.SUCCEEDED, False),
        (held(Forced.DISABLED), Outcome.SUCCEEDED, False),
    ],
)
def test_only_what_is_heard_while_closed_belongs_into_a_window(
    before: Breaker, outcome: Outcome, *, belongs: bool
) -> None:
    ask: dict[str, Any] = {"ticket": MINE, "generation": before.generation, "outcome": outcome}
    assert rules.counted(before, RATES, NOW, **ask) is belongs
    assert rules.counted(before, POLICY, NOW, **ask) is False
    assert rules.counted(before, RATES, NOW, **{**ask, "generation": 99}) is False


# --- the page shows these tables


def words(breaker: Breaker) -> str:
    """Return a breaker as the page writes it."""
    parts = [breaker.state.replace("_", "-")]
    if breaker.failures:
        parts.append(f"{breaker.failures} failures" if breaker.failures > 1 else "1 failure")
    if breaker.state is HALF_OPEN:
        parts.append(f"probes out: {len(breaker.probes)}")
    if breaker.successes:
        parts.append(f"successes: {breaker.successes}")
    if breaker.cooling_until_ms > NOW:
        parts.append(f"cooling {(breaker.cooling_until_ms - NOW) / 1000:g} s")
    return ", ".join(parts)


def news(outcome: Outcome) -> str:
    """Return an outcome as the breaker hears it."""
    if outcome in FAILURES:
        return "a failure"
    return f"`{outcome}`" if outcome in {Outcome.SUCCEEDED, Outcome.THROTTLED} else "anything else"


def lost(before: Breaker) -> str:
    """Return what the page adds where the caller's place as a probe was given away."""
    return ", of a probe whose place was given away" if before.state is HALF_OPEN and MINE not in before.probes else ""


def test_the_page_shows_what_becomes_of_a_call_and_of_its_news() -> None:
    """The tables above, in its words."""
    asked = [
        (param.id, param.values[1], "" if param.values[3] is None else f"{param.values[3]:,} ms")
        for param in cases(test_admission)
    ]
    holds("breakers.md", table(("a call asks", "answer", "retry after"), asked))
    told = [(words(before), news(outcome) + lost(before), words(after)) for before, outcome, after in TABLE]
    holds("breakers.md", table(("before", "a call ends with", "after"), told))
    rates = [
        (param.id, *(("",) * 3 if counts is None else (counts.calls, counts.failures, counts.slow)), cause or "")
        for param in cases(test_rates_open_a_closed_breaker, mark=1)
        for counts, cause in [param.values]
    ]
    holds("breakers.md", table(("window", "calls", "failures", "slow", "opens by"), rates))

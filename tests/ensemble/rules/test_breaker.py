"""The circuit breaker's rules as tables: every state, every event, what comes after."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.contract.breakers import BreakerPolicy, BreakerState
from ensemble.contract.exchange import Decision, Why
from ensemble.contract.outcomes import Outcome
from ensemble.rules import breaker as rules
from ensemble.rules.records import Breaker

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
    return Breaker(state=OPEN, generation=5, opened_ms=NOW - ago_ms, **more)


def half_open(*tickets: str, **more: Any) -> Breaker:
    return Breaker(state=HALF_OPEN, generation=6, opened_ms=NOW - 70_000, probes=dict.fromkeys(tickets, RUN), **more)


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
            Breaker(state=HALF_OPEN, generation=6, opened_ms=NOW - 60_000, probes={MINE: RUN}),
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


TRIPPED_CLOSED = Breaker(state=OPEN, generation=5, opened_ms=NOW)
TRIPPED_HALF_OPEN = Breaker(state=OPEN, generation=7, opened_ms=NOW)
HEALED = Breaker(state=CLOSED, generation=7, opened_ms=NOW - 70_000)

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

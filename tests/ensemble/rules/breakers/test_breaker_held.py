"""A breaker in an operator's hand: held open, closed or disabled, for a time or for good."""

from __future__ import annotations

import pytest

from ensemble.contract.breakers import BreakerCause, BreakerForcing, Forced
from ensemble.contract.exchange import Decision, Why
from ensemble.contract.outcomes import Outcome
from ensemble.rules.breakers import breaker as rules
from ensemble.rules.records import Breaker
from tests.ensemble.rules.breakers.test_breaker import CLOSED, MINE, NOW, OPEN, POLICY, RUN, closed, held, settle

LATER = NOW + 5_000
FORCED_OPEN = Breaker(
    state=OPEN,
    generation=5,
    opened_ms=NOW,
    trips=1,
    cause=BreakerCause.OPERATOR,
    forced=BreakerForcing(state=Forced.OPEN),
)


@pytest.mark.parametrize(
    ("before", "decision", "why", "retry_after_ms"),
    [
        pytest.param(held(Forced.OPEN), Decision.REFUSED, Why.BREAKER_OPEN, None, id="held open: nobody knows when"),
        pytest.param(held(Forced.OPEN, NOW + 9), Decision.REFUSED, Why.BREAKER_OPEN, 9, id="held open for a time"),
        pytest.param(held(Forced.OPEN, NOW), Decision.ADMITTED, None, None, id="the time is over"),
        pytest.param(held(Forced.CLOSED), Decision.ADMITTED, None, None, id="held closed"),
        pytest.param(held(Forced.CLOSED, cooling_until_ms=LATER), Decision.WAIT, Why.COOLING, 5_000, id="but cooling"),
        pytest.param(held(Forced.DISABLED, cooling_until_ms=LATER), Decision.ADMITTED, None, None, id="disabled"),
    ],
)
def test_admission_by_a_held_breaker(
    before: Breaker, decision: Decision, why: Why | None, retry_after_ms: int | None
) -> None:
    assert rules.admit(before, POLICY, NOW, MINE, RUN)[1] == rules.Verdict(decision, why, retry_after_ms)


def test_forcing_begins_a_new_generation_and_letting_go_closes() -> None:
    assert rules.force(closed(failures=2), BreakerForcing(state=Forced.OPEN), NOW) == FORCED_OPEN
    freed = rules.force(FORCED_OPEN, None, NOW)
    assert (freed.state, freed.generation, freed.forced, freed.trips) == (CLOSED, 6, None, 0)


def test_a_force_that_ended_leaves_a_closed_breaker() -> None:
    after, _ = rules.admit(held(Forced.OPEN, NOW), POLICY, NOW, MINE, RUN)
    assert (after.state, after.generation, after.forced) == (CLOSED, 6, None)
    assert after.cause is BreakerCause.FORCE_ENDED


@pytest.mark.parametrize(("state", "failures"), [(Forced.CLOSED, 50), (Forced.DISABLED, 0)])
def test_nothing_opens_a_breaker_held_closed_and_a_disabled_one_hears_nothing(state: Forced, failures: int) -> None:
    after = held(state)
    for _ in range(50):
        after = settle(after, Outcome.UNAVAILABLE)
    assert (after.state, after.failures) == (CLOSED, failures)

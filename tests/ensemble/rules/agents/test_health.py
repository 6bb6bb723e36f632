"""How an agent does, as a table: its breaker, the calls of the last hour and of the last day, the word and why."""

from __future__ import annotations

import pytest

from ensemble.contract.agents import AgentHealth
from ensemble.contract.breakers import BreakerForcing, BreakerState, Forced
from ensemble.rules.agents.health import Tally, health
from ensemble.rules.records import Breaker

NOW = 1_000_000
CLOSED = Breaker()
OPEN = Breaker(state=BreakerState.OPEN)
HALF = Breaker(state=BreakerState.HALF_OPEN)
NONE, FINE, ODD, BAD = Tally(), Tally(20, 1), Tally(20, 2), Tally(20, 10)
HEALTHY, DEGRADED, FAILING, UNKNOWN = AgentHealth


def forced(state: Forced, before: Breaker = CLOSED) -> Breaker:
    return before.model_copy(update={"forced": BreakerForcing(state=state)})


@pytest.mark.parametrize(
    ("breaker", "hour", "day", "word", "why"),
    [
        (CLOSED, NONE, NONE, UNKNOWN, "nobody has called it"),
        (CLOSED, FINE, FINE, HEALTHY, "1 of 20 calls failed in the last hour"),
        (CLOSED, Tally(3), Tally(3), HEALTHY, "none of 3 calls failed"),
        (CLOSED, NONE, FINE, HEALTHY, "in the last day"),
        (CLOSED, ODD, FINE, DEGRADED, "2 of 20 calls failed in the last hour"),
        (CLOSED, FINE, BAD, HEALTHY, "in the last hour"),
        (CLOSED, NONE, BAD, FAILING, "10 of 20 calls failed in the last day"),
        (CLOSED, BAD, BAD, FAILING, "10 of 20"),
        (CLOSED, Tally(3, 3), Tally(3, 3), DEGRADED, "3 of 3"),
        (CLOSED, Tally(4, 2), Tally(4, 2), FAILING, "2 of 4"),
        (CLOSED, Tally(1, 1, 1), Tally(9, 1, 1), FAILING, "has to be put right"),
        (CLOSED.model_copy(update={"failures": 1}), NONE, NONE, DEGRADED, "last call failed"),
        (CLOSED.model_copy(update={"cooling_until_ms": NOW + 1}), FINE, FINE, DEGRADED, "asked for time"),
        (CLOSED.model_copy(update={"cooling_until_ms": NOW}), FINE, FINE, HEALTHY, "1 of 20"),
        (OPEN, FINE, FINE, FAILING, "breaker is open"),
        (HALF, FINE, FINE, DEGRADED, "half-open"),
        (HALF, BAD, BAD, FAILING, "10 of 20"),
        (forced(Forced.OPEN), FINE, FINE, FAILING, "an operator holds"),
        (forced(Forced.CLOSED, OPEN), FINE, FINE, HEALTHY, "1 of 20"),
        (forced(Forced.DISABLED, HALF), FINE, FINE, HEALTHY, "1 of 20"),
    ],
)
def test_how_an_agent_does(breaker: Breaker, hour: Tally, day: Tally, word: AgentHealth, why: str) -> None:
    """One row is one rule; earlier rules win."""
    found, said = health(breaker, NOW, hour, day)

    assert (found, why in said) == (word, True), said

"""Which outcomes are tried again, how often and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.agents.port import Reply
from ensemble.contract.outcomes import Outcome
from ensemble.engine.retry import MAX_DELAY_S, Tally, next_try


def reply(outcome: Outcome, *, sent: bool = True, allowed: bool = True, after: float | None = None) -> Reply:
    return Reply(outcome=outcome, sent=sent, retry_allowed=allowed, retry_after_s=after)


@pytest.mark.parametrize(
    ("outcome", "sent", "retry_times", "tries"),
    [
        (Outcome.SUCCEEDED, True, 5, 0),
        (Outcome.AGENT_FAILED, True, 0, 0),
        (Outcome.AGENT_FAILED, True, 2, 2),
        (Outcome.TIMED_OUT, True, 0, 0),
        (Outcome.TIMED_OUT, True, 3, 3),
        (Outcome.UNAVAILABLE, False, 0, 2),
        (Outcome.UNAVAILABLE, False, 4, 4),
        (Outcome.UNAVAILABLE, True, 0, 0),
        (Outcome.UNAVAILABLE, True, 1, 1),
        (Outcome.THROTTLED, True, 0, 5),
        (Outcome.REJECTED, True, 5, 0),
        (Outcome.MISCONFIGURED, True, 5, 0),
        (Outcome.INPUT_REQUIRED, True, 5, 0),
        (Outcome.CANCELLED, True, 5, 0),
        (Outcome.REFUSED, True, 5, 0),
        (Outcome.UNCERTAIN, True, 5, 0),
    ],
)
def test_how_often_each_outcome_is_tried_again(outcome: Outcome, sent: bool, retry_times: int, tries: int) -> None:  # noqa: FBT001
    tally, done = Tally(), 0
    while retry := next_try(reply(outcome, sent=sent), retry_times, tally, lambda: 1.0):
        tally, done = retry.tally, done + 1

    assert tries == done


def test_throttling_uses_up_no_retry() -> None:
    throttled = next_try(reply(Outcome.THROTTLED), 1, Tally(), lambda: 0.0)

    assert throttled is not None
    assert next_try(reply(Outcome.AGENT_FAILED), 1, throttled.tally, lambda: 0.0) is not None


def test_an_agent_that_says_no_more_is_believed() -> None:
    assert next_try(reply(Outcome.AGENT_FAILED, allowed=False), 5, Tally(), lambda: 1.0) is None


def test_a_call_that_may_still_run_is_said_to() -> None:
    retry = next_try(reply(Outcome.UNAVAILABLE, sent=True), 1, Tally(), lambda: 0.0)

    assert retry is not None
    assert "may still run" in retry.warning


@given(
    outcome=st.sampled_from([Outcome.AGENT_FAILED, Outcome.THROTTLED, Outcome.UNAVAILABLE]),
    counted=st.integers(0, 30),
    chance=st.floats(0, 1),
    after=st.none() | st.floats(0, 100),
)
def test_the_delay_is_jittered_bounded_and_never_before_retry_after(
    outcome: Outcome, counted: int, chance: float, after: float | None
) -> None:
    retry = next_try(reply(outcome, after=after), 100, Tally(counted=counted), lambda: chance)

    assert retry is not None
    assert (after or 0) <= retry.delay_s <= max(MAX_DELAY_S, after or 0)

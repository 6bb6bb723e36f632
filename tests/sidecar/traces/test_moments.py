"""When spans begin and end, and below which other each stands."""

from __future__ import annotations

import pytest

from ensemble.contract.exchange import PlannedStep
from ensemble.contract.outcomes import Outcome, Source, StepStatus
from sidecar.traces.moments import group_of
from tests.ensemble.rules.asks import admission, closing, first, later, settlement
from tests.ensemble.rules.store import StrictStore
from tests.sidecar.traces.laws import last_spans
from tests.sidecar.traces.stories import MINE, RUN, SECRET, START_MS, named, result


@pytest.fixture
def store() -> StrictStore:
    """An empty one."""
    return StrictStore(START_MS)


def test_two_tries_stand_below_one_step(store: StrictStore) -> None:
    """Which lasts from the first to the last."""
    one, again = admission(1), admission(2, attempt=2)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 1_000
    store.exchange(later(RUN, MINE, settle=(settlement(one, Outcome.UNAVAILABLE, ends=False, took_ms=900),)))
    store.now_ms += 3_000
    store.exchange(later(RUN, MINE, admit=(again,)))
    store.now_ms += 1_000
    store.exchange(later(RUN, MINE, settle=(settlement(again, took_ms=900),), close=closing()))

    _, step, *attempts = last_spans(store)

    assert [each.attributes["ensemble.attempt.number"] for each in attempts] == [1, 2]
    assert {each.parent_id for each in attempts} == {step.span_id}
    assert (step.start_ms, step.end_ms, step.error) == (START_MS, START_MS + 4_900, "")


def test_steps_that_nobody_was_called_for_stand_where_their_turn_was(store: StrictStore) -> None:
    """One whose agent was refused, one after it, and one that fell back on what it had kept."""
    one = admission(1)
    opening = first(RUN, MINE, admit=(one,))
    assert opening.open is not None
    steps = (
        PlannedStep(id="one", agent="left", identity="app:left"),
        PlannedStep(id="two", agent="left", identity="app:left", depends_on=("one",)),
        PlannedStep(id="three", agent="left", identity="app:left", depends_on=("two",)),
        PlannedStep(id="four", agent="left", identity="app:left"),
    )
    store.exchange(opening.model_copy(update={"open": opening.open.model_copy(update={"steps": steps})}))
    store.now_ms += 700
    ended = (
        result("two", StepStatus.REFUSED, Outcome.REFUSED),
        result("three", StepStatus.SKIPPED, "upstream_failed"),
        result(
            "four",
            StepStatus.SUCCEEDED,
            source=Source.CACHE,
            age_ms=5,
            stale=True,
            text=SECRET,
            started_ms=30,
            took_ms=9,
        ),
    )
    store.exchange(later(RUN, MINE, settle=(settlement(one, took_ms=600),), ended=ended))
    store.now_ms += 700
    store.exchange(later(RUN, MINE, close=closing()))

    spans = named(store)

    two, three, four = (spans[f"step {name}"] for name in ("two", "three", "four"))
    assert (two.start_ms, two.end_ms, two.error) == (START_MS + 600, START_MS + 600, "refused")
    assert (three.start_ms, three.error, three.attributes["ensemble.step.status"]) == (START_MS + 600, "", "skipped")
    assert (four.start_ms, four.end_ms) == (START_MS + 30, START_MS + 39)
    assert (four.attributes["ensemble.step.source"], four.attributes["ensemble.step.stale"]) == ("cache", True)


def test_parts_stand_below_their_group(store: StrictStore) -> None:
    """Though only some groups have a result, and some have nothing at all on record."""
    parts = [admission(n, step) for n, step in enumerate(("each[0]/find", "each[1]/find", "each[10]", "boss/1.facts"))]
    store.exchange(first(RUN, MINE, admit=tuple(parts)))
    store.now_ms += 100
    group = result("each", StepStatus.FAILED, Outcome.AGENT_FAILED, started_ms=0, took_ms=100)
    never = result("each[2]/find", StepStatus.CANCELLED)
    news = tuple(settlement(each, took_ms=90) for each in parts)
    store.exchange(later(RUN, MINE, settle=news, ended=(group, never), close=closing()))

    spans = named(store)

    def above(name: str) -> str:
        return next(each.name for each in spans.values() if each.span_id == spans[name].parent_id)

    assert above("step each[1]/find") == "step each[1]"
    assert above("step each[2]/find") == "step each[2]"
    assert above("step each[10]") == above("step each[1]") == "step each"
    assert above("step boss/1.facts") == "step boss"
    assert above("step each") == above("step boss") == "run parallel"
    assert spans["step each"].error == "agent_failed"
    assert "ensemble.step.status" not in spans["step boss"].attributes


@pytest.mark.parametrize(
    ("step", "group"),
    [("one", None), ("each[3]", "each"), ("a/b", "a"), ("a[3]/b", "a[3]"), ("a/b[3]", "a/b"), ("/odd", None)],
)
def test_which_group_a_part_is_of(step: str, group: str | None) -> None:
    """By its id alone."""
    assert group_of(step) == group


def test_a_book_that_is_handed_in_whole_has_the_engines_times(store: StrictStore) -> None:
    """The run began before the sidecar heard of it."""
    one, two = admission(1), admission(2, "two")
    news = (settlement(one, started_ms=5, took_ms=1_000), settlement(two, started_ms=1_010, took_ms=2_000))
    store.now_ms += 60_000
    store.exchange(first(RUN, MINE, late=(one, two), settle=news, close=closing()))

    spans = last_spans(store)

    end_ms = START_MS + 60_000
    run, attempts = spans[0], spans[-2:]
    assert (run.start_ms, run.end_ms) == (end_ms - 3_010, end_ms)
    assert [(each.start_ms, each.end_ms) for each in attempts] == [
        (end_ms - 3_005, end_ms - 2_005),
        (end_ms - 2_000, end_ms),
    ]
    assert all(each.attributes["ensemble.attempt.late"] is True for each in attempts)


def test_an_engines_clock_is_believed_within_reason(store: StrictStore) -> None:
    """No span begins before the first of January 1970."""
    one = admission(1)
    news = settlement(one, started_ms=10**17, took_ms=10**17)
    store.exchange(first(RUN, MINE, late=(one,), settle=(news,), close=closing()))
    store.now_ms = 10**13

    assert all(each.start_ms >= START_MS - 24 * 3_600_000 for each in last_spans(store))


def test_a_settlement_that_came_long_after_does_not_make_a_call_long(store: StrictStore) -> None:
    """The sidecar was away."""
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 20_000
    store.exchange(later(RUN, MINE, settle=(settlement(one, took_ms=150),), close=closing()))

    attempt = last_spans(store)[-1]

    assert attempt.end_ms - attempt.start_ms == 150

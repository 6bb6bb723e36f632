"""Spans of single stories: what each tells, when it was, and what nobody is told."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.exchange import LEASE_MS, Remote
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import ErrorInfo, Usage
from ensemble.contract.tracing import attempt_span, run_span, w3c_trace_id
from ensemble.rules.addresses import run_hash
from ensemble.rules.happenings import RunClosed
from ensemble.rules.records import About
from ensemble.rules.runs.ending import cancel, ending_wants
from tests.ensemble.rules.asks import admission, closing, first, hex_id, later, settlement
from tests.ensemble.rules.lineage.family import opened
from tests.ensemble.rules.store import StrictStore
from tests.sidecar.traces.laws import last_spans
from tests.sidecar.traces.stories import MINE, RUN, SECRET, START_MS, THEIRS, called, named, result, swept


@pytest.fixture
def store() -> StrictStore:
    """An empty one."""
    return StrictStore(START_MS)


def test_a_run_its_step_and_its_attempt(store: StrictStore) -> None:
    """Times are the store's, but for how long the call took."""
    one = called(1, "model:openai/chat/gpt-9#0123456789abcdef")
    store.now_ms += 10
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 500
    usage = Usage(tokens=7, price=Decimal("0.25"), currency="USD")
    news = settlement(one, usage=usage, took_ms=480, remote=Remote(workflow_run_id="dify-7", conversation_id=SECRET))
    store.exchange(later(RUN, MINE, settle=(news,)))
    store.now_ms += 5
    store.exchange(later(RUN, MINE, close=closing()))

    run, step, attempt = last_spans(store)

    assert (run.name, step.name, attempt.name) == ("run parallel", "step one", "invoke_agent left")
    assert (run.parent_id, step.parent_id, attempt.parent_id) == ("", run.span_id, step.span_id)
    assert (run.start_ms, run.end_ms) == (START_MS + 10, START_MS + 515)
    assert (attempt.start_ms, attempt.end_ms) == (step.start_ms, step.end_ms) == (START_MS + 10, START_MS + 490)
    assert (run.outgoing, step.outgoing, attempt.outgoing) == (False, False, True)
    assert run.attributes == {
        "ensemble.tenant": "us",
        "ensemble.run.id": hex_id(RUN),
        "ensemble.trace_id": "trace",
        "ensemble.run.epoch": 1,
        "ensemble.run.status": "succeeded",
        "ensemble.run.pattern": "parallel",
        "ensemble.run.depth": 1,
        "ensemble.run.steps_kept": 0,
        "ensemble.usage.tokens": 7,
        "ensemble.usage.estimated": False,
        "gen_ai.operation.name": "invoke_workflow",
    }
    assert step.attributes == {
        "ensemble.tenant": "us",
        "ensemble.run.id": hex_id(RUN),
        "ensemble.step.id": "one",
        "ensemble.step.status": "succeeded",
        "ensemble.step.source": "agent",
        "gen_ai.agent.name": "left",
    }
    assert attempt.attributes == {
        "ensemble.tenant": "us",
        "ensemble.run.id": hex_id(RUN),
        "ensemble.step.id": "one",
        "ensemble.attempt.ticket": hex_id(1),
        "ensemble.attempt.number": 1,
        "ensemble.attempt.outcome": "succeeded",
        "ensemble.dify.workflow_run_id": "dify-7",
        "ensemble.usage.tokens": 7,
        "ensemble.usage.estimated": False,
        "ensemble.usage.price": 0.25,
        "ensemble.usage.currency": "USD",
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "dify",
        "gen_ai.agent.name": "left",
        "gen_ai.agent.id": "model:openai/chat/gpt-9#0123456789abcdef",
        "gen_ai.request.model": "gpt-9",
    }


def test_nothing_that_was_given_or_said_is_told(store: StrictStore) -> None:
    """Not the task, not results, not the words of errors, not what callers name their runs by."""
    one, two = admission(1, content=SECRET), admission(2, "two", content=SECRET)
    opening = first(RUN, MINE, SECRET, admit=(one, two))
    assert opening.open is not None
    known = opening.open.model_copy(update={"task": SECRET, "end_user": SECRET})
    store.exchange(opening.model_copy(update={"open": known}))
    told = result("one", StepStatus.SUCCEEDED, text=SECRET, data={"x": SECRET}, sources=(SECRET,), source=Source.AGENT)
    why = ErrorInfo(code=Outcome.AGENT_FAILED, message=SECRET)
    failed = settlement(two, Outcome.AGENT_FAILED).model_copy(update={"error": why})
    close = closing(RunStatus.FAILED).model_copy(update={"answer": SECRET, "warnings": (SECRET,)})
    news = settlement(one, ends=False).model_copy(update={"result": told})
    ended = (result("three", StepStatus.SKIPPED, Outcome.REFUSED),)
    store.exchange(later(RUN, MINE, settle=(news, failed), ended=ended, close=close))

    spans = last_spans(store)

    assert len(spans) == 6
    assert SECRET not in repr(spans)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        *((each, "") for each in (Outcome.SUCCEEDED, Outcome.CANCELLED, Outcome.INPUT_REQUIRED)),
        *(
            (each, each.value)
            for each in (
                Outcome.AGENT_FAILED, Outcome.THROTTLED, Outcome.UNAVAILABLE, Outcome.TIMED_OUT, Outcome.REJECTED,
                Outcome.MISCONFIGURED, Outcome.UNCERTAIN,
            )
        ),
    ],
)  # fmt: skip
def test_an_attempt_that_failed_is_an_error_by_its_outcome(store: StrictStore, outcome: Outcome, error: str) -> None:
    """What we ended ourselves is none."""
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.exchange(later(RUN, MINE, settle=(settlement(one, outcome),), close=closing()))

    attempt = named(store)["invoke_agent left"]

    assert attempt.error == error
    assert attempt.attributes["ensemble.attempt.outcome"] == outcome.value


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (RunStatus.SUCCEEDED, ""),
        (RunStatus.PARTIAL, ""),
        (RunStatus.CANCELLED, ""),
        (RunStatus.FAILED, "failed"),
        (RunStatus.TIMED_OUT, "timed_out"),
    ],
)
def test_a_run_that_failed_is_an_error(store: StrictStore, status: RunStatus, error: str) -> None:
    """One that had no step at all, too."""
    store.exchange(first(RUN, MINE, close=closing(status)))

    (run,) = last_spans(store)

    assert (run.error, run.attributes["ensemble.run.status"]) == (error, status.value)


def test_a_run_that_was_opened_again_tells_only_of_what_was_done_again(store: StrictStore) -> None:
    """And is linked to what was before it."""
    one, two = admission(1), admission(2, "two")
    store.exchange(first(RUN, MINE, admit=(one, two)))
    store.now_ms += 100
    store.exchange(
        later(
            RUN, MINE, settle=(settlement(one), settlement(two, Outcome.AGENT_FAILED)), close=closing(RunStatus.PARTIAL)
        )
    )
    before = named(store)
    again = admission(3, "two")
    store.now_ms += 60_000
    store.exchange(first(2, THEIRS, admit=(again,)))
    store.now_ms += 100
    store.exchange(later(RUN, THEIRS, 2, settle=(settlement(again),), close=closing()))

    now = named(store)

    assert set(before) == {"run parallel", "step one", "step two", "invoke_agent left"}
    assert set(now) == {"run parallel", "step two", "invoke_agent left"}
    run = now["run parallel"]
    assert run.links == ((w3c_trace_id("trace"), run_span(hex_id(RUN), 1)),)
    assert run.span_id != before["run parallel"].span_id
    assert run.attributes["ensemble.run.epoch"] == 2
    assert run.attributes["ensemble.run.steps_kept"] == 1
    assert run.start_ms == START_MS + 60_100


def test_an_engine_that_is_lost_leaves_an_error_and_uncertain_attempts(store: StrictStore) -> None:
    """It ends with its lease, whenever that was noticed."""
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 70_000
    swept(store)

    run, step, attempt = last_spans(store)

    assert (run.error, run.attributes["ensemble.run.status"]) == ("engine_lost", "running")
    assert (attempt.error, attempt.attributes["ensemble.usage.estimated"]) == ("uncertain", True)
    assert (run.end_ms, attempt.end_ms) == (START_MS + LEASE_MS, START_MS + LEASE_MS)
    assert "ensemble.step.status" not in step.attributes


def test_an_engine_that_was_followed_by_another_is_told_of_as_it_was(store: StrictStore) -> None:
    """Not by what its heir has done since."""
    one, again = admission(1), admission(2)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += LEASE_MS
    store.exchange(first(2, THEIRS, admit=(again,)))
    store.exchange(later(RUN, THEIRS, 2, settle=(settlement(again),)))

    run, _, attempt = last_spans(store)

    assert (run.error, run.attributes["ensemble.run.epoch"]) == ("engine_lost", 1)
    assert attempt.span_id == attempt_span(one.ticket)


def test_an_earlier_call_that_was_asked_after_is_linked_from_the_step(store: StrictStore) -> None:
    """It has its span already, below the engine that made it."""
    one = admission(1)
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += LEASE_MS
    store.exchange(first(2, THEIRS))
    store.now_ms += 100
    store.exchange(later(RUN, THEIRS, 2, settle=(settlement(one),), close=closing()))

    run, step = last_spans(store)

    assert step.links == ((run.trace_id, attempt_span(one.ticket)),)
    assert run.attributes["ensemble.run.steps_kept"] == 0


def test_a_breaker_that_opens_is_an_event_of_the_attempt_that_opened_it(store: StrictStore) -> None:
    """With why."""
    one = admission(1, breaker=BreakerPolicy(failure_threshold=1))
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.now_ms += 2_000
    store.exchange(later(RUN, MINE, settle=(settlement(one, Outcome.AGENT_FAILED, took_ms=100),), close=closing()))

    (event,) = last_spans(store)[-1].events

    assert event.name == "ensemble.breaker"
    assert event.attributes == {
        "ensemble.breaker.before": "closed",
        "ensemble.breaker.after": "open",
        "ensemble.breaker.cause": "failures",
    }


def test_a_run_cancelled_while_nobody_ran_it_is_told_of_once(store: StrictStore) -> None:
    """As cancelled, not as lost."""
    store.exchange(first(RUN, MINE, admit=(admission(1),)))
    store.now_ms += LEASE_MS
    store.apply(partial(cancel, hex_id(RUN)), ending_wants(hex_id(RUN)))

    run, _, attempt = last_spans(store)

    assert (run.error, run.attributes["ensemble.run.status"]) == ("", "cancelled")
    assert attempt.error == "uncertain"


def test_a_python_function_is_no_call_to_somebody_else(store: StrictStore) -> None:
    """Nor is there a provider."""
    one = called(1, "python:desk.ask#experts")
    store.exchange(first(RUN, MINE, admit=(one,)))
    store.exchange(later(RUN, MINE, settle=(settlement(one),), close=closing()))

    attempt = last_spans(store)[-1]

    assert not attempt.outgoing
    assert "gen_ai.provider.name" not in attempt.attributes


def test_a_nested_run_hangs_below_the_call_it_was_opened_in(store: StrictStore) -> None:
    """And says whose that is."""
    outer = opened(store, 1, "app:a")
    outer.call(1, "app:b")
    inner = opened(store, 2, "app:b", parent=outer.parent(1))
    inner.close()

    (run,) = last_spans(store)

    assert run.parent_id == attempt_span(hex_id(1))
    assert (run.attributes["ensemble.run.parent_id"], run.attributes["ensemble.run.depth"]) == (outer.run_id, 2)


def test_a_call_of_another_trace_is_a_link_and_no_parent(store: StrictStore) -> None:
    """A run stays in the trace it was opened in first, whoever's call it is opened in again."""
    outer = opened(store, 1, "app:a")
    outer.call(1, "app:b")
    opened(store, 2, "app:b", parent=outer.parent(1)).close()
    end = store.news[-1]
    assert isinstance(end, RunClosed)
    about = About(run_key="k", fingerprint="0" * 64, trace_id="another", task="", pattern="parallel")
    store.hashes[run_hash(outer.run_id)]["about"] = about.model_dump_json()

    (run,) = last_spans(store)

    assert run.parent_id == ""
    assert run.links == ((w3c_trace_id("another"), attempt_span(hex_id(1))),)

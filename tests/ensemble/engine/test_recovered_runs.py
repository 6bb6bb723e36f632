"""A step that something stood in for, in the life of its run: deadlines, places, streams, records, repeated calls."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import ErrorInfo
from ensemble.engine.attempts.falling import Falling
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.events import AnswerText
from ensemble.engine.ledger.book import Book
from ensemble.engine.state import RunState
from ensemble.engine.steps import Phase
from tests.ensemble.engine.falls import one, result
from tests.ensemble.engine.kit import Scripted, bad, good, play, request, slow


def test_the_record_says_whom_each_attempt_called() -> None:
    book = Book()
    agents = {
        "a": Scripted("a", [bad(Outcome.MISCONFIGURED)], host="http://one"),
        "b": Scripted("b", host="http://two"),
    }

    played = one(agents, book=book, fallback="b")

    view = book.run(played.report.run_id)
    assert [(each.agent, each.identity, each.outcome) for each in view.attempts] == [
        ("a", agents["a"].identity, Outcome.MISCONFIGURED),
        ("b", agents["b"].identity, Outcome.SUCCEEDED),
    ]
    assert view.results == (result(played),)
    assert {each.identity: each.failures for each in book.breakers([agents["a"].identity, agents["b"].identity])} == {}


def test_every_place_is_given_back_where_it_was_taken() -> None:
    """An agent and its backup stand at different hosts, each with one place."""
    hosts = Hosts()
    agents = {"a": Scripted("a", [bad()], host="http://one"), "b": Scripted("b", host="http://two")}
    steps = [{"id": f"s{number}", "agent": "a", "fallback": "b"} for number in range(6)]
    touchy = {"steps": steps, "defaults": {"breaker": {"failure_threshold": 3}}}

    played = play(touchy, agents, hosts=hosts, host_parallel=1, timeout_s=20)

    assert {each.source for each in played.report.results} == {Source.BACKUP}
    assert (hosts.taken("http://one"), hosts.taken("http://two")) == (0, 0)
    assert (agents["a"].peak, agents["b"].peak) == (1, 1)


def test_no_backup_is_called_once_the_runs_time_has_passed() -> None:
    """What the deadline cuts is cancelled, and nothing stands in for it."""
    agents = {"a": Scripted("a", [slow(5)]), "b": Scripted("b")}

    played = one(agents, fallback={"agent": "b", "default": "x"}, run_timeout_s=0.2)

    assert (played.report.status, result(played).status.value) == (RunStatus.TIMED_OUT, "cancelled")
    assert agents["b"].calls == []


def test_a_step_that_timed_out_by_itself_has_its_backup() -> None:
    agents = {"a": Scripted("a", [slow(5)]), "b": Scripted("b", [good("quick")])}

    played = one(agents, fallback="b", timeout=0.1)

    assert (result(played).text, played.seconds < 3) == ("quick", True)


def test_what_follows_streamed_text_does_not_stream() -> None:
    """The backup's text is in the answer, whole, and a warning says that the stream was not."""

    def breaks_off(_call: Call, scope: CallScope) -> Reply:
        scope.text("half a ")
        return bad()

    def speaks(call: Call, scope: CallScope) -> Reply:
        if call.stream is not False:
            scope.text("whole")
        return good("whole")

    agents = {"a": Scripted("a", [breaks_off]), "b": Scripted("b", [speaks])}

    played = one(agents, fallback="b", stream=True)

    assert [event.text for event in played.events if isinstance(event, AnswerText)] == ["half a "]
    assert played.report.answer == "whole"
    assert agents["b"].calls[0].stream is False
    assert any("not the answer" in warning for warning in played.report.warnings)


@pytest.mark.parametrize("source", [Source.CACHE, Source.BACKUP, Source.DEFAULT, Source.AGENT])
def test_on_reopening_only_what_agents_gave_is_kept(source: Source) -> None:
    """A step that something stood in for is done again, by its agent; the other one failed, so the run is opened."""
    book = Book()
    script = {Source.AGENT: [good("mine")], Source.CACHE: [good("kept"), bad(), good("mine")]}
    agents = {
        "a": Scripted("a", script.get(source, [bad(), good("mine")])),
        "b": Scripted("b", [good("from b")]),
        "z": Scripted("z", [bad(), good("z")]),
    }
    configured: dict[Source, dict[str, Any]] = {
        Source.CACHE: {"cache": 60},
        Source.BACKUP: {"fallback": "b"},
        Source.DEFAULT: {"fallback": {"default": "value"}},
        Source.AGENT: {"fallback": "b"},
    }
    fields = configured[source]
    if source is Source.CACHE:
        one(agents, book=book, **fields)
    plan = {"steps": [{"id": "a", "agent": "a", **fields}, {"id": "z", "agent": "z"}]}

    first = play(plan, agents, ledger=book, run_key="k")
    calls = len(agents["a"].calls)
    again = play(plan, agents, ledger=book, run_key="k")

    assert (result(first).source, first.report.status) == (source, RunStatus.PARTIAL)
    assert (result(again).source, result(again).text) == (Source.AGENT, "mine")
    assert len(agents["a"].calls) - calls == (0 if source is Source.AGENT else 1)
    assert again.report.run_id == first.report.run_id


def test_a_run_that_recovered_is_over_and_told_again() -> None:
    book, agents = Book(), {"a": Scripted("a", [bad(), good()])}

    first = one(agents, book=book, fallback={"default": "value"}, run_run_key="k")
    again = one(agents, book=book, fallback={"default": "value"}, run_run_key="k")

    assert again.report.replayed
    assert (result(again), again.report.answer) == (result(first), "value")
    assert again.report.warnings[0] == first.report.warnings[0]


def test_cache_and_fallback_are_no_part_of_what_a_run_is() -> None:
    book, agents = Book(), {"a": Scripted("a", [bad(), good("mine")]), "b": Scripted("b")}

    first = one(agents, book=book, run_run_key="k")
    again = one(agents, book=book, cache=True, fallback={"agent": "b", "default": 1}, run_run_key="k")

    assert (first.report.run_id, result(again).text) == (again.report.run_id, "mine")


def test_past_the_deadline_a_value_may_stand_in_and_no_attempt_begins() -> None:
    """An agent may say at the last moment that it failed, before the run is cut short."""
    agents = {"a": Scripted("a"), "b": Scripted("b")}
    asked = request({"steps": [{"agent": "a", "fallback": {"agent": "b", "default": "x"}}]}, agents)
    state = RunState(asked)
    falling, step = Falling(state, Book(), {"a": Call(query="q")}), state.steps["a"]
    error = ErrorInfo(code=Outcome.AGENT_FAILED, message="broke")
    state.deadline_s = time.monotonic() - 1

    ended = falling.fall(step, StepStatus.FAILED, error, Outcome.AGENT_FAILED)

    assert ended is not None
    assert (ended.text, ended.source, step.step.agent) == ("x", Source.DEFAULT, "a")
    state.deadline_s = time.monotonic() + 60
    step.fallen = None
    assert falling.fall(step, StepStatus.FAILED, error, Outcome.AGENT_FAILED) is None
    assert (step.step.agent, step.phase) == ("b", Phase.READY)

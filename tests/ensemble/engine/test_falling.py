"""What stands in for an agent that failed: for every way to fail, whatever is configured, in the one order there is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import Why
from ensemble.contract.outcomes import Outcome, RunStatus, Source
from ensemble.engine.book import Book
from ensemble.engine.events import AnswerText
from ensemble.engine.falling import Link, links
from ensemble.engine.hosts import Hosts
from tests.ensemble.engine.falls import HOUR_MS, Shelf, failing, one, result
from tests.ensemble.engine.kit import Scripted, bad, good, play, slow

FALLS = (
    Outcome.AGENT_FAILED,
    Outcome.THROTTLED,
    Outcome.UNAVAILABLE,
    Outcome.TIMED_OUT,
    Outcome.REJECTED,
    Outcome.MISCONFIGURED,
    Outcome.REFUSED,
)
STANDS = (Outcome.INPUT_REQUIRED, Outcome.CANCELLED, Outcome.UNCERTAIN, Outcome.SUCCEEDED)
REPLIED = tuple(outcome for outcome in FALLS if outcome is not Outcome.REFUSED)


# --- the rule


def test_the_two_lists_are_all_outcomes() -> None:
    assert {*FALLS, *STANDS} == {*Outcome}


@pytest.mark.parametrize("outcome", FALLS)
@pytest.mark.parametrize(("cached", "backup", "default"), list(itertools.product([False, True], repeat=3)))
def test_what_is_configured_is_tried_in_order(outcome: Outcome, cached: bool, backup: bool, default: bool) -> None:  # noqa: FBT001
    wanted = [link for link, there in ((Link.CACHE, cached), (Link.BACKUP, backup), (Link.DEFAULT, default)) if there]

    assert list(links(outcome, cached=cached, backup=backup, default=default)) == wanted


@pytest.mark.parametrize("outcome", STANDS)
def test_nothing_stands_in_for_what_did_not_fail(outcome: Outcome) -> None:
    assert links(outcome, cached=True, backup=True, default=True) == ()


@pytest.mark.parametrize("why", Why)
def test_a_refusal_of_the_run_itself_is_final(why: Why) -> None:
    ends = why in {Why.CANCELLED, Why.SUPERSEDED}

    assert bool(links(Outcome.REFUSED, why, default=True)) is not ends


@given(
    outcome=st.sampled_from(Outcome),
    why=st.none() | st.sampled_from(Why),
    given_=st.fixed_dictionaries(dict.fromkeys(("first", "cached", "backup", "default", "in_time"), st.booleans())),
)
def test_the_order_is_never_violated(outcome: Outcome, why: Why | None, given_: dict[str, bool]) -> None:
    """Each link once, in the order of the chain; the cache for the plan's agent only, no attempt past the deadline."""
    found = links(outcome, why, **given_)

    assert list(found) == [link for link in Link if link in found]
    assert Link.CACHE not in found or (given_["first"] and given_["cached"])
    assert Link.BACKUP not in found or (given_["backup"] and given_["in_time"])
    assert Link.DEFAULT not in found or given_["default"]


# --- runs


@pytest.mark.parametrize("outcome", REPLIED)
@pytest.mark.parametrize("link", ["fresh", "stale", "backup", "default", "nothing"])
def test_every_way_to_fail_meets_every_link(outcome: Outcome, link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first link there is, is used; it is told, and nothing is an error but the last row."""
    monkeypatch.setattr("ensemble.engine.retry.THROTTLED_RETRIES", 1)
    book, agents = Shelf(), {"a": Scripted("a", failing(outcome)), "b": Scripted("b", [good("from b")])}
    configured: dict[str, dict[str, Any]] = {
        "fresh": {"cache": {"fresh": 60, "stale": 60}, "fallback": {"agent": "b", "default": "value"}},
        "stale": {"cache": {"fresh": 0, "stale": 7200}, "fallback": {"agent": "b", "default": "value"}},
        "backup": {"fallback": {"agent": "b", "default": "value"}},
        "default": {"fallback": {"default": "value"}},
        "nothing": {},
    }
    fields = configured[link]
    one(agents, book=book, **fields)
    book.ahead_ms += HOUR_MS if link == "stale" else 1000

    played = one(agents, book=book, **fields)

    got = result(played)
    wanted = {
        "fresh": ("before", Source.CACHE, "a"),
        "stale": ("before", Source.CACHE, "a"),
        "backup": ("from b", Source.BACKUP, "b"),
        "default": ("value", Source.DEFAULT, "a"),
        "nothing": ("", None, "a"),
    }[link]
    assert (got.text, got.source, got.agent) == wanted
    if link == "nothing":
        assert got.error is not None
        assert got.error.code == outcome
        assert played.report.status is RunStatus.FAILED
        return
    assert got.error is None
    assert played.report.status is RunStatus.SUCCEEDED
    (line,) = (warning for warning in played.report.warnings if warning.startswith("a: "))
    assert line.startswith(f"a: {outcome}: it was {outcome}; ")
    assert (got.age_ms is not None, got.stale) == (link in {"fresh", "stale"}, link == "stale")
    assert ("a stale answer from the cache, 60 min old" in line) is (link == "stale")


@pytest.mark.parametrize("outcome", [Outcome.INPUT_REQUIRED, Outcome.CANCELLED, Outcome.UNCERTAIN])
def test_nothing_stands_in_for_these(outcome: Outcome) -> None:
    agents = {"a": Scripted("a", [bad(outcome)]), "b": Scripted("b")}

    played = one(agents, fallback={"agent": "b", "default": 1})

    assert result(played).source is None
    assert agents["b"].calls == []
    assert played.report.warnings == ()


@pytest.mark.parametrize("link", ["cache", "backup", "default", "nothing"])
def test_an_open_breaker_falls_back_at_once(link: str) -> None:
    """The agent is not called; a step that was refused recovers without an attempt of its own."""
    book, agents = Shelf(), {"a": Scripted("a", [good("before"), bad()]), "b": Scripted("b", [good("from b")])}
    configured: dict[str, dict[str, Any]] = {
        "cache": {"cache": True},
        "backup": {"fallback": "b"},
        "default": {"fallback": {"default": [1, 2]}},
        "nothing": {},
    }
    fields = configured[link]
    touchy = {"defaults": {"breaker": {"failure_threshold": 1}}}
    one(agents, book=book, run_plan=touchy, cache=True)
    one(agents, book=book, run_plan=touchy)

    played = one(agents, book=book, run_plan=touchy, **fields)

    assert len(agents["a"].calls) == 2
    got = result(played)
    assert (got.text, got.source, got.attempts) == {
        "cache": ("before", Source.CACHE, 0),
        "backup": ("from b", Source.BACKUP, 1),
        "default": ("[1, 2]", Source.DEFAULT, 0),
        "nothing": ("", None, 0),
    }[link]
    assert link == "nothing" or "refused: " in played.report.warnings[0]


def test_a_spent_budget_refuses_the_backup_too_and_the_default_is_used() -> None:
    """The backup asks for admission like anybody, and is refused like anybody."""
    agents = {"a": Scripted("a"), "b": Scripted("b"), "c": Scripted("c")}
    plan = {"steps": [{"agent": "c"}, {"agent": "a", "depends_on": "c", "fallback": {"agent": "b", "default": "poor"}}]}

    played = play(plan, agents, limits=Limits(calls=1))

    assert (result(played).text, result(played).source) == ("poor", Source.DEFAULT)
    assert (agents["a"].calls, agents["b"].calls) == ([], [])
    (line,) = played.report.warnings
    assert line.count("refused: ") == 2
    assert "its backup 'b'" in line


def test_the_backup_is_given_the_same_with_inputs_of_its_own() -> None:
    """And its own timeouts and retries; the step's where it has none."""
    agents = {"a": Scripted("a", [bad(retry=False)]), "b": Scripted("b", [bad(), bad(), good("at last")])}
    plan = {
        "agents": {"a": {"inputs": {"tone": "of a"}}, "b": {"inputs": {"tone": "of b"}, "retry_times": 2}},
        "steps": [{"agent": "a", "inputs": {"q": "{{ task }}!"}, "fallback": "b", "retry_times": 0}],
    }

    played = play(plan, agents)

    (first,), calls = agents["a"].calls, agents["b"].calls
    assert result(played).text == "at last"
    assert [call.inputs for call in calls] == [{"q": "do it!"}] * 3
    assert (first.fixed_inputs, calls[0].fixed_inputs) == ({"tone": "of a"}, {"tone": "of b"})
    assert (result(played).attempts, result(played).usage.tokens) == (4, 10)


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


def test_a_backup_of_a_backup_is_followed_and_the_nearest_value_counts() -> None:
    agents = {name: Scripted(name, [bad(message=f"{name} broke")]) for name in "abc"}
    declared = {"b": {"fallback": {"agent": "c", "default": "far"}}}

    near = one(agents, run_plan={"agents": declared}, fallback={"agent": "b", "default": "near"})
    far = one(agents, run_plan={"agents": declared}, fallback="b")
    none = one(agents, run_plan={"agents": {"b": {"fallback": "c"}}}, fallback="b")

    assert [result(played).text for played in (near, far, none)] == ["near", "far", ""]
    error = result(none).error
    assert error is not None
    assert error.message == "a broke. Its backup 'b': agent_failed: b broke. Its backup 'c': agent_failed: c broke."
    assert result(none).agent == "a"
    assert [len(agents[name].calls) for name in "abc"] == [3, 3, 3]


def test_a_recovered_step_is_a_success_for_all_that_depends_on_it() -> None:
    """Joins, conditions, templates, fail_fast."""
    agents = {"a": Scripted("a", [bad()]), "w": Scripted("w")}
    plan = {
        "steps": [
            {"id": "a", "agent": "a", "fallback": {"default": {"score": 7, "answer": "about {{ task }}"}}},
            {
                "id": "w",
                "agent": "w",
                "when": "{{ a.score }} > 5",
                "inputs": {"x": "{{ a.text }}", "n": "{{ a.score }}"},
            },
        ]
    }

    played = play(plan, agents, fail_fast=True)

    assert played.report.status is RunStatus.SUCCEEDED
    assert agents["w"].calls[0].inputs == {"x": "about do it", "n": 7}
    assert not played.report.failed_hard


@pytest.mark.parametrize(
    ("default", "text", "data"),
    [
        ("plain", "plain", {"text": "plain"}),
        ("", "", {"text": ""}),
        (0, "0", {"output": 0}),
        (False, "false", {"output": False}),
        (["x"], '["x"]', {"output": ["x"]}),
        ({}, "", {}),
        ({"report": "r", "n": 1}, "r", {"report": "r", "n": 1}),
        ({"n": 1, "m": 2}, '{"n": 1, "m": 2}', {"n": 1, "m": 2}),
        ("{{ start.x }}", "4", {"output": 4}),
    ],
)
def test_a_default_is_read_like_an_agents_outputs(default: Any, text: str, data: dict[str, Any]) -> None:
    played = one({"a": Scripted("a", [bad()])}, fallback={"default": default}, run_inputs={"x": 4})

    assert (result(played).text, result(played).data) == (text, data)


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


@settings(max_examples=60, deadline=None)
@given(
    good_ones=st.sets(st.sampled_from("abcd")),
    backups=st.lists(st.sampled_from("bcd"), unique=True),
    default=st.booleans(),
    kept=st.none() | st.sampled_from(["fresh", "stale", "old"]),
)
def test_in_a_run_too_the_first_link_that_holds_is_used(
    good_ones: set[str],
    backups: list[str],
    default: bool,  # noqa: FBT001
    kept: str | None,
) -> None:
    """Whatever agents answer and whatever is configured: agent, cache, each backup in turn, default, error."""
    book = Shelf()
    agents = {name: Scripted(name, [good(f"by {name}")]) for name in "abcd"}
    chain: dict[str, Any] = dict(zip(["a", *backups], [*backups, None], strict=True))
    plan: dict[str, Any] = {
        "agents": {name: {"fallback": after} for name, after in chain.items() if after},
        "steps": [{"id": "a", "agent": "a"}],
    }
    if default:
        plan["agents"][[*chain][-1]] = {"fallback": {"default": "value"}}
    if kept:
        plan["steps"][0]["cache"] = {"fresh": 100, "stale": 100}
        play(plan, agents, ledger=book)
        book.ahead_ms += {"fresh": 50_000, "stale": 150_000, "old": 250_000}[kept]
    agents = {
        name: Scripted(name, [good(f"by {name}") if name in good_ones else bad(Outcome.REJECTED)]) for name in "abcd"
    }

    got = result(play(plan, agents, ledger=book))

    working = [name for name in ["a", *backups] if name in good_ones]
    wanted: tuple[str, Source | None]
    if "a" in good_ones:
        wanted = ("by a", Source.AGENT)
    elif kept in {"fresh", "stale"}:
        wanted = ("by a", Source.CACHE)
    elif working:
        wanted = (f"by {working[0]}", Source.BACKUP)
    else:
        wanted = ("value", Source.DEFAULT) if default else ("", None)
    assert (got.text, got.source) == wanted
    assert got.stale is (kept == "stale" and got.source is Source.CACHE)
    tried = [name for name in ["a", *backups] if agents[name].calls]
    assert tried == (["a", *backups][: len(tried)])

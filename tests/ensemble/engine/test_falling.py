"""What stands in for an agent that failed: for every way to fail, whatever is configured, in the one order there is."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.contract.budgets import Limits
from ensemble.contract.outcomes import Outcome, RunStatus, Source
from tests.ensemble.engine.falls import HOUR_MS, REPLIED, Shelf, failing, one, result
from tests.ensemble.engine.kit import Scripted, bad, good, play


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


def test_a_backup_has_retries_of_its_own() -> None:
    """Those of the step, counted anew."""
    agents = {"a": Scripted("a", [bad()]), "b": Scripted("b", [bad(), good("from b")])}

    played = one(agents, fallback="b", retry_times=1)

    assert (result(played).text, result(played).attempts) == ("from b", 4)


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

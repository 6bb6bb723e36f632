"""A team in a Python program: its patterns, its limits, what it refuses, and runs side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ensemble import team as surface
from ensemble.team import AnswerText, Call, Event, PlanError, Progress, Report, StepResult, Team

ROOT = Path(__file__).resolve().parents[3]


def by_step(report: Report) -> dict[str, StepResult]:
    return {result.step: result for result in report.results}


def says(words: str) -> Callable[[str], str]:
    return lambda text: f"{words}({text})"


def sleeps(seconds: float) -> Callable[[str], str]:
    def wait(_text: str) -> str:
        threading.Event().wait(seconds)
        return "late"

    return wait


# --- patterns


def test_one_after_another_each_is_given_the_answer_before_it() -> None:
    report = Team({"a": says("A"), "b": says("B"), "c": says("C")}).sequential("x", ["a", "b"])

    assert ("succeeded", "B(x\n\n### a\nA(x))", ["a", "b"]) == (report.status, report.answer, list(by_step(report)))


def test_one_after_another_all_answers_on_request() -> None:
    report = Team({"a": says("A"), "b": says("B"), "c": says("C")}).sequential("x", context="all")

    assert "### a" in report.answer
    assert "### b" in report.answer


def test_side_by_side_they_work_at_the_same_time_and_one_makes_an_answer_of_all() -> None:
    """Each waits until all three are at work."""
    together = threading.Barrier(3)

    def meet(_text: str) -> str:
        together.wait(20)
        return "met"

    report = Team({"a": meet, "b": meet, "c": meet, "last": says("all")}).parallel("x", synthesizer="last")

    assert report.answer == "all(x\n\n### a\nmet\n\n### b\nmet\n\n### c\nmet)"


def test_a_plan_mixes_functions_and_their_types() -> None:
    """Given as YAML; inputs become arguments, values stay what they are."""

    def count(rows: list[int], factor: int) -> dict[str, Any]:
        return {"total": sum(rows) * factor, "rows": rows}

    def tell(total: int, first: int) -> str:
        return f"{total + 1} {first + 1}"

    plan = """
    steps:
      - {id: count, inputs: {rows: "{{ start.rows }}", factor: 2}}
      - {id: tell, inputs: {total: "{{ count.total }}", first: "{{ count.data.rows[0] }}"}}
    """

    report = Team({"count": count, "tell": tell}).run(plan, "x", inputs={"rows": [1, 2, 3]})

    assert "13 2" == report.answer, report.errors


def test_a_function_can_route() -> None:
    def route(call: Call) -> str:
        return "prices" if "what price?" in call.query else "nobody knows"

    team = Team({"route": route, "prices": says("P"), "support": says("S")})
    plan = {
        "pattern": "routing",
        "agents": ["prices", "support"],
        "route": {"classifier": "route", "default": "support"},
    }

    assert "P(what price?)" == team.run(plan, "what price?").answer
    undecided = team.run(plan, "hello")
    assert "S(hello)" == undecided.answer
    assert any("Nobody decided on a route" in warning for warning in undecided.warnings)


def test_rules_route_without_asking_anybody() -> None:
    team = Team({"prices": says("P"), "support": says("S")})
    plan = {
        "pattern": "routing",
        "agents": ["prices", "support"],
        "route": {"routes": {"prices": {"keywords": ["price"]}, "support": {"keywords": ["help"]}}},
    }

    assert "P(the price)" == team.run(plan, "the price").answer


# --- limits and failures


def test_a_function_that_outlives_its_step_is_left_behind() -> None:
    begun = time.monotonic()

    report = Team({"slow": sleeps(30), "fast": says("F")}).parallel("x", defaults={"timeout": 0.3})

    assert time.monotonic() - begun < 2.5
    assert ("partial", "timed_out") == (report.status, by_step(report)["slow"].status)
    assert by_step(report)["fast"].status == "succeeded"


def test_the_time_of_the_whole_run_is_the_lower_one() -> None:
    begun = time.monotonic()

    report = Team({"slow": sleeps(30)}).run({"agents": ["slow"], "timeout": 60}, "x", timeout=0.3)

    assert time.monotonic() - begun < 2.5
    assert "timed_out" == report.status


def test_failures_are_a_part_of_the_report() -> None:
    def fails(_text: str) -> str:
        raise ValueError("no such city")

    report = Team({"fails": fails}).parallel("x")

    assert ("failed", True) == (report.status, report.failed_hard)
    error = by_step(report)["fails"].error
    assert error is not None
    assert ("agent_failed", "fails failed: ValueError: no such city") == (error.code, error.message)


def test_the_first_failure_ends_the_run_where_that_is_asked_for() -> None:
    def fails(_text: str) -> str:
        raise ValueError("no")

    report = Team({"fails": fails, "slow": sleeps(30)}).parallel("x", fail_fast=True)

    assert "cancelled" == by_step(report)["slow"].status


def test_a_breaker_holds_over_the_runs_of_a_team() -> None:
    calls: list[str] = []

    def fails(text: str) -> str:
        calls.append(text)
        raise ConnectionError("down")

    team = Team({"fails": fails})
    defaults = {"breaker": {"failure_threshold": 1, "recovery_timeout": 60}}
    reports = [by_step(team.parallel("x", defaults=defaults))["fails"] for _ in range(3)]

    assert ["refused"] * 2 == [report.status for report in reports[1:]]
    assert 1 == len(calls)


def test_a_function_is_tried_again_as_often_as_the_plan_says() -> None:
    calls: list[str] = []

    def flaky(text: str) -> str:
        calls.append(text)
        if len(calls) < 3:
            raise ValueError("not yet")
        return "done"

    report = Team({"flaky": flaky}).parallel("x", defaults={"retry_times": 2})

    assert ("done", 3) == (report.answer, by_step(report)["flaky"].attempts)


def test_a_run_key_finds_the_run_again() -> None:
    calls: list[str] = []

    def once(text: str) -> str:
        calls.append(text)
        return "done"

    team = Team({"once": once})
    first, second = (team.parallel("x", run_key="k-1") for _ in range(2))

    assert (first.run_id, 1, True) == (second.run_id, len(calls), second.replayed)


# --- events, threads, traces


def test_what_happens_is_told_as_it_happens() -> None:
    def speak(text: str) -> Iterator[str]:
        yield "Hel"
        yield f"lo {text}"

    told: list[Event] = []
    report = Team({"speak": speak}).run({"steps": [{"id": "speak", "stream": True}]}, "bees", on_event=told.append)

    assert "Hello bees" == report.answer == "".join(each.text for each in told if isinstance(each, AnswerText))
    assert any(isinstance(each, Progress) and "speak" in each.line for each in told)


def test_who_listens_may_end_the_run() -> None:
    """Its calls are given up, and the error is the caller's."""

    def stop(_event: Event) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Team({"slow": sleeps(30)}).parallel("x", on_event=stop)

    assert time.monotonic() - begun < 5


def test_one_team_serves_many_threads() -> None:
    team = Team({"a": says("A"), "b": says("B")}, max_parallel=8)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: team.sequential(f"w{n}.", ["a", "b"]).answer, range(64)))

    assert [f"B(w{n}.\n\n### a\nA(w{n}.))" for n in range(64)] == answers


def test_a_run_within_a_run_has_its_trace() -> None:
    inner = Team({"deep": lambda call: call.trace_id})

    def outer(call: Call) -> str:
        return inner.parallel("x", trace_id=call.trace_id).answer

    report = Team({"outer": outer}).parallel("x", trace_id="ticket-7")

    assert ("ticket-7", "ticket-7") == (report.answer, report.trace_id)


# --- order


PLAN = {
    "steps": [
        {"id": "report", "agent": "a", "depends_on": ["market", "rivals"]},
        {"id": "market", "agent": "a"},
        {"id": "rivals", "agent": "a", "depends_on": ["names"]},
        {"id": "names", "agent": "a"},
    ]
}


def test_the_order_of_a_plan_and_what_can_run_side_by_side() -> None:
    team = Team({"a": says("A")})

    assert (("market", "names"), ("rivals",), ("report",)) == team.levels(PLAN)
    assert ("market", "names", "rivals", "report") == team.order(PLAN)
    assert team.levels(team.plan(PLAN)) == team.levels(json.dumps(PLAN))


def test_a_circle_is_named() -> None:
    steps = [{"id": "a", "depends_on": "b"}, {"id": "b", "depends_on": "a"}]

    with pytest.raises(PlanError, match="A circle: a waits for b, b waits for a"):
        Team({"a": says("A"), "b": says("B")}).order({"steps": steps})


# --- the surface


def test_the_surface_is_what_it_says_and_needs_neither_sdk_nor_server() -> None:
    assert all(hasattr(surface, name) for name in surface.__all__)
    foreign = {"dify_plugin", "gevent", "flask", "redis", "plugin", "sidecar"}
    program = f"import sys, ensemble.team; print(sorted(set(sys.modules) & {foreign!r}))"

    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "[]" == said.stdout.strip()

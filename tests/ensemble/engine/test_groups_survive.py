"""Groups whose engine dies at any exchange, and groups of any shape whose parts fail at random."""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import LEASE_MS, Exchange, ExchangeAnswer
from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.ledger.book import Book
from tests.ensemble.engine.kit import Scripted, bad, good, play
from tests.ensemble.engine.teams import answer, mapped, subtasks


class Dying(Book):
    """A book before whose *n*-th exchange, or before whose answer to it, the engine dies; its clock can be set forward."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        super().__init__(clock=lambda: time.time_ns() // 1_000_000 + self.ahead_ms)
        self.left = -1
        self.after = False

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Death
        answer = super().exchange(ask)
        if self.left == 0:
            raise Death
        return answer


class Death(Exception):  # noqa: N818 - what it stands for
    """The engine's process is gone."""


PATTERNS: dict[str, dict[str, Any]] = {
    "for_each": mapped(["x", "y", "z"], max_parallel=2),
    "loop": {"steps": [{"id": "t", "agent": "w", "loop": {"critic": "c", "max_rounds": 3}}]},
    "vote": {"pattern": "vote", "agents": ["a", "b", "c"]},
    "race": {"steps": [{"id": "r", "race": {"agents": ["a", "b"], "good": "{{ answer.output }} contains nothing"}},
                       {"id": "s", "agent": "c", "depends_on": "r", "join": "all_done"}, {"id": "z", "agent": "a"}]},
    "nested": {"steps": [{"id": "first", "agent": "a"}, {"id": "inner", "steps": [
        {"id": "one", "agent": "a", "query": "one of {{ first.output }}"},
        {"id": "two", "agent": "b", "depends_on": "one"}]}, {"id": "last", "agent": "a", "depends_on": "inner"}]},
    "hierarchical": {"pattern": "hierarchical", "manager": "boss", "agents": ["a", "b"]},
}  # fmt: skip
"""A plan of each pattern; its agents answer the same whenever they are asked the same."""


def same_answers(calls: list[tuple[str, str]]) -> dict[str, Agent]:
    """Return agents that note what they were asked and answer by nothing but that."""

    def script(name: str) -> Scripted:
        def say(call: Call, _scope: CallScope) -> Reply:
            asked = call.query + json.dumps(call.inputs, sort_keys=True, default=str)
            calls.append((name, asked))
            if name == "boss":
                return answer("fin") if "results so far" in asked else subtasks(("x", "a", "x"), ("y", "b", "y"))
            if name == "c" and "Judge" in asked:
                return good("APPROVED" if "round 2" in asked else "better")
            return good(f"{name} says round 2" if "better" in asked else f"{name} says {len(asked)}")

        return Scripted(name, [say])

    return {name: script(name) for name in ("a", "b", "c", "w", "boss")}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_exchange_and_resumed_nothing_that_succeeded_is_done_again(pattern: str, *, after: bool) -> None:
    """Every step whose success was on record when the engine died is not asked again; the end is the same as ever."""
    undisturbed = play(PATTERNS[pattern], same_answers([]), ledger=Dying(), run_key="k")
    for dies_at in range(1, 30):
        book, calls = Dying(), list[tuple[str, str]]()
        book.left, book.after = dies_at, after
        try:
            play(PATTERNS[pattern], same_answers(calls), ledger=book, run_key="k")
        except Death:
            pass
        else:
            break
        book.left, book.ahead_ms = -1, LEASE_MS
        known = [name for name in book._hashes if name.startswith("run:")]
        before = book.run(known[0].removeprefix("run:")) if known else None
        done = (
            {}
            if before is None
            else {
                each.step: each.text for each in before.results if each.status is StepStatus.SUCCEEDED and each.source
            }
        )
        first = len(calls)
        resumed = play(PATTERNS[pattern], same_answers(calls), ledger=book, run_key="k")

        assert resumed.report.status is undisturbed.report.status, dies_at
        assert resumed.report.answer == undisturbed.report.answer, dies_at
        view = book.run(resumed.report.run_id)
        again = [each.step for each in view.attempts if each.epoch > 1 and each.step in done]
        assert not again, (dies_at, again, calls[first:])
        assert (view.budget.calls_reserved, view.budget.tokens_reserved) == (0, 0)
    else:
        raise AssertionError("it never came to an end")


def names_of(draw: st.DrawFn) -> str:
    """Draw an agent."""
    return draw(st.sampled_from(["a", "b", "c"]))


@st.composite
def steps(draw: st.DrawFn, deep: int = 1) -> dict[str, Any]:
    """Draw a step, perhaps a group, perhaps of groups."""
    kinds = ["agent", "vote", "race", "manage"] + ["steps"] * (deep > 0)
    body = draw(st.sampled_from(kinds))
    step: dict[str, Any] = {}
    match body:
        case "agent":
            step["agent"] = names_of(draw)
        case "manage":
            step["manage"] = {"manager": "boss", "agents": ["a", "b"], "max_rounds": draw(st.integers(1, 2))}
        case "steps":
            inner = draw(st.lists(steps(deep=deep - 1), min_size=1, max_size=3))
            step["steps"] = [{**each, "id": f"s{number}"} for number, each in enumerate(inner)]
            for number, each in enumerate(step["steps"]):
                if number and draw(st.booleans()):
                    each["depends_on"] = f"s{number - 1}"
                    each["join"] = draw(st.sampled_from(["all_success", "all_done", "any"]))
        case _:
            step[body] = {"agents": ["a", "b", "c"]}
            if body == "vote" and draw(st.booleans()):
                step[body]["agree"] = 2
    if draw(st.booleans()):
        step["loop"] = {"max_rounds": draw(st.integers(1, 2)), "until": "{{ answer.output }} contains 7"}
    if draw(st.booleans()):
        join = draw(st.sampled_from(["all_done", "all_success", "any", "quorum(2)"]))
        step["for_each"] = {"items": draw(st.lists(st.integers(0, 9), max_size=3)), "join": join}
    return step


FAILURES = (
    Outcome.AGENT_FAILED, Outcome.REJECTED, Outcome.MISCONFIGURED, Outcome.UNAVAILABLE, Outcome.TIMED_OUT,
    Outcome.THROTTLED, Outcome.INPUT_REQUIRED,
)  # fmt: skip
"""Every way in which an agent can fail."""


class Asked(Book):
    """A book that knows the run it was asked about last."""

    run_id = ""

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        self.run_id = ask.run_id
        return super().exchange(ask)


class TestAnyGroups:
    """Whatever stands inside what, and whoever fails."""

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        plan=st.lists(steps(), min_size=1, max_size=3),
        seed=st.integers(0, 10**6),
        fail_fast=st.booleans(),
        cancelled_at=st.none() | st.integers(1, 12),
        timeout_s=st.sampled_from([20.0, 20.0, 0.02]),
    )
    def test_every_run_ends_with_every_step_ended_and_nothing_reserved(
        self, plan: list[dict[str, Any]], seed: int, *, fail_fast: bool, cancelled_at: int | None, timeout_s: float
    ) -> None:
        """Whoever fails in whatever way, and whether it is cancelled or out of time in the middle."""
        count, book, hosts = 0, Asked(), Hosts()

        def say(_call: Call, _scope: CallScope) -> Reply:
            nonlocal count
            count += 1
            if count == cancelled_at:
                book.cancel(book.run_id)
            turn = hash((seed, count)) % 10
            if turn < 2:
                return bad(FAILURES[hash((seed, count, "how")) % len(FAILURES)])
            tasks = subtasks(("x", "a", f"x{turn}"), ("y", "b", "y"))
            return tasks if turn < 5 else answer(str(turn)) if turn < 8 else good(str(turn))

        agents = {name: Scripted(name, [say]) for name in ("a", "b", "c", "boss")}
        listed = [{**each, "id": f"t{number}"} for number, each in enumerate(plan)]

        played = play(
            {"steps": listed}, agents, ledger=book, hosts=hosts, fail_fast=fail_fast, limits=Limits(calls=60),
            timeout_s=timeout_s,
        )  # fmt: skip

        view = book.run(played.report.run_id)
        assert view.status is played.report.status
        assert not any(each.outcome is None for each in view.attempts)
        assert (view.budget.calls_reserved, view.budget.tokens_reserved) == (0, 0)
        assert {each["id"] for each in listed} == set(played.by_step)
        assert hosts.taken("http://one") == 0


class TestRenewedAndKilled:
    """A call that mended something is killed in the middle of what follows from it."""

    PLANS: ClassVar[dict[str, dict[str, Any]]] = {
        "for_each": {"for_each": {"items": "{{ list.output }}", "max_parallel": 1}, "agent": "e", "query": "{{ item }}"},
        "steps": {"steps": [{"id": "p", "agent": "e", "query": "{{ list.output }} p"}, {"id": "q", "agent": "e"},
                            {"id": "r", "agent": "e", "depends_on": ["p", "q"]}]},
        "agent": {"agent": "e", "depends_on": "list"},
        "none": {"for_each": {"items": "{{ list.output }}"}, "agent": "e", "query": "{{ item }}"},
    }  # fmt: skip

    @pytest.mark.parametrize("group", PLANS)
    def test_nothing_that_followed_from_the_old_result_is_left(self, group: str) -> None:
        """Whenever the second call dies, the third tells what an undisturbed one would."""
        steps = [
            {"id": "ok", "agent": "ok"},
            {"id": "flaky", "agent": "flaky"},
            {"id": "list", "agent": "list", "depends_on": ["ok", "flaky"], "join": "all_done"},
            {"id": "each", **self.PLANS[group]},
            {"id": "sum", "agent": "e", "depends_on": ["ok", "each"], "join": "all_done"},
        ]
        new = "[]" if group == "none" else '["d", "e"]'

        def listed(call: Call, _scope: CallScope) -> Reply:
            return good(new if "mended" in call.query else '["a", "b", "c"]')

        for dies_at in range(1, 30):
            agents: dict[str, Agent] = {
                "ok": Scripted("ok", [good("ok")]),
                "flaky": Scripted("flaky", [bad(), good("mended")]),
                "list": Scripted("list", [listed]),
                "e": Scripted("e"),
            }
            book = Dying()
            play({"steps": steps}, agents, ledger=book, run_key="k", max_parallel=1)
            book.left = dies_at
            try:
                play({"steps": steps}, agents, ledger=book, run_key="k", max_parallel=1)
            except Death:
                pass
            else:
                break
            book.left, book.ahead_ms = -1, LEASE_MS
            last = play({"steps": steps}, agents, ledger=book, run_key="k", max_parallel=1)

            whole = last.report.answer + "".join(part.text for part in last.report.parts)
            assert not any(f'"{old}"' in whole or f"echo {old}" in whole for old in "abc"), dies_at
        else:
            raise AssertionError("it never came to an end")

"""Breakers, budgets and run keys as the engine lives with them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.budgets import Limits
from ensemble.contract.outcomes import RunStatus
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.ledger.book import Book
from tests.ensemble.engine.kit import Played, Scripted, bad, chain, good, play, slow, team


class TestLedger:
    """Breakers, budgets and run keys as the engine lives with them."""

    def test_a_breaker_opened_by_one_run_refuses_the_next(self) -> None:
        book, agent = Book(), Scripted("a", [bad()])
        plan = {"steps": [{"id": "a", "agent": "a"}], "defaults": {"breaker": {"failure_threshold": 1}}}

        play(plan, {"a": agent}, ledger=book)
        played = play(plan, {"a": agent}, ledger=book)

        assert len(agent.calls) == 1
        assert played.statuses() == {"a": "refused"}
        assert "breaker_open" in str(played.by_step["a"].error)

    def test_a_budget_of_calls_refuses_the_rest(self) -> None:
        agents = team(*"abcd")

        played = play(chain(*"abcd"), agents, limits=Limits(calls=2))

        assert played.statuses() == {"a": "succeeded", "b": "succeeded", "c": "refused", "d": "skipped"}

    def test_a_failed_run_reopened_by_its_key_calls_only_what_failed(self) -> None:
        book = Book()
        agents = {"a": Scripted("a", [good("alpha")]), "b": Scripted("b", [bad(), good("beta")])}

        first = play(chain("a", "b"), agents, ledger=book, run_key="k")
        again = play(chain("a", "b"), agents, ledger=book, run_key="k")

        assert first.report.status is RunStatus.PARTIAL
        assert again.report.status is RunStatus.SUCCEEDED
        assert [len(agents[name].calls) for name in "ab"] == [1, 2]
        assert first.report.run_id == again.report.run_id

    def test_a_succeeded_run_answers_again_without_a_call(self) -> None:
        book, agents = Book(), team("a")

        first = play(chain("a"), agents, ledger=book, run_key="k")
        again = play(chain("a"), agents, ledger=book, run_key="k")

        assert again.report.answer == first.report.answer
        assert again.report.replayed
        assert len(agents["a"].calls) == 1  # type: ignore[attr-defined]  # a Scripted

    def test_another_task_under_the_same_key_is_another_run(self) -> None:
        book, agents = Book(), team("a")

        answers = {
            play(chain("a"), agents, ledger=book, run_key="k", task=task).report.answer for task in ("x", "y", "z")
        }

        assert answers == {"echo x", "echo y", "echo z"}

    @pytest.mark.parametrize("_round", range(10))
    def test_two_at_the_same_instant_call_each_step_once(self, _round: int) -> None:
        book, barrier = Book(), threading.Barrier(2)
        agents = {name: Scripted(name, [slow(0.02, good(name))]) for name in "abc"}
        answers: list[Played] = []

        def both() -> None:
            barrier.wait()
            answers.append(play(chain(*"abc"), agents, ledger=book, run_key="k"))

        threads = [threading.Thread(target=both) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [len(agent.calls) for agent in agents.values()] == [1, 1, 1]
        assert {played.report.answer for played in answers} == {"c"}
        assert sorted(played.report.replayed for played in answers) == [False, True]

    def test_a_follower_holds_no_place_that_the_owner_needs(self) -> None:
        """Two calls with one key and one place: the second must not sit on the place the first needs next."""
        book, hosts, started = Book(), Hosts(), threading.Event()

        def first(call: Call, scope: CallScope) -> Reply:
            started.set()
            return slow(0.3, good("one"))(call, scope)

        agents = {"a": Scripted("a", [first]), "b": Scripted("b", [good("two")])}
        answers: list[Played] = []
        options: dict[str, Any] = {"ledger": book, "hosts": hosts, "run_key": "k", "host_parallel": 1, "timeout_s": 10}
        owner = threading.Thread(target=lambda: answers.append(play(chain("a", "b"), agents, **options)))
        owner.start()
        started.wait(5)
        answers.append(play(chain("a", "b"), agents, **options))
        owner.join()

        assert [played.report.answer for played in answers] == ["two", "two"]
        assert hosts.taken("http://one") == 0

    def test_a_resumed_run_goes_on_at_once(self) -> None:
        """What was kept lets its dependents start without waiting for anything else to happen."""
        book = Book()
        agents = {"a": Scripted("a", [good("alpha")]), "b": Scripted("b", [bad(), good("beta")])}

        play(chain("a", "b"), agents, ledger=book, run_key="k")
        again = play(chain("a", "b"), agents, ledger=book, run_key="k")

        assert again.report.answer == "beta"
        assert again.seconds < 5

    def test_a_run_keeps_the_trace_it_began_in(self) -> None:
        book = Book()
        agent = Scripted("a", [bad(), good()])

        played = [
            play(chain("a"), {"a": agent}, ledger=book, run_key="k", trace_id=trace) for trace in ("t1", "t2", "t3")
        ]

        assert [each.report.trace_id for each in played] == ["t1", "t1", "t1"]
        assert [call.trace_id for call in agent.calls] == ["t1", "t1"]


def test_a_refused_step_ends_a_fail_fast_run_as_a_failed_one_does() -> None:
    book = Book()
    agents = {"a": Scripted("a"), "b": Scripted("b", [slow(10)]), "c": Scripted("c", [bad()])}
    touchy = {"breaker": {"failure_threshold": 1}}
    play({"steps": [{"id": "c", "agent": "c"}], "defaults": touchy}, agents, ledger=book)
    steps = [{"id": "b", "agent": "b"}, {"id": "a", "agent": "a"}, {"id": "c", "agent": "c", "depends_on": "a"}]

    played = play({"steps": steps, "defaults": touchy}, agents, ledger=book, fail_fast=True)

    assert played.seconds < 5
    assert played.statuses() == {"a": "succeeded", "b": "cancelled", "c": "refused"}
    assert played.report.failed_hard


class TestKept:
    """What of an earlier call counts in a repeated one."""

    def test_a_synthesizer_hears_of_the_agent_that_was_mended(self) -> None:
        book, writer = Book(), Scripted("w")
        agents = {"a": Scripted("a", [good("alpha")]), "b": Scripted("b", [bad(), good("beta")]), "w": writer}
        plan = {"pattern": "parallel", "agents": ["a", "b"], "synthesizer": "w"}

        first = play(plan, agents, ledger=book, run_key="k")
        again = play(plan, agents, ledger=book, run_key="k")

        assert (first.report.status, again.report.status) == (RunStatus.PARTIAL, RunStatus.SUCCEEDED)
        assert [len(agents[name].calls) for name in ("a", "b", "w")] == [1, 2, 2]
        assert "alpha" in writer.calls[1].query
        assert "beta" in writer.calls[1].query

    def test_a_synthesizer_that_would_be_given_the_same_is_kept(self) -> None:
        book = Book()
        agents = {"a": Scripted("a"), "b": Scripted("b", [bad()]), "w": Scripted("w")}
        plan = {"pattern": "parallel", "agents": ["a", "b"], "synthesizer": "w"}

        play(plan, agents, ledger=book, run_key="k")
        play(plan, agents, ledger=book, run_key="k")

        assert [len(agents[name].calls) for name in ("a", "b", "w")] == [1, 2, 1]

    def test_who_began_with_the_first_of_several_is_kept(self) -> None:
        book = Book()
        agents = {"a": Scripted("a"), "b": Scripted("b", [bad(), good()]), "c": Scripted("c")}
        steps = [
            {"id": "a", "agent": "a"},
            {"id": "b", "agent": "b", "depends_on": "a"},
            {"id": "c", "agent": "c", "depends_on": ["a", "b"], "join": "any"},
        ]
        plan = {"steps": steps, "output": "{{ b.output }} {{ c.output }}"}

        play(plan, agents, ledger=book, run_key="k")
        again = play(plan, agents, ledger=book, run_key="k")

        assert again.report.status is RunStatus.SUCCEEDED
        assert [len(agents[name].calls) for name in "abc"] == [1, 2, 1]

    def test_and_still_is_in_a_third_call(self) -> None:
        """Though all of the several have results by then, one of them newer than its own."""
        book = Book()
        agents = {"a": Scripted("a"), "b": Scripted("b", [bad(), good()]), "c": Scripted("c")}
        agents["d"] = Scripted("d", [bad(), bad(), good()])
        steps = [
            {"id": "a", "agent": "a"},
            {"id": "b", "agent": "b", "depends_on": "a"},
            {"id": "c", "agent": "c", "depends_on": ["a", "b"], "join": "any"},
            {"id": "d", "agent": "d"},
        ]
        plan = {"steps": steps, "output": "{{ b.output }} {{ c.output }} {{ d.output }}"}

        played = [play(plan, agents, ledger=book, run_key="k") for _ in range(3)]

        assert played[-1].report.status is RunStatus.SUCCEEDED
        assert [len(agents[name].calls) for name in "abcd"] == [1, 2, 1, 3]

    def test_what_follows_from_a_renewed_step_is_renewed_as_well(self) -> None:
        book = Book()
        agents = {name: Scripted(name) for name in "awz"} | {"b": Scripted("b", [bad(), good("beta")])}
        steps = [
            {"id": "a", "agent": "a"},
            {"id": "b", "agent": "b"},
            {"id": "w", "agent": "w", "depends_on": ["a", "b"], "join": "all_done"},
            {"id": "z", "agent": "z", "depends_on": "w"},
        ]

        play({"steps": steps}, agents, ledger=book, run_key="k")
        again = play({"steps": steps}, agents, ledger=book, run_key="k")

        assert [len(agents[name].calls) for name in "abwz"] == [1, 2, 2, 2]
        assert "beta" in again.report.answer

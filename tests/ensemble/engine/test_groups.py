"""Groups in a run: parts that come into being, fail, are cut off, resumed, and become one result."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import pytest

from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.budgets import Limits
from ensemble.contract.outcomes import RunStatus, StepStatus
from ensemble.engine.ledger.book import Book
from tests.ensemble.engine.kit import Scripted, bad, good, play, slow
from tests.ensemble.engine.teams import Line, by_item, mapped, parts


class TestForEach:
    """The same step for every item."""

    def test_results_stand_in_the_order_of_the_items_whoever_ends_first(self) -> None:
        lines = {"x": slow(0.15, good("slow x")), "y": slow(0.05, good("y"))}

        played = play(mapped(["x", "y", "z"]), {"a": Scripted("a", [by_item(lines)])})

        assert played.by_step["each"].data["texts"] == ["slow x", "y", "did z"]
        assert played.report.answer == "### 0\n\nslow x\n\n### 1\n\ny\n\n### 2\n\ndid z"
        assert played.report.status is RunStatus.SUCCEEDED

    def test_items_keep_their_type_and_can_be_looked_into(self) -> None:
        agent = Scripted("a")
        plan = mapped([{"name": "n", "tags": ["t"]}])
        plan["steps"][0]["inputs"] = {"whole": "{{ item }}", "deep": "{{ item.tags[0] }}/{{ index }}"}

        play(plan, {"a": agent})

        assert agent.calls[0].inputs == {"whole": {"name": "n", "tags": ["t"]}, "deep": "t/0"}

    def test_a_failed_item_is_named_and_the_others_stand(self) -> None:
        played = play(mapped(["x", "y", "z"]), {"a": Scripted("a", [by_item({"y": bad(message="no y")})])})

        assert played.report.status is RunStatus.PARTIAL
        assert played.by_step["each"].data["texts"] == ["did x", None, "did z"]
        assert [error.step for error in played.report.errors] == ["each[1]"]
        assert any("1 of 3 items" in warning for warning in played.report.warnings)

    def test_all_items_failed_is_a_failure_that_says_why(self) -> None:
        played = play(mapped(["x", "y"]), {"a": Scripted("a", [bad(message="broke down")])})

        assert played.report.status is RunStatus.FAILED
        assert "broke down" in str(played.by_step["each"].error)

    @pytest.mark.parametrize("fenced", ['["x", "y"]', '```json\n["x", "y"]\n```'])
    def test_the_list_may_be_what_a_model_wrote(self, fenced: str) -> None:
        plan = mapped("{{ list.output }}")
        plan["steps"].insert(0, {"id": "list", "agent": "l"})

        played = play(plan, {"a": Scripted("a", [by_item({})]), "l": Scripted("l", [good(fenced)])})

        assert played.by_step["each"].data["texts"] == ["did x", "did y"]

    def test_what_is_no_list_fails_the_step_in_words(self) -> None:
        plan = mapped("{{ list.output }}")
        plan["steps"].insert(0, {"id": "list", "agent": "l"})
        agent = Scripted("a")

        played = play(plan, {"a": agent, "l": Scripted("l", [good("x and y")])})

        assert "x and y" in str(played.by_step["each"].error)
        assert not agent.calls

    def test_no_items_are_a_result_too(self) -> None:
        played = play(mapped([]), {"a": Scripted("a")})

        assert played.report.status is RunStatus.SUCCEEDED
        assert played.by_step["each"].data == {"texts": [], "items": []}

    def test_no_more_items_run_at_one_time_than_its_own_limit(self) -> None:
        agent = Scripted("a", [slow(0.03)])

        play(mapped(list(range(12)), max_parallel=3), {"a": agent}, max_parallel=10, host_parallel=10)

        assert agent.peak == 3
        assert len(agent.calls) == 12

    def test_the_first_two_are_enough_for_a_quorum_and_the_rest_is_cut_off(self) -> None:
        agent = Scripted("a", [by_item({"x": slow(10), "w": slow(10)})])

        played = play(mapped(["x", "y", "z", "w"], join="quorum(2)"), {"a": agent})

        assert played.seconds < 3
        assert played.report.status is RunStatus.SUCCEEDED
        statuses = [entry["status"] for entry in played.by_step["each"].data["items"]]
        assert statuses == ["cancelled", "succeeded", "succeeded", "cancelled"]

    def test_all_success_ends_with_the_first_failure(self) -> None:
        agent = Scripted("a", [by_item({"x": slow(10), "y": bad()})])

        played = play(mapped(["x", "y"], join="all_success"), {"a": agent})

        assert played.seconds < 3
        assert played.by_step["each"].status is StepStatus.FAILED

    def test_fail_fast_ends_the_run_with_the_first_item_that_fails(self) -> None:
        agent = Scripted("a", [by_item({"x": slow(10), "y": bad()})])

        played = play(mapped(["x", "y"]), {"a": agent}, fail_fast=True)

        assert played.seconds < 3
        assert played.report.status is RunStatus.FAILED
        assert played.report.failed_hard

    def test_a_thousand_items_with_one_in_a_hundred_failing(self) -> None:
        """In order, complete, and never more than its own limit at one time."""
        lines: dict[str, Line] = {str(number): bad() for number in range(0, 1000, 100)}
        agent = Scripted("a", [by_item(lines)])

        played = play(mapped(list(range(1000)), max_parallel=50), {"a": agent}, max_parallel=50, host_parallel=50)

        texts = played.by_step["each"].data["texts"]
        assert texts == [None if number % 100 == 0 else f"did {number}" for number in range(1000)]
        assert agent.peak <= 50
        assert len(played.report.errors) == 10

    def test_a_repeated_call_does_the_failed_items_again_and_no_other(self) -> None:
        book = Book()
        script = [by_item({"y": bad()})] * 3 + [by_item({})]
        agent = Scripted("a", script)
        plan = {**mapped(["x", "y", "z"], max_parallel=1)}
        plan["steps"].append({"id": "sum", "agent": "s", "depends_on": "each"})
        writer = Scripted("s")

        first = play(plan, {"a": agent, "s": writer}, ledger=book, run_key="k")
        again = play(plan, {"a": agent, "s": writer}, ledger=book, run_key="k")

        assert (first.report.status, again.report.status) == (RunStatus.PARTIAL, RunStatus.SUCCEEDED)
        assert len(agent.calls) == 4
        assert "did y" in writer.calls[-1].query, "who was given the list is given the whole one now"
        assert len(writer.calls) == 2

    def test_items_are_counted_against_the_budget(self) -> None:
        agent = Scripted("a", [by_item({})])

        played = play(mapped(list(range(6)), max_parallel=2), {"a": agent}, limits=Limits(calls=4))

        assert len(agent.calls) == 4
        assert sorted(part.status for part in played.report.parts) == ["refused"] * 2 + ["succeeded"] * 4


class TestLoop:
    """An answer, a look at it, a better answer."""

    def loop(self, **more: Any) -> dict[str, Any]:
        return {"steps": [{"id": "text", "agent": "w", "loop": {"critic": "c", "max_rounds": 4, **more}}]}

    def test_the_critic_is_heeded_until_it_approves(self) -> None:
        writer = Scripted("w", [good("draft one"), good("draft two")])
        critic = Scripted("c", [good("too long"), good("**Approved**")])

        played = play(self.loop(), {"w": writer, "c": critic})

        result = played.by_step["text"]
        assert result.text == "draft two"
        assert (result.data["rounds"], result.data["met"]) == (2, True)
        assert "### w\ndraft one\n\n### c\ntoo long" in writer.calls[1].query
        assert critic.calls[0].query.endswith("### w\ndraft one")

    def test_a_condition_of_its_own_reads_the_answer_and_the_critic(self) -> None:
        writer = Scripted("w", [good("one", score=3), good("two", score=9)])
        plan = self.loop(until="{{ critic.grade }} ≥ 8")
        critic = Scripted("c", [good("x", grade=5), good("y", grade=8)])

        played = play(plan, {"w": writer, "c": critic})

        assert played.by_step["text"].data["met"] is True
        assert "Judge the answer" not in critic.calls[0].query

    def test_own_inputs_see_the_round_the_answer_and_the_critic(self) -> None:
        writer = Scripted("w", [good("one"), good("two")])
        plan = self.loop()
        plan["steps"][0]["inputs"] = {"n": "{{ round }}", "old": "{{ answer.output }}", "said": "{{ critic.output }}"}

        played = play(plan, {"w": writer, "c": Scripted("c", [good("no"), good("APPROVED")])})

        assert [call.inputs for call in writer.calls] == [
            {"n": 1, "old": None, "said": None},
            {"n": 2, "old": "one", "said": "no"},
        ]
        assert not played.report.warnings

    def test_without_a_critic_the_answer_itself_decides(self) -> None:
        writer = Scripted("w", [good("maybe"), good("done: 4")])
        plan = {"steps": [{"id": "t", "agent": "w", "loop": {"until": "{{ answer.output }} contains done"}}]}

        assert play(plan, {"w": writer}).by_step["t"].data["rounds"] == 2

    def test_the_same_answer_again_ends_it(self) -> None:
        played = play(self.loop(), {"w": Scripted("w", [good("same")]), "c": Scripted("c", [good("no")])})

        result = played.by_step["text"]
        assert (result.data["rounds"], result.data["met"]) == (2, False)
        assert any("same answer again" in warning for warning in played.report.warnings)

    def test_the_rounds_are_bounded_and_the_last_answer_is_taken(self) -> None:
        writer = Scripted("w", [good(str(number)) for number in range(9)])

        played = play(self.loop(), {"w": writer, "c": Scripted("c", [good("no")])})

        assert (len(writer.calls), played.by_step["text"].text) == (4, "3")
        assert played.report.status is RunStatus.SUCCEEDED

    @pytest.mark.parametrize(("writer", "critic", "text", "status"), [
        ([bad()], [good("no")], "", RunStatus.FAILED),
        ([good("one"), bad()], [good("no")], "one", RunStatus.PARTIAL),
        ([good("one")], [bad()], "one", RunStatus.PARTIAL),
        ([good("one"), good("two")], [good("no"), bad()], "two", RunStatus.PARTIAL),
    ])  # fmt: skip
    def test_who_fails_in_the_middle_leaves_the_newest_answer(
        self, writer: list[Reply], critic: list[Reply], text: str, status: RunStatus
    ) -> None:
        played = play(self.loop(), {"w": Scripted("w", writer), "c": Scripted("c", critic)})

        assert played.by_step["text"].text == text
        assert played.report.status is status

    def test_a_condition_about_an_output_nobody_gave_fails_the_step_in_words(self) -> None:
        plan = {"steps": [{"id": "t", "agent": "w", "loop": {"until": "{{ answer.grade }} > 3"}}]}

        played = play(plan, {"w": Scripted("w", [good("x", one="1", two="2")])})

        assert "has no output 'grade'" in str(played.by_step["t"].error)


class TestVote:
    """The same question to several agents."""

    def vote(self, **more: Any) -> dict[str, Any]:
        return {"steps": [{"id": "v", "vote": {"agents": ["a", "b", "c"], **more}}]}

    def agents(self, *lines: Line) -> dict[str, Agent]:
        return {name: Scripted(name, [line]) for name, line in zip("abc", lines, strict=True)}

    def test_what_most_say_is_the_answer(self) -> None:
        played = play(self.vote(), self.agents(good("Yes."), good("no"), good("yes")))

        result = played.by_step["v"]
        assert (result.text, result.confidence) == ("Yes.", 0.6667)
        assert result.data["votes"][0]["voters"] == ["a", "c"]

    def test_weights_count(self) -> None:
        assert play(self.vote(weights={"b": 3}), self.agents(good("y"), good("n"), good("y"))).report.answer == "n"

    def test_a_field_is_voted_on(self) -> None:
        lines = [good("long a", verdict="good"), good("long b", verdict="bad"), good("long c", verdict="good")]

        assert play(self.vote(on="verdict"), self.agents(*lines)).report.answer == "good"

    def test_the_first_two_that_agree_end_it(self) -> None:
        played = play(self.vote(agree=2), self.agents(good("y"), good("y"), slow(10)))

        assert played.seconds < 3
        assert (played.report.answer, parts(played)["v/c"].status) == ("y", StepStatus.CANCELLED)

    def test_where_too_few_can_agree_any_more_it_fails_at_once(self) -> None:
        played = play(self.vote(agree=3), self.agents(good("y"), good("n"), slow(10)))

        assert played.seconds < 3
        assert "No 3 of 3 agents agree" in str(played.by_step["v"].error)

    def test_who_fails_has_no_vote(self) -> None:
        played = play(self.vote(), self.agents(bad(), good("n"), good("n")))

        assert (played.report.answer, played.report.status) == ("n", RunStatus.SUCCEEDED)
        assert any("without a vote: v/a" in warning for warning in played.report.warnings)

    def test_nobody_voted(self) -> None:
        assert play(self.vote(), self.agents(bad(), bad(), bad())).report.status is RunStatus.FAILED


class TestRace:
    """The first good answer wins."""

    def test_the_first_answer_wins_and_the_others_are_cancelled(self) -> None:
        cancelled = threading.Event()

        def lasting(_call: Call, scope: CallScope) -> Reply:
            scope.on_cancel(cancelled.set)
            cancelled.wait(10)
            return good("late")

        agents = {"a": Scripted("a", [lasting]), "b": Scripted("b", [good("first")])}
        played = play({"pattern": "race", "agents": ["a", "b"]}, agents)

        assert cancelled.is_set()
        assert (played.report.answer, played.by_step["race"].data["winner"]) == ("first", "b")

    def test_an_answer_that_is_not_good_does_not_win(self) -> None:
        plan = {"steps": [{"id": "r", "race": {"agents": ["a", "b"], "good": "{{ answer.output }} contains ok"}}]}

        agents = {"a": Scripted("a", [good("hm")]), "b": Scripted("b", [slow(0.1, good("ok then"))])}

        assert play(plan, agents).report.answer == "ok then"

    def test_no_good_answer_is_a_failure(self) -> None:
        plan = {"steps": [{"id": "r", "race": {"agents": ["a", "b"], "good": "{{ answer.output }} contains ok"}}]}

        played = play(plan, {"a": Scripted("a", [good("hm")]), "b": Scripted("b", [bad(message="gone")])})

        assert "None of 2 agents gave a good answer (1 gave one that is not). r/b: gone" in str(
            played.by_step["r"].error
        )

    def test_a_loser_that_waits_for_a_place_is_never_called(self) -> None:
        agents = {"a": Scripted("a", [slow(0.05, good("won"))]), "b": Scripted("b")}

        played = play({"pattern": "race", "agents": ["a", "b"]}, agents, max_parallel=1)

        assert (played.report.answer, len(agents["b"].calls)) == ("won", 0)


class TestNested:
    """A plan inside a step."""

    PLAN: ClassVar[dict[str, Any]] = {
        "steps": [
            {"id": "first", "agent": "a"},
            {
                "id": "inner",
                "steps": [
                    {"id": "one", "agent": "a", "query": "one of {{ first.output }}"},
                    {"id": "two", "agent": "b", "depends_on": "one"},
                    {"id": "last", "agent": "b", "query": "hides the outer one"},
                ],
                "output": "{{ two.output }} + {{ last.output }}",
            },
            {"id": "last", "agent": "a", "query": "last: {{ inner.output }}, {{ inner.one }}"},
        ]
    }

    def test_its_steps_see_each_other_and_what_stands_around_them(self) -> None:
        played = play(self.PLAN, {"a": Scripted("a"), "b": Scripted("b")})

        assert played.report.answer == (
            "echo last: echo do it\n\n### a\necho one of echo do it + echo hides the outer one, echo one of echo do it"
        )
        assert set(parts(played)) == {"inner/one", "inner/two", "inner/last"}

    def test_one_of_its_steps_fails(self) -> None:
        played = play(self.PLAN, {"a": Scripted("a"), "b": Scripted("b", [bad(message="b broke")])})

        assert played.report.status is RunStatus.PARTIAL
        assert played.by_step["inner"].status is StepStatus.SUCCEEDED
        assert {error.step for error in played.report.errors} == {"inner/two", "inner/last"}

    def test_all_of_its_steps_fail(self) -> None:
        plan = {"steps": [{"id": "n", "steps": [{"id": "x", "agent": "b"}, {"id": "y", "agent": "b"}]}]}

        played = play(plan, {"b": Scripted("b", [bad(message="b broke")])})

        assert "No step succeeded. n/x: b broke" in str(played.by_step["n"].error)

    def test_a_plan_for_each_item(self) -> None:
        inner = [
            {"id": "find", "agent": "a", "query": "find {{ item }}"},
            {"id": "tell", "agent": "b", "depends_on": "find"},
        ]
        plan = {"steps": [{"id": "each", "for_each": ["x", "y"], "steps": inner}]}

        played = play(plan, {"a": Scripted("a"), "b": Scripted("b")})

        assert set(parts(played)) == {
            *("each[0]", "each[0]/find", "each[0]/tell"),
            *("each[1]", "each[1]/find", "each[1]/tell"),
        }
        assert "### a\necho find y" in played.by_step["each"].data["texts"][1]

    def test_conditions_and_joins_hold_inside_as_they_do_outside(self) -> None:
        inner = [
            {"id": "x", "agent": "a", "when": "{{ task }} contains never"},
            {"id": "y", "agent": "a"},
            {"id": "z", "agent": "b", "depends_on": ["x", "y"]},
        ]

        played = play({"steps": [{"id": "n", "steps": inner}]}, {"a": Scripted("a"), "b": Scripted("b")})

        assert {name: part.status.value for name, part in parts(played).items()} == {
            "n/x": "skipped", "n/y": "succeeded", "n/z": "succeeded",
        }  # fmt: skip
        assert played.report.status is RunStatus.SUCCEEDED

"""A manager and its team in a run: what it is told, what it may say, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.agents.port import Reply
from ensemble.contract.outcomes import RunStatus
from tests.ensemble.engine.kit import Played, Scripted, bad, good, play, slow
from tests.ensemble.engine.teams import answer, parts, subtasks


class TestManaged:
    """A manager and its team."""

    def managed(self, **more: Any) -> dict[str, Any]:
        return {"pattern": "hierarchical", "manager": "boss", "agents": ["a", "b"], **more}

    def play(self, boss: list[Any], a: list[Any] | None = None, b: list[Any] | None = None, **more: Any) -> Played:
        self.boss, self.a, self.b = Scripted("boss", boss), Scripted("a", a or []), Scripted("b", b or [])
        plan = self.managed(**more.pop("plan", {}))
        return play(plan, {"boss": self.boss, "a": self.a, "b": self.b}, **more)

    def test_the_team_works_and_the_manager_answers_from_its_results(self) -> None:
        plan = subtasks(("x", "a", "find x"), ("y", "b", "judge x"), after={"y": ["x"]})

        played = self.play([plan, answer("all done")])

        assert played.report.answer == "all done"
        assert self.a.calls[0].query == "find x"
        assert self.b.calls[0].query == "judge x\n\n### x (a)\necho find x"
        assert "### x (a)\necho find x" in self.boss.calls[1].query
        assert played.by_step["boss"].data["tasks"] == [
            {"id": "x", "agent": "a", "status": "succeeded"},
            {"id": "y", "agent": "b", "status": "succeeded"},
        ]

    def test_the_manager_may_answer_at_once(self) -> None:
        assert self.play([answer("easy")]).report.answer == "easy"

    def test_it_is_asked_once_what_its_question_refers_to_is_there(self) -> None:
        boss, a = Scripted("boss", [answer("easy")]), Scripted("a", [slow(0.1, good("facts"))])
        managed = {"manage": {"manager": "boss", "agents": ["a"]}, "query": "What of {{ first.output }}?"}

        played = play({"steps": [{"id": "first", "agent": "a"}, {"id": "g", **managed}]}, {"boss": boss, "a": a})

        assert boss.calls[0].query.startswith("What of facts?")
        assert played.report.warnings == ()

    def test_it_knows_whom_it_can_ask_and_what_for(self) -> None:
        self.play([answer("x")], plan={"agents": {"a": {"description": "knows\nmarkets"}, "b": None}})

        assert "- a: knows markets\n- b" in self.boss.calls[0].query

    @pytest.mark.parametrize(("reply", "told"), [
        (good("I think we should ask a."), "no JSON object"),
        (subtasks(("x", "market", "y")), "there is no agent 'market'"),
        (subtasks(("x", "a", "y"), after={"x": ["nobody"]}), "depends on 'nobody'"),
        (subtasks(("x", "a", "y"), ("z", "a", "w"), after={"x": ["z"], "z": ["x"]}), "A circle: x waits for z"),
        (subtasks(("x", "a", "")), "has no input"),
        (good('{"subtasks": [], "answer": ""}'), "neither subtasks nor an answer"),
        (subtasks(*[(str(n), "a", f"do {n}") for n in range(30)]), "at most 20"),
    ])  # fmt: skip
    def test_a_reply_that_can_t_be_used_is_asked_for_once_more_with_the_reason(self, reply: Reply, told: str) -> None:
        played = self.play([reply, answer("mended")])

        assert played.report.answer == "mended"
        assert told in self.boss.calls[1].query

    def test_a_manager_that_does_not_learn_fails_the_step_in_words(self) -> None:
        played = self.play([subtasks(("x", "aa", "y"))])

        assert len(self.boss.calls) == 2
        assert "Did you mean 'a'?" in str(played.by_step["boss"].error)

    def test_careless_json_is_read(self) -> None:
        careless = "<think>{no}</think>Here:\n```json\n{'subtasks': [{'id': 1, 'agent': 'A', 'input': 'go',}]}\n```"

        played = self.play([good(careless), answer("ok")])

        assert (played.report.answer, self.a.calls[0].query) == ("ok", "go")

    def test_what_failed_is_told_to_the_manager(self) -> None:
        played = self.play([subtasks(("x", "a", "x"), ("y", "b", "y")), answer("half")], b=[bad(message="b broke")])

        assert "### without a result\n- y (b): failed - b broke" in self.boss.calls[1].query
        assert played.report.status is RunStatus.SUCCEEDED
        assert any("1 of 2 subtasks had no result" in warning for warning in played.report.warnings)

    def test_the_same_work_again_is_refused_and_what_there_is_is_listed(self) -> None:
        played = self.play([subtasks(("x", "a", "find x"))])

        assert len(self.a.calls) == 1
        assert "given out before" in self.boss.calls[2].query
        assert played.report.answer == "### x (a)\n\necho find x"
        assert played.report.status is RunStatus.PARTIAL

    def test_the_rounds_are_bounded(self) -> None:
        replies = [subtasks((f"t{n}", "a", f"work {n}")) for n in range(9)]

        played = self.play(replies, plan={"max_rounds": 2})

        assert len(self.a.calls) == 2
        assert "No more work can be given out" in self.boss.calls[2].query
        assert played.report.status is RunStatus.PARTIAL

    def test_two_rounds_that_come_to_nothing_are_the_last(self) -> None:
        replies = [subtasks((f"t{n}", "a", f"work {n}")) for n in range(9)]

        played = self.play(replies, a=[bad(message="never")])

        assert (len(self.a.calls), played.report.status) == (2, RunStatus.FAILED)
        assert "Two rounds in a row" in str(played.by_step["boss"].error)

    def test_a_manager_that_dies_leaves_its_teams_results(self) -> None:
        played = self.play([subtasks(("x", "a", "find x")), bad(message="boss gone")])

        assert played.report.answer == "### x (a)\n\necho find x"
        assert any("boss gave no answer" in warning for warning in played.report.warnings)

    def test_a_team_below_the_team(self) -> None:
        plan = {
            "pattern": "hierarchical",
            "manager": "boss",
            "agents": ["a"],
            "teams": {"lab": {"manager": "lead", "agents": ["b"], "description": "tries things"}},
        }
        agents = {
            "boss": Scripted("boss", [subtasks(("t", "lab", "try it")), answer("tried")]),
            "lead": Scripted("lead", [subtasks(("s", "b", "step")), answer("lab says ok")]),
            "a": Scripted("a"),
            "b": Scripted("b"),
        }

        played = play(plan, agents)

        assert played.report.answer == "tried"
        assert set(parts(played)) == {
            "boss/ask[1]", "boss/1.t", "boss/1.t/ask[1]", "boss/1.t/1.s", "boss/1.t/ask[2]", "boss/ask[2]",
        }  # fmt: skip
        assert agents["lead"].calls[0].query.startswith("try it\n")
        assert "lab says ok" in agents["boss"].calls[1].query

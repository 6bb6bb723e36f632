"""Steps that wait for some of others, as the engine runs them."""

from __future__ import annotations

from ensemble.agents.port import Agent
from ensemble.contract.outcomes import RunStatus
from ensemble.engine.ledger.book import Book
from tests.ensemble.engine.kit import Scripted, bad, good, play, slow, team


class TestJoins:
    """Steps that wait for some of others."""

    def test_any_starts_with_the_first_and_ends_what_nothing_needs(self) -> None:
        plan = {
            "steps": [
                {"id": "quick", "agent": "quick"},
                {"id": "slow", "agent": "slow"},
                {"id": "after", "agent": "after", "depends_on": ["quick", "slow"], "join": "any"},
            ]
        }
        agents: dict[str, Agent] = {"quick": Scripted("q"), "slow": Scripted("s", [slow(20)]), "after": Scripted("a")}

        played = play(plan, agents)

        assert played.seconds < 5
        assert played.statuses() == {"quick": "succeeded", "slow": "cancelled", "after": "succeeded"}
        assert played.report.status is RunStatus.SUCCEEDED

    def test_any_lets_go_on_what_the_answer_reads(self) -> None:
        plan = {
            "steps": [
                {"id": "quick", "agent": "quick"},
                {"id": "slow", "agent": "slow"},
                {"id": "after", "agent": "after", "depends_on": ["quick", "slow"], "join": "any"},
            ],
            "output": "{{ slow.text }} and {{ after.text }}",
        }
        agents: dict[str, Agent] = {
            "quick": Scripted("q"),
            "slow": Scripted("s", [slow(0.2, good("late"))]),
            "after": Scripted("a", [good("early")]),
        }

        assert play(plan, agents).report.answer == "late and early"

    def test_a_quorum_that_can_no_longer_be_met_is_said(self) -> None:
        plan = {
            "steps": [
                {"id": "a", "agent": "a"},
                {"id": "b", "agent": "b"},
                {"id": "c", "agent": "c"},
                {"id": "d", "agent": "d", "depends_on": ["a", "b", "c"], "join": "quorum(2)"},
            ]
        }
        agents: dict[str, Agent] = {**team("a", "d"), "b": Scripted("b", [bad()]), "c": Scripted("c", [bad()])}

        played = play(plan, agents)

        assert played.statuses()["d"] == "skipped"
        assert "quorum_impossible" in str(played.by_step["d"].error)


def test_a_step_skipped_for_one_failure_does_not_end_its_healthy_siblings() -> None:
    plan = {
        "steps": [
            {"id": "a", "agent": "a"},
            {"id": "b", "agent": "b"},
            {"id": "c", "agent": "c", "depends_on": ["a", "b"]},
        ]
    }
    agents: dict[str, Agent] = {
        "a": Scripted("a", [bad()]),
        "b": Scripted("b", [slow(0.2, good("all there is"))]),
        **team("c"),
    }

    played = play(plan, agents)

    assert played.statuses() == {"a": "failed", "b": "succeeded", "c": "skipped"}
    assert "all there is" in played.report.answer


def test_a_step_that_recovered_without_a_call_needs_no_more_of_others() -> None:
    """A run that is resumed: what its join wants is kept, its agent is refused, and nothing waits for the rest."""
    fields = {"id": "after", "agent": "after", "depends_on": ["quick", "slow"], "join": "any"}
    others = [{"id": "quick", "agent": "quick"}, {"id": "slow", "agent": "slow"}]
    touchy = {"after": {"breaker": {"failure_threshold": 1}}}
    book, after = Book(), Scripted("a", [bad()])
    agents: dict[str, Agent] = {"quick": Scripted("q"), "slow": Scripted("s", [bad(), slow(20)]), "after": after}
    play({"agents": touchy, "steps": [*others, fields]}, agents, ledger=book, run_key="k")

    recovering = {**fields, "fallback": {"default": "x"}}
    played = play({"agents": touchy, "steps": [*others, recovering]}, agents, ledger=book, run_key="k")

    assert (played.report.answer, len(after.calls), played.seconds < 5) == ("x", 1, True)
    assert played.statuses() == {"quick": "succeeded", "slow": "cancelled", "after": "succeeded"}

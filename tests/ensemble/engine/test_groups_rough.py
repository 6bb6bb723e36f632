"""Groups that are handled roughly: hostile texts, ends before their time, and joins that are met without them."""

from __future__ import annotations

from tests.ensemble.engine.kit import Scripted, good, play
from tests.ensemble.engine.teams import mapped


def test_half_characters_in_what_a_model_wrote_do_not_cost_the_run() -> None:
    plan = mapped("{{ list.output }}")
    plan["steps"].insert(0, {"id": "list", "agent": "l"})
    plan["steps"][1] |= {"inputs": None, "query": "{{ item }} of {{ list.output[0] }}"}
    plan["output"] = "{{ list.output[1] }}"
    agent = Scripted("a")

    played = play(plan, {"a": agent, "l": Scripted("l", [good(r'["x\ud800", "y\udfff"]')])})

    assert sorted(call.query for call in agent.calls) == ["x? of x?", "y? of x?"]
    assert played.report.answer == "y?"

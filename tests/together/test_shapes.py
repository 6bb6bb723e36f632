"""What is sent is what the tool's output_schema declares: all of it, nothing else, and no nulls."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.standin.apps import App, Usage
from tests.standin.failures import Failure, Failures, always, first
from tests.standin.invocation import Result
from tests.standin.parameters import declared_tools
from tests.standin.service_api import ROOT
from tests.together.schema import violations
from tests.together.team import Team, entry

SCHEMA: dict[str, Any] = declared_tools(ROOT)["orchestrator"].yaml["output_schema"]
RESULT = SCHEMA["properties"]["results"]["items"]["properties"]

type MakeTeam = Callable[..., Team]

USAGE = Usage(prompt_tokens=40, completion_tokens=2, total_price=Decimal("0.0012300"))
DEAD = App(name="dead", failures=always("node_failed"))
RICH = App(
    name="rich",
    mode="workflow",
    outputs={"answer": "facts", "confidence": 0.75, "sources": [{"title": "a book"}], "rows": [1, None], "none": None},
    usage=USAGE,
)
KEPT = App(name="kept", failures=Failures(sequence=(None,), always=Failure(kind="node_failed")))
CHAT = App(name="chat", answer="words about {query}", usage=USAGE)


def sent_as_declared(result: Result) -> None:
    """Every declared output was sent, as declared."""
    assert result.error is None, result.error
    assert SCHEMA["properties"].keys() == result.variables.keys()
    assert [] == list(violations(result.variables, SCHEMA))
    assert [] == result.json


def test_a_run_in_which_everything_happens_is_sent_as_declared(make_team: MakeTeam) -> None:
    """A success with data, confidence and sources, a failure, a step skipped for it, one that `when` skips, a fallback."""
    team = make_team(RICH, CHAT, DEAD, KEPT)
    kept = {"id": "kept", "agent": "kept", "cache": 600}
    team.run("hello", plan=json.dumps({"steps": [kept]}))
    steps = [
        kept,
        {"id": "rich", "agent": "rich", "inputs": {}},
        {"id": "dead", "agent": "dead"},
        {"id": "after", "agent": "chat", "depends_on": ["dead"]},
        {"id": "never", "agent": "chat", "when": "{{ rich.confidence }} > 0.9"},
        {"id": "chat", "agent": "chat"},
    ]

    result = team.run("hello", plan=json.dumps({"steps": steps}))

    sent_as_declared(result)
    assert "partial" == result.variables["status"]
    rich = entry(result, "rich")
    assert ("facts", 0.75, [{"title": "a book"}]) == (rich["text"], rich["confidence"], rich["sources"])
    assert ("agent", 1) == (rich["source"], rich["attempts"])
    dead = entry(result, "dead")
    assert ("", "failed", "agent_failed") == (dead["text"], dead["status"], dead["error"]["code"])
    assert ("skipped", "upstream_failed") == (entry(result, "after")["status"], entry(result, "after")["error"]["code"])
    assert ("skipped", False) == (entry(result, "never")["status"], "error" in entry(result, "never"))
    seen = {field for each in result.variables["results"] for field in each}
    assert RESULT.keys() == seen
    assert ["dead", "after"] == [each["step"] for each in result.variables["errors"]]


@pytest.mark.parametrize("fields", [{"pattern": "parallel"}, {"pattern": "sequential"}, {"limits": "max_calls: 1"}])
def test_every_way_to_run_is_sent_as_declared(make_team: MakeTeam, fields: dict[str, str]) -> None:
    """The same outputs, whatever the pattern and however it ended."""
    sent_as_declared(make_team(CHAT, DEAD).run("hello", **fields))


def test_local_mode_is_sent_as_declared(make_team: MakeTeam) -> None:
    """A builder's later nodes need not know whether there is a sidecar."""
    team = make_team(CHAT, DEAD)

    sent_as_declared(team.run("hello", saved=team.credentials(sidecar_url="", sidecar_token="")))


def test_usage_is_summed_over_steps_and_attempts(make_team: MakeTeam) -> None:
    """Tokens as a number, the price as Dify's digits."""
    team = make_team(CHAT, CHAT.model_copy(update={"name": "other"}))

    result = team.run("hello", pattern="parallel")

    assert 84 == result.variables["usage"]["tokens"]
    assert Decimal("0.00246") == Decimal(result.variables["usage"]["price"])
    assert ("USD", False) == (result.variables["usage"]["currency"], result.variables["usage"]["estimated"])
    assert 42 == entry(result, "chat")["usage"]["tokens"]


def test_unknown_usage_is_left_out_and_not_zero(make_team: MakeTeam) -> None:
    """A call that failed tells no tokens; the sum says that it is an estimate."""
    team = make_team(App(name="shaky", answer="words", usage=USAGE, failures=first("node_failed")))
    plan = json.dumps({"steps": [{"id": "shaky", "agent": "shaky", "retry_times": 1}]})

    result = team.run("hello", plan=plan)

    sent_as_declared(result)
    assert (2, True) == (entry(result, "shaky")["attempts"], result.variables["usage"]["estimated"])


def test_progress_is_streamed_while_the_agents_work(make_team: MakeTeam) -> None:
    """A line an event, the first of them before the agent's answer; put together they are the variable."""
    team = make_team(App(name="slow", answer="words", latency_s=0.5))

    result = team.run("hello")

    lines = result.streamed["progress"]
    assert "".join(lines) == result.variables["progress"]
    assert all(line.endswith("\n") for line in lines)
    begun = next(each for each in result.messages if each.content.get("variable_name") == "progress")
    assert begun.at_s < team.calls("slow")[0].ended_s  # type: ignore[operator]  # the call has ended
    assert any("slow" in line for line in lines)


def test_a_node_that_fails_sends_no_outputs_but_what_it_streamed(make_team: MakeTeam) -> None:
    """Dify drops what a failed node sent; nothing of ours relies on it."""
    result = make_team(DEAD).run("hello")

    assert result.error is not None
    assert {"progress"} == result.variables.keys()
    assert "" == result.text

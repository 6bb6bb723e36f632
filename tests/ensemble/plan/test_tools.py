"""Tools as agents: both ways to write one, and every way to write one wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from ensemble.agents.identity import tool_identity
from ensemble.contract.base import Identity
from ensemble.plan.agents import ToolAgent
from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.plan.reading.plan import read_plan

SEARCH = "langgenius/google/google/google_search"
ROOT = Path(__file__).resolve().parents[3]
CREDENTIAL = "A675A0C4-332F-4255-811E-E0D750B808DF"


def read(source: Any, **parameters: Any) -> Plan:
    return read_plan(source, known=("market", "writer"), **parameters)


def with_tool(tool: Any, **step: Any) -> dict[str, Any]:
    return {"agents": {"search": {"tool": tool}}, "steps": [{"id": "s", "agent": "search", "inputs": {}, **step}]}


def faults(source: Any) -> list[tuple[str, str]]:
    with pytest.raises(PlanError) as refused:
        read(source)
    return [(fault.field, fault.problem) for fault in refused.value.faults]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (SEARCH, ToolAgent("langgenius/google/google", "google_search")),
        ("time/current_time", ToolAgent("time", "current_time")),
        ({"provider": "langgenius/google/google", "name": "google_search"}, ToolAgent("langgenius/google/google", "google_search")),
        ({"type": "api", "provider": "Our stock, 2026", "name": "find"}, ToolAgent("Our stock, 2026", "find", "api")),
        (
            {"type": "workflow", "provider": CREDENTIAL.lower(), "name": "report"},
            ToolAgent(CREDENTIAL.lower(), "report", "workflow"),
        ),
        ({"type": "MCP", "provider": "files", "name": "read"}, ToolAgent("files", "read", "mcp")),
        (
            {"provider": "a/b/c", "name": "d", "credential_id": CREDENTIAL},
            ToolAgent("a/b/c", "d", "builtin", CREDENTIAL.lower()),
        ),
    ],
)  # fmt: skip
def test_a_tool_is_an_agent(written: Any, meant: ToolAgent) -> None:
    assert meant == read(with_tool(written)).agents["search"].ref


@pytest.mark.parametrize(
    ("tool", "field", "problem"),
    [
        ("google_search", "agents.search.tool", "It names no provider and tool."),
        ("/", "agents.search.tool", "It names no provider and tool."),
        ({"provider": "a/b/c"}, "agents.search.tool", "It names no provider and tool."),
        ({"name": "d"}, "agents.search.tool", "It names no provider and tool."),
        (["a", "b"], "agents.search.tool", "It is no text."),
        ({"provider": "a/b/c", "name": "d", "type": "plugin"}, "agents.search.tool.type", "'plugin' is unknown."),
        ({"provider": "a/b/c", "name": "d", "key": "x"}, "agents.search.tool.key", "There is no such field."),
        ({"provider": "a/b/c", "name": "d", "credential_id": "mine"}, "agents.search.tool.credential_id", "'mine' is no UUID."),
        ({"provider": "a" * 251, "name": "d"}, "agents.search.tool", "It is too long."),
    ],
)  # fmt: skip
def test_a_tool_written_wrongly_is_named(tool: Any, field: str, problem: str) -> None:
    assert (field, problem) in faults(with_tool(tool))


def test_the_longest_names_make_an_identity_the_ledger_takes() -> None:
    ref = read(with_tool({"provider": "p" * 250, "name": "n" * 250})).agents["search"].ref
    assert isinstance(ref, ToolAgent)

    TypeAdapter(Identity).validate_python(tool_identity(ref.provider, ref.name))


@pytest.mark.parametrize(
    "tool",
    [
        "ensemble/ensemble/ensemble/orchestrator",
        "Ensemble/ensemble/ensemble/router",
        {"provider": "ensemble/ensemble/ensemble", "name": "anything"},
        {"type": "builtin", "provider": f"{CREDENTIAL}/ensemble/ensemble", "name": "orchestrator"},
    ],
)
def test_our_own_tools_are_refused_in_words(tool: Any) -> None:
    (found,) = faults(with_tool(tool))

    assert "agents.search.tool" == found[0]
    assert found[1].startswith("A team can't call Ensemble's own tools")


def test_somebody_elses_plugin_of_that_name_is_not_ours() -> None:
    assert "acme/ensemble/ensemble" == getattr(
        read(with_tool("acme/ensemble/ensemble/mix")).agents["search"].ref, "provider", None
    )


def test_the_name_that_is_refused_is_the_one_the_package_has() -> None:
    manifest = yaml.safe_load((ROOT / "manifest.yaml").read_text(encoding="utf-8"))
    provider = yaml.safe_load((ROOT / "provider/ensemble.yaml").read_text(encoding="utf-8"))
    own = f"{manifest['author']}/{manifest['name']}/{provider['identity']['name']}"

    for tool in provider["tools"]:
        assert faults(with_tool(f"{own}/{Path(tool).stem}"))


def test_a_tool_needs_inputs_and_is_asked_no_question() -> None:
    agents = {"search": {"tool": SEARCH}}
    asked = {"id": "t", "agent": "search", "inputs": {"q": "x"}, "query": "why?"}

    assert [
        ("steps[0].inputs", "'search' is a tool and has no inputs."),
        ("steps[1].query", "'search' is a tool, and tools are asked no question."),
    ] == faults({"agents": agents, "steps": [{"id": "s", "agent": "search"}, asked]})


def test_inputs_of_the_agent_will_do_also_in_a_team() -> None:
    agents = {"search": {"tool": SEARCH, "inputs": {"query": "{{ task }}"}}, "market": None}

    assert ["search", "market"] == [step.id for step in read({"agents": agents, "pattern": "sequential"}).steps]
    assert [("agents.search.inputs", "'search' is a tool and has no inputs.")] == faults(
        {"agents": {"search": {"tool": SEARCH}, "market": None}}
    )


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({"tool": SEARCH, "app": "market"}, "It has both an app and a tool."),
        ({"tool": SEARCH, "model": "a/b/c/d", "prompt": "p"}, "It has both a model and a tool."),
        ({"tool": SEARCH, "app": "market", "model": "a/b/c/d", "prompt": "p"}, "It has both an app and a model and a tool."),
    ],
)  # fmt: skip
def test_an_agent_is_one_thing(spec: dict[str, Any], problem: str) -> None:
    steps = [{"id": "s", "agent": "x", "inputs": {}}]

    assert ("agents.x", problem) in faults({"agents": {"x": spec}, "steps": steps})


def test_a_list_may_hold_a_tool_too() -> None:
    plan = read({"agents": [{"name": "search", "tool": SEARCH, "inputs": {"query": "{{ task }}"}}]})

    assert ToolAgent("langgenius/google/google", "google_search") == plan.agents["search"].ref


def test_a_tool_is_no_classifier() -> None:
    plan = {
        "pattern": "routing",
        "agents": ["market", "writer"],
        "route": {"classifier": "search"},
    }

    with pytest.raises(PlanError, match=r"route.classifier: 'search' is a tool, and tools are asked no question"):
        read(plan, agents={"search": {"tool": SEARCH, "inputs": {"query": "x"}}})

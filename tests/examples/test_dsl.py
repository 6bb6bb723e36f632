"""The apps under `examples/dsl` are as Dify imports them, and the team's node is the tool as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pages import ROOT
from tests.standin.parameters import REFERENCE, declared_tools, prepare, typed

FOLDER = ROOT / "examples/dsl"
FILES = sorted(FOLDER.glob("*.yml"))
SYSTEM = {"sys.workflow_run_id", "sys.user_id", "sys.app_id", "sys.workflow_id", "sys.files"}
"""What every workflow app has without a node."""


def load(path: Path) -> dict[str, Any]:
    """Return an app's file."""
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def nodes(app: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what the nodes hold, by their ids."""
    return {node["id"]: node["data"] for node in app["workflow"]["graph"]["nodes"]}


def gives(node: dict[str, Any]) -> set[str]:
    """Return the variables others may take from a node."""
    match node["type"]:
        case "start":
            return {each["variable"] for each in node["variables"]}
        case "template-transform":
            return {"output"}
        case "tool":
            schema = declared_tools(ROOT)[node["tool_name"]].yaml["output_schema"]
            return {"text", "json", "files", *schema["properties"]}
        case _:
            return set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_app_has_the_form_dify_imports(path: Path) -> None:
    """The oldest version that all Difys from 1.7 on take, ids a reference can name, and edges between nodes there are."""
    app = load(path)
    found = nodes(app)
    graph = app["workflow"]["graph"]

    assert (app["kind"], app["version"], app["app"]["mode"]) == ("app", "0.3.1", "workflow")
    assert all(re.fullmatch("[a-zA-Z0-9_]{1,50}", name) for name in found)
    assert all(node["type"] == "custom" and {"x", "y"} == {*node["position"]} for node in graph["nodes"])
    for edge in graph["edges"]:
        assert edge["data"]["sourceType"] == found[edge["source"]]["type"]
        assert edge["data"]["targetType"] == found[edge["target"]]["type"]
        assert (edge["type"], edge["sourceHandle"], edge["targetHandle"]) == ("custom", "source", "target")
    chain = [found[edge["source"]]["type"] for edge in graph["edges"]]
    assert chain[0] == "start"
    assert len(graph["edges"]) == len(found) - 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_whatever_a_node_takes_another_one_gives(path: Path) -> None:
    """By selectors, and by references in typed texts; Dify would strip the braces of an unknown one."""
    found = nodes(load(path))
    known = {f"{name}.{variable}" for name, node in found.items() for variable in gives(node)}
    text = path.read_text(encoding="utf-8")
    selectors = [
        each["value_selector"] for node in found.values() for each in (*node.get("outputs", ()), *node.get("variables", ()))
        if "value_selector" in each
    ]  # fmt: skip

    assert selectors
    assert {".".join(selector) for selector in selectors} <= known
    assert set(REFERENCE.findall(text)) <= known | SYSTEM
    assert text.count("{{#") == len(REFERENCE.findall(text))


def test_the_teams_node_is_the_orchestrator_and_names_apps_that_are_here() -> None:
    """Each field in its place, as Dify hands it on; and the agents answer with a text output."""
    node = nodes(load(FOLDER / "team.yml"))["team"]
    tool = declared_tools(ROOT)[node["tool_name"]]
    manifest = load(ROOT / "manifest.yaml")
    forms = {each["name"]: each["form"] for each in tool.yaml["parameters"]}

    assert node["provider_id"] == node["provider_name"] == f"{manifest['author']}/{manifest['name']}/{tool.provider}"
    assert {forms[name] for name in node["tool_parameters"]} == {"llm"}
    assert {forms[name] for name in node["tool_configurations"]} == {"form"}
    given = {
        name: typed(each["value"]) for name, each in (node["tool_parameters"] | node["tool_configurations"]).items()
    }
    pool = {"start.query": "solar pumps", "sys.workflow_run_id": "run-1"}
    prepared = prepare(tool.yaml, given, pool)
    assert (prepared["task"], prepared["run_key"], prepared["pattern"]) == ("solar pumps", "run-1", "parallel")
    assert [name.strip() for name in prepared["agents"].split(",")] == ["market", "tech"]
    assert {load(FOLDER / f"{name.strip()}.yml")["app"]["name"] for name in prepared["agents"].split(",")} == {
        "market",
        "tech",
    }
    assert node["retry_config"]["retry_enabled"] is True

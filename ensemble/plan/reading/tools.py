"""Tools of the workspace as agents: how a plan writes one, and what a step that calls one has to have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ensemble.plan.agents import AgentSpec, ToolAgent
from ensemble.plan.faults import Faults, folded
from ensemble.plan.model import Step
from ensemble.plan.reading.fields import Fields, at

__all__ = ["TOOL_TYPES", "check_tools", "read_tool"]

TOOL_TYPES = ("builtin", "api", "workflow", "mcp")
"""Dify's words for where a tool comes from: a plugin or Dify itself, an OpenAPI schema, a workflow, an MCP server."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OURSELVES = re.compile(rf"(?:ensemble|{_UUID})/ensemble/ensemble")
"""Our own provider, as installed, and as it is called while somebody debugs the plugin from a machine of theirs."""
_LONGEST = 250
"""Of a provider and of a tool, characters: an identity holds both in at most 512."""


def read_tool(fields: Fields, faults: Faults) -> ToolAgent | None:
    """Read ``tool``: ``author/plugin/provider/tool``, or a map that says more."""
    given = fields.take("tool")
    if given is None:
        return None
    path = fields.at("tool")
    if isinstance(given, Mapping):
        parts = Fields(given, path, faults)
        kind = parts.choice("type", TOOL_TYPES) or TOOL_TYPES[0]
        provider, name = parts.text("provider").strip(), parts.text("name").strip()
        credential = parts.text("credential_id").strip().lower()
        parts.close()
        if credential and not re.fullmatch(_UUID, credential):
            fix = "Copy the id of saved credentials from Dify, or leave it out for the default ones."
            faults.add(at(path, "credential_id"), f"'{credential[:60]}' is no UUID.", fix)
    else:
        provider, _, name = fields.text("tool").strip().strip("/").rpartition("/")
        kind, credential = TOOL_TYPES[0], ""
    if not provider or not name:
        faults.add(
            path,
            "It names no provider and tool.",
            "Write author/plugin/provider/tool, such as langgenius/google/google/google_search, "
            "or {type: ..., provider: ..., name: ...}.",
        )
    elif len(provider) > _LONGEST or len(name) > _LONGEST:
        faults.add(path, "It is too long.", f"Providers and tools have up to {_LONGEST} characters.")
    elif _OURSELVES.fullmatch(folded(provider)):
        faults.add(
            path,
            "A team can't call Ensemble's own tools: each call would begin a run beside this one, without its limits.",
            "Write the steps into this plan, or call an app that has a team of its own.",
        )
    return ToolAgent(provider, name, kind, credential or None)


def check_tools(
    steps: Iterable[Step],
    agents: Mapping[str, AgentSpec],
    paths: Mapping[str, str],
    faults: Faults,
    *,
    classifier: str = "",
) -> None:
    """Note every place where a tool would not know what it is given: it takes parameters by name, never a text.

    Args:
        steps: Of the plan.
        agents: By name.
        paths: Where each step stands, by its id; steps that a pattern made stand nowhere.
        faults: Where it is noted.
        classifier: The agent that is asked which way to go; empty without one.

    """
    if classifier in agents and isinstance(agents[classifier].ref, ToolAgent):
        fix = "Let an app or a model decide, or write rules."
        faults.add("route.classifier", f"'{classifier}' is a tool, and tools are asked no question.", fix)
    for step in steps:
        spec = agents.get(step.agent)
        if spec is None or not isinstance(spec.ref, ToolAgent):
            continue
        path = paths.get(step.id, "")
        if step.query is not None:
            fix = "Write it into the inputs, under the name of the tool's parameter."
            faults.add(at(path, "query"), f"'{spec.name}' is a tool, and tools are asked no question.", fix)
        if step.inputs is None and not spec.inputs:
            faults.add(
                at(path, "inputs") if path else at(at("agents", spec.name), "inputs"),
                f"'{spec.name}' is a tool and has no inputs.",
                'Write which parameter gets what, such as inputs: {query: "{{ task }}"}'
                + (", or inputs: {} for a tool without parameters." if path else "."),
            )

"""Reading ``agents`` and ``tools``: who may be called, and with which settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ensemble.plan.agents import ON_UNCERTAIN, ModelAgent, ToolAgent
from ensemble.plan.faults import Faults, folded
from ensemble.plan.reading.fallbacks import fallback_settings
from ensemble.plan.reading.fields import MAX_RETRIES, MAX_TOKENS, Fields, at, entries, name_of
from ensemble.plan.reading.lookup import Declaration
from ensemble.plan.reading.source import parse_text
from ensemble.plan.reading.texts import Texts
from ensemble.plan.reading.tools import read_tool

__all__ = ["Named", "named_agents", "parse_agents", "read_agents", "read_settings", "read_tools"]

type Named = tuple[str, str, Any]
"""The path, the name and the spec of an agent; the spec is None where only the name is given."""

FIELDS = frozenset(
    {
        "app",
        "model",
        "prompt",
        "tool",
        "description",
        "inputs",
        "timeout",
        "retry_times",
        "max_tokens",
        "breaker",
        "memory",
        "on_uncertain",
        "cache",
        "fallback",
    }
)
"""The fields of one agent."""

_SEPARATORS = re.compile(r"[,;\uff0c\uff1b\u3001\n]")
"""Commas, semicolons (the full-width ones too) and lines."""
_STRUCTURED = re.compile(r"\A\s*(```|[\[{]|-\s)|:")


def parse_agents(source: Any, faults: Faults) -> Any:
    """Return the tool's ``agents`` parameter as a list or map; names may stand in a line, in lines or in YAML."""
    if not isinstance(source, str):
        return source
    if _STRUCTURED.search(source):
        return parse_text(source, "agents", faults)
    return [name.strip() for name in _SEPARATORS.split(source) if name.strip()]


def named_agents(data: Any, faults: Faults) -> list[Named]:
    """Return what ``agents`` lists, in order, each with its path, its name and its spec."""
    if isinstance(data, str):
        data = [name.strip() for name in _SEPARATORS.split(data) if name.strip()]
    if isinstance(data, Mapping):
        listed = [(at("agents", str(name)), name, spec) for name, spec in data.items()]
    else:
        listed = [(path, *_listed(item)) for path, item in entries(data, "agents", faults)]
    return [(path, name, spec) for path, given, spec in listed if (name := name_of(given, path, faults))]


def read_agents(named: Iterable[Named], texts: Texts) -> tuple[Declaration, ...]:
    """Return the agents that *named* declares; one that is only named twice is one agent, called twice."""
    found: dict[str, Declaration] = {}
    for path, name, spec in named:
        if folded(name) not in found:
            found[folded(name)] = _declaration(name, path, spec, texts)
        elif spec is not None:
            fix = "Give every agent a name of its own; case does not count."
            texts.faults.add(path, f"The name '{name}' is taken.", fix)
    return tuple(found.values())


def read_tools(data: Any, faults: Faults) -> tuple[Declaration, ...]:
    """Return the agents that ``tools`` declares: ``{name, type: dify_app, app_id, description}`` each."""
    found: dict[str, Declaration] = {}
    for path, item in entries(data, "tools", faults):
        fields = Fields(item, path, faults)
        name = fields.name("name")
        fields.choice("type", ("dify_app",))
        target = fields.text("app_id").strip()
        settings = {"description": fields.text("description")}
        fields.close()
        if name is None:
            if not fields.has("name"):
                faults.add(at(path, "name"), "It is missing.", "Name the agent as the steps call it.")
        elif folded(name) in found:
            faults.add(at(path, "name"), f"The name '{name}' is taken.", "Give every tool a name of its own.")
        else:
            target_path = at(path, "app_id" if target else "name")
            found[folded(name)] = Declaration(
                name=name, path=path, target=target or name, target_path=target_path, settings=settings
            )
    return tuple(found.values())


def read_settings(fields: Fields) -> dict[str, Any]:
    """Return the settings that agents, steps and defaults share."""
    return {
        "timeout_s": fields.seconds("timeout"),
        "retry_times": fields.whole("retry_times", 0, MAX_RETRIES),
        "max_tokens": fields.whole("max_tokens", 1, MAX_TOKENS),
        "on_uncertain": fields.choice("on_uncertain", ON_UNCERTAIN),
    }


def _listed(item: Any) -> tuple[Any, Any]:
    """Return name and spec of an entry of a list: a name, ``{name: …, app: …}`` or ``{market: …}``."""
    if not isinstance(item, Mapping):
        return item, None
    if "name" in item:
        return item["name"], {key: value for key, value in item.items() if key != "name"}
    if len(item) == 1 and not FIELDS.intersection(item):
        return next(iter(item.items()))
    return None, item


def _declaration(name: str, path: str, spec: Any, texts: Texts) -> Declaration:
    if spec is None or isinstance(spec, str | int):
        target = str(spec).strip() if spec not in {None, ""} else name
        return Declaration(name=name, path=path, target=target, target_path=path)
    fields = Fields(spec, path, texts.faults)
    target = fields.text("app").strip()
    model, tool = _model(fields, texts.faults), read_tool(fields, texts.faults)
    kinds = [kind for kind, given in (("an app", target), ("a model", model), ("a tool", tool)) if given]
    if len(kinds) > 1:
        texts.faults.add(path, f"It has both {' and '.join(kinds)}.", "Keep one of them.")
    inputs = fields.take("inputs")
    if inputs is not None and not isinstance(inputs, Mapping):
        texts.faults.add(fields.at("inputs"), "It is no map.", "Write 'name: value' pairs.")
        inputs = None
    settings = {
        "description": fields.text("description"),
        "inputs": texts.value(inputs or {}, fields.at("inputs")),
        "breaker": fields.breaker("breaker"),
        "memory": _memory(fields, model or tool, texts.faults),
        **read_settings(fields),
        **fallback_settings(fields, texts),
    }
    fields.close()
    target_path = fields.at("app") if target else path
    return Declaration(
        name=name, path=path, target=target or name, target_path=target_path, ref=model or tool, settings=settings
    )


def _memory(fields: Fields, ref: ModelAgent | ToolAgent | None, faults: Faults) -> bool:
    """Read ``memory``, which only apps can have."""
    memory = bool(fields.flag("memory"))
    if memory and ref is not None:
        problem = f"A {'model' if isinstance(ref, ModelAgent) else 'tool'} holds no conversation it could go on with."
        faults.add(fields.at("memory"), problem, "Leave it out, or call a chat-like app, which holds conversations.")
    return memory


def _model(fields: Fields, faults: Faults) -> ModelAgent | None:
    """Read ``model`` and ``prompt``; the model as ``provider/model`` or, as Dify writes it, ``{provider, name}``."""
    given, prompt = fields.take("model"), fields.text("prompt")
    if given is None:
        if prompt:
            faults.add(fields.at("prompt"), "A prompt needs a model.", "Add model: {provider: ..., name: ...}.")
        return None
    if isinstance(given, Mapping):
        parts = Fields(given, fields.at("model"), faults)
        provider, model = parts.text("provider").strip(), parts.text("name").strip()
        parts.close()
    else:
        provider, _, model = fields.text("model").strip().rpartition("/")
    if not provider or not model:
        faults.add(
            fields.at("model"),
            "It names no provider and model.",
            "Write provider/model, such as langgenius/openai/openai/gpt-4o, or {provider: ..., name: ...}.",
        )
    if not prompt.strip():
        faults.add(fields.at("prompt"), "A model needs a prompt.", "Say what the agent shall do.")
    return ModelAgent(provider, model, prompt)

"""What Dify does to a tool's parameters between the node and the plugin: templates first, then a cast by type."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REFERENCE = re.compile(r"\{\{#([a-zA-Z0-9_]{1,50}(?:\.[a-zA-Z_][a-zA-Z0-9_]{0,29}){1,10})#\}\}")
"""Dify's own pattern of a variable inside a typed text."""

YES, NO = {"true", "yes", "y", "1"}, {"false", "no", "n", "0"}


class ParameterRefused(Exception):  # noqa: N818 - Dify's node fails with it; nothing is broken.
    """Dify refuses the node's configuration before the plugin is asked."""


@dataclass(frozen=True)
class Typed:
    """A text a builder typed into the node, where other nodes' variables may stand as `{{#node.name#}}`."""

    text: str


@dataclass(frozen=True)
class Variable:
    """A value chosen with the variable picker: it arrives as it is."""

    value: Any


def typed(text: str) -> Typed:
    """A text typed into the node."""
    return Typed(text)


def variable(value: Any) -> Variable:
    """A variable chosen in the node."""
    return Variable(value)


def render(text: str, pool: Mapping[str, Any]) -> str:
    """Resolve the references Dify knows; one it does not know loses its braces and stays as words."""
    parts = REFERENCE.split(text)
    return "".join(_as_text(pool[part]) if index % 2 and part in pool else part for index, part in enumerate(parts))


def prepare(tool: Mapping[str, Any], given: Mapping[str, Any], pool: Mapping[str, Any]) -> dict[str, Any]:
    """Make a tool's parameters as the plugin sees them.

    Args:
        tool: The tool's YAML.
        given: `typed(...)`, `variable(...)`, a plain text (as typed) or another constant, by name. A name without a
            value is left out, as for a field never touched.
        pool: The workflow's variables, `node.name` to value, for references in typed texts.
    """
    prepared: dict[str, Any] = {}
    declared = {parameter["name"]: parameter for parameter in tool.get("parameters", [])}
    for name, value in given.items():
        # A node saved with a parameter that the tool dropped since gives None.
        prepared[name] = _cast(declared[name], _value(declared[name], value, pool)) if name in declared else None
    for name, parameter in declared.items():
        if name not in given:
            _fill(prepared, parameter)
    return prepared


@dataclass(frozen=True)
class DeclaredTool:
    """A tool as Dify knows it from the package."""

    provider: str
    """The name of the provider that lists it."""
    yaml: dict[str, Any]


def declared_tools(root: Path) -> dict[str, DeclaredTool]:
    """All tools of a plugin's folder by name, found through the manifest and the providers it lists."""
    found: dict[str, DeclaredTool] = {}
    for provider_path in _load(root / "manifest.yaml")["plugins"].get("tools", []):
        provider = _load(root / provider_path)
        for tool in (_load(root / path) for path in provider.get("tools", [])):
            found[tool["identity"]["name"]] = DeclaredTool(provider["identity"]["name"], tool)
    return found


def _load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def _fill(prepared: dict[str, Any], parameter: Mapping[str, Any]) -> None:
    """A parameter without a value: absent, unless it is a form field with a default."""
    name, default = parameter["name"], parameter.get("default")
    if parameter.get("form") == "form" and default is not None:
        prepared[name] = _cast(parameter, default)
    elif parameter.get("required"):
        raise ParameterRefused(f"tool parameter {name} not found in tool config")


def _value(parameter: Mapping[str, Any], given: Any, pool: Mapping[str, Any]) -> Any:
    if isinstance(given, Variable):
        return given.value
    text = given.text if isinstance(given, Typed) else given
    if isinstance(text, str):
        return render(text, pool)
    # A form field keeps its constant; in any other field Dify renders it as text, a dict as Python writes it.
    return text if parameter.get("form") == "form" else str(text)


def _cast(parameter: Mapping[str, Any], value: Any) -> Any:
    options = [option["value"] for option in parameter.get("options") or []]
    if parameter["type"] == "select" and value is not None and value not in options:
        raise ParameterRefused(f"tool parameter {parameter['name']} value {value} not in options {options}")
    try:
        return _cast_by_type(parameter["type"], value)
    except (TypeError, ValueError) as error:
        message = f"The tool parameter value {value!r} is not in correct type of {parameter['type']}."
        raise ParameterRefused(message) from error


def _cast_by_type(kind: str, value: Any) -> Any:
    match kind:
        case "string" | "secret-input" | "select" | "dynamic-select":
            return "" if value is None else value if isinstance(value, str) else str(value)
        case "boolean" | "checkbox":
            return _boolean(value)
        case "number":
            return _number(value)
        case "file":
            return value[0] if isinstance(value, list) and len(value) == 1 else value
        case "files":
            return value if isinstance(value, list) else [value]
        case "app-selector" | "model-selector":
            if not isinstance(value, dict):
                raise TypeError("The selector must be a dictionary.")
            return value
        case "array":
            parsed = _parsed(value)
            return parsed if isinstance(parsed, list) else [value]
        case "object":
            parsed = _parsed(value)
            return parsed if isinstance(parsed, dict) else {}
        case "any":
            if value is not None and not isinstance(value, str | dict | list | int | float):
                raise TypeError("The var selector must be a string, dictionary, list or number.")
            return value
        case _:
            return str(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in YES | NO:
        return value.lower() in YES
    return bool(value)


def _number(value: Any) -> int | float | None:
    if isinstance(value, int | float):
        return value
    if not value:
        return None
    return float(value) if "." in value else int(value)


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

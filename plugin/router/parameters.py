"""Reads the router's parameters, in whatever type Dify hands them over.

A model is chosen by a selector or written as ``provider/model``: Dify 1.14.0 breaks selectors in tool nodes. What is
written counts before what is selected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ensemble.plan.limits import Limits
from plugin.errors import BadParameters, in_words
from plugin.reader import Reader

__all__ = ["ROUTER_PARAMETERS", "RouterParameters", "read_router_parameters"]

ROUTER_PARAMETERS = (
    "query", "routes", "strategy", "default_route", "model", "model_name", "embedding", "embedding_name", "classifier",
    "call", "inputs", "limits", "budgets", "run_key", "trace_id", "parent",
)  # fmt: skip
"""Every parameter the router reads."""

_YES = frozenset({"true", "yes", "on", "1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterParameters:
    """One call of the router, read."""

    query: str
    route: Mapping[str, Any]
    """What a plan would say under ``route``."""
    call: bool
    """Whether the chosen agent is called."""
    inputs: Mapping[str, Any]
    limits: Limits
    budgets: tuple[str, ...]
    run_key: str | None
    trace_id: str
    parent: str = field(default="", repr=False)
    """The token of the call this one is made in, as it came; empty where there is none."""


def read_router_parameters(raw: Mapping[str, Any]) -> RouterParameters:
    """Return the parameters as read.

    Raises:
        BadParameters: something can't be read; the text names every field concerned.

    """
    reader = Reader(raw)
    query = reader.text("query")
    if query is None and not reader.faults:
        reader.blame("query", "is empty.", "Give the text that shall be routed.")
    routes = reader.structure("routes")
    route = _routes(reader, routes)
    for name, value in (
        ("strategy", reader.text("strategy")),
        ("default", reader.text("default_route")),
        ("model", _model(reader, "model")),
        ("embedding", _model(reader, "embedding")),
        ("classifier", reader.text("classifier")),
    ):
        if value is not None:
            route[name] = value
    read = RouterParameters(
        query=query or "",
        route=route,
        call=(reader.text("call") or "").lower() in _YES,
        inputs=reader.inputs(),
        limits=reader.limits(),
        budgets=reader.budgets(),
        run_key=reader.run_key(),
        trace_id=reader.trace_id(),
        parent=reader.text("parent") or "",
    )
    if reader.faults:
        raise BadParameters(in_words(reader.faults))
    return read


def _routes(reader: Reader, given: Any) -> dict[str, Any]:
    """Return the routes as a plan has them: a list, a map, names in a line, or all settings with the routes in them."""
    if isinstance(given, str):
        given = _parsed(reader, given)
    if isinstance(given, Mapping) and isinstance(given.get("routes"), Mapping | list):
        return {str(name): value for name, value in given.items()}
    if not given and not reader.faults:
        fix = "Write a list such as [{name: billing, description: invoices and payments}], or names with commas."
        reader.blame("routes", "is empty.", fix)
    return {"routes": given}


def _parsed(reader: Reader, text: str) -> Any:
    if not any(mark in text for mark in "[{:") and not text.startswith("- "):
        for separator in ";\n\uff0c\uff1b\u3001":
            text = text.replace(separator, ",")
        return [name.strip() for name in text.split(",") if name.strip()]
    return reader.parsed("routes", text)


def _model(reader: Reader, name: str) -> Any:
    """Return a model as it is written, else as it is selected; a selector with nothing in it is none."""
    written, selected = reader.text(f"{name}_name"), reader.structure(name)
    if written is not None:
        return written
    if isinstance(selected, Mapping):
        return {key: selected.get(key) for key in ("provider", "model")} if selected.get("model") else None
    return selected

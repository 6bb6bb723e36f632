"""The router's parameters, outputs and what it remembers, as the YAML file promises them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ensemble.contract.outcomes import RunStatus
from ensemble.contract.results import Usage
from ensemble.engine.events import Report
from ensemble.plan.routes import Strategy
from ensemble.routing.choices import Choice
from plugin.adapters.pools import Pools
from plugin.adapters.vectors import VectorCache, WorkspaceVectors
from plugin.casting import Caller
from plugin.errors import BadParameters
from plugin.router.messages import ROUTER_VARIABLES, router_variables
from plugin.router.parameters import ROUTER_PARAMETERS, read_router_parameters
from plugin.router.service import RouterReport, route

TOOL = yaml.safe_load((Path(__file__).parents[2] / "plugin/tools/router.yaml").read_text(encoding="utf-8"))


def test_every_declared_parameter_is_read() -> None:
    """And every one that is read is declared."""

    class Watched(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            looked_at.add(name)
            return super().get(name, default)

    looked_at: set[str] = set()
    read_router_parameters(Watched(query="x", routes="a"))

    assert sorted(each["name"] for each in TOOL["parameters"]) == sorted(ROUTER_PARAMETERS)
    assert looked_at == set(ROUTER_PARAMETERS)
    for each in TOOL["parameters"]:
        assert (each["form"] == "llm") == bool(each.get("llm_description")), each["name"]


def test_every_declared_output_is_sent() -> None:
    """Also where nothing was chosen: Dify 1.9 refuses a variable that is None."""
    report = Report(status=RunStatus.FAILED, answer="", results=(), usage=Usage(), warnings=(), trace_id="t", run_id="")

    sent = router_variables(RouterReport(choice=Choice(), report=report, called=False))

    assert set(TOOL["output_schema"]["properties"]) == {*ROUTER_VARIABLES, "progress"}
    assert tuple(sent) == ROUTER_VARIABLES
    assert None not in sent.values()


def test_the_choices_of_the_strategy_are_the_languages() -> None:
    """What can be selected is what can be read."""
    (strategy,) = (each for each in TOOL["parameters"] if each["name"] == "strategy")

    assert {option["value"] for option in strategy["options"]} == set(Strategy)


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({"model_name": "p/m"}, "p/m"),
        ({"model": {"provider": "p", "model": "m", "mode": "chat"}}, {"provider": "p", "model": "m"}),
        ({"model": {"provider": "p", "model": "m"}, "model_name": "q/n"}, "q/n"),
        ({"model": {}}, None),
        ({"model": {"provider": "", "model": ""}, "model_name": ""}, None),
        ({"model": ""}, None),
    ],
)
def test_a_model_by_name_or_by_selector(given: dict[str, Any], model: Any) -> None:
    """What is written counts first; a selector with nothing in it is none."""
    read = read_router_parameters({"query": "x", "routes": "a", **given})

    assert read.route.get("model") == model


@pytest.mark.parametrize(
    ("routes", "read"),
    [
        ("market, tech", ["market", "tech"]),
        ("market\uff1b技術\nwriter", ["market", "技術", "writer"]),
        ("- market\n- tech", ["market", "tech"]),
        ('[{"name": "a"}]', [{"name": "a"}]),
        ("a: all of it\nb: the rest", {"a": "all of it", "b": "the rest"}),
        ([{"name": "a"}], [{"name": "a"}]),
    ],
)
def test_routes_in_many_forms(routes: Any, read: Any) -> None:
    """Names in a line, YAML, JSON, objects."""
    assert read_router_parameters({"query": "x", "routes": routes}).route["routes"] == read


def test_all_settings_may_come_with_the_routes() -> None:
    """The node's own fields count first."""
    routes = {"routes": ["a"], "threshold": 0.2, "strategy": "llm"}

    read = read_router_parameters({"query": "x", "routes": routes, "strategy": "semantic"})

    assert read.route == {"routes": ["a"], "threshold": 0.2, "strategy": "semantic"}


def test_what_is_missing_is_named() -> None:
    """All of it at once."""
    with pytest.raises(BadParameters) as refused:
        read_router_parameters({})

    assert "query is empty" in str(refused.value).replace(":", "")


def test_vectors_are_kept_apart_and_bounded() -> None:
    """By credentials and model; the least used goes first."""
    cache = VectorCache(most=2)
    one, other = (WorkspaceVectors(owner, "p/m", cache, None, None) for owner in ("one", "other"))

    one.put({"a": [1.0, 0.0], "b": [0.0, 1.0]})
    assert one.get(["a", "b", "c"]) == {"a": [1.0, 0.0], "b": [0.0, 1.0]}
    assert other.get(["a"]) == {}
    one.get(["a"])
    one.put({"c": [0.6, 0.8]})

    assert set(one.get(["a", "b", "c"])) == {"a", "c"}


def test_a_query_that_lost_its_braces_is_warned_of_where_nobody_is_called_too() -> None:
    """Rules decide on the words as they are, and the builder hears that they may not be the ones that were meant."""
    routes = [{"name": "billing", "keywords": ["invoice"]}, {"name": "other"}]
    asked = {"query": "start.query", "routes": routes, "default_route": "other"}
    lines = route(asked, {}, Caller(user_id=None), Pools())
    with pytest.raises(StopIteration) as end:
        _exhaust(lines)

    warnings = end.value.value.report.warnings
    assert any("'start.query'" in warning and "typing /" in warning for warning in warnings)


def test_routes_may_name_as_many_agents_as_the_operator_allows() -> None:
    """Where they are called; a route whose agents nobody calls is a word."""
    keys = {"app_keys": ", ".join(f"{n} = app-{n * 24} @ http://dify.invalid/v1" for n in "abc"), "max_agents": "2"}
    asked = {"query": "x", "routes": [{"name": n, "keywords": [n * 3]} for n in "abc"], "call": "yes"}
    with pytest.raises(BadParameters) as refused:
        _exhaust(route(asked, keys, Caller(user_id=None), Pools()))

    assert "routes: 3 agents are named, and at most 2 may be." in str(refused.value)


def _exhaust(lines: Iterator[Any]) -> None:
    while True:
        next(lines)

"""Named budgets through the real plugin, the real sidecar and its store."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.budgets import BudgetDefinition, BudgetParams, Limits
from tests.standin.apps import App, Usage, Variable
from tests.standin.invocation import Result
from tests.standin.parameters import variable
from tests.standin.world import World, world

APP = App(name="market", mode="workflow", inputs=(Variable(name="task"),), answer="fine")


@pytest.fixture
def own() -> Iterator[World]:
    """A sidecar that a test may stop."""
    with world(APP) as running:
        yield running


def ledger(scene: World) -> SidecarLedger:
    """Return a way to the sidecar past the plugin."""
    return SidecarLedger(scene.sidecar.url, scene.sidecar.token, connections())


def define(scene: World, name: str, limits: Limits) -> None:
    """Let there be a named budget."""
    ledger(scene).define_budget(BudgetParams(name=name), BudgetDefinition(limits=limits))


def calls(scene: World) -> int:
    """Return how often the app was called."""
    return scene.dify.log().counts.get("market", 0)


def orchestrated(scene: World, **given: Any) -> Result:
    """Return what came of a run of one step."""
    return scene.orchestrate("work", agents="market", **given).result()


def test_two_runs_are_charged_to_one_budget_and_the_third_is_refused(own: World) -> None:
    """By parameter and by plan; a budget that is nearly spent is told, once."""
    define(own, "user:42", Limits(calls=2))
    by_plan = {"steps": [{"id": "market", "agent": "market"}], "budgets": ["user:42"]}

    first = orchestrated(own, budgets="user:42")
    second = own.orchestrate("work", plan=by_plan).result()
    third = orchestrated(own, budgets=["user:42"])

    assert (first.error, second.error) == (None, None)
    assert first.variables["warnings"] == []
    assert len([each for each in second.variables["warnings"] if "user:42" in each]) == 1
    assert third.error is not None
    assert "user:42" in third.error.message
    assert calls(own) == 2
    assert ledger(own).get_budget(BudgetParams(name="user:42")).used.calls_committed == 2


@pytest.mark.parametrize("tool", ["orchestrator", "aggregator", "router"])
def test_a_budget_nobody_defined_is_named_before_any_call(own: World, tool: str) -> None:
    """With the fix."""
    every: dict[str, dict[str, Any]] = {
        "orchestrator": {"task": "x", "agents": "market"},
        "aggregator": {"results": variable({"a": "1", "b": "2"}), "strategy": "synthesize", "agent": "market"},
        "router": {"query": "x", "routes": "market, other", "classifier": "market", "strategy": "llm"},
    }

    result = own.plugin.invoke(tool, {**every[tool], "budgets": "nobodys"}, own.credentials()).result()

    assert result.error is not None
    assert result.error.error_type == "UnknownBudget"
    assert "budgets: No budget 'nobodys' is defined. Define it" in result.error.message
    assert calls(own) == 0


def test_without_its_sidecar_a_run_with_a_budget_fails_unless_told_to_go_on(own: World) -> None:
    """By the tool or by the operator; a run without a budget goes on as before."""
    define(own, "user:42", Limits(calls=20))
    own.sidecar.kill()

    closed = orchestrated(own, budgets="user:42")
    called = calls(own)
    plain = orchestrated(own)
    told = orchestrated(own, budgets="user:42", on_sidecar_loss="fail_open")
    saved = orchestrated(own, budgets="user:42", credentials=own.credentials(on_sidecar_loss="fail_open"))
    strict = orchestrated(
        own, budgets="user:42", on_sidecar_loss="fail_open", credentials=own.credentials(on_sidecar_loss="fail_closed")
    )

    assert closed.error is not None
    assert closed.error.error_type == "SidecarUnavailable"
    assert called == 0
    assert plain.error is None
    assert told.error is None
    assert saved.error is None
    assert strict.error is not None
    assert calls(own) == 3


def test_in_local_mode_a_budget_is_refused(own: World) -> None:
    """Nothing would hold it."""
    result = orchestrated(own, budgets="a", credentials=own.credentials(sidecar_url="", sidecar_token=""))

    assert result.error is not None
    assert result.error.error_type == "SidecarNeeded"
    assert calls(own) == 0


def test_a_run_is_refused_what_its_money_does_not_pay() -> None:
    """A chat app tells what it cost."""
    app = App(
        name="market", answer="fine", usage=Usage(prompt_tokens=900, completion_tokens=100, total_price=Decimal("2.00"))
    )
    with world(app) as scene:
        plan = {
            "steps": [{"id": "one", "agent": "market"}, {"id": "two", "agent": "market", "depends_on": "one"}],
            "limits": {"max_money": "1.50 USD"},
        }
        result = scene.orchestrate("work", plan=plan).result()

        assert result.error is None
        assert [each["status"] for each in result.variables["results"]] == ["succeeded", "refused"]
        assert calls(scene) == 1

"""Traces of runs as a collector gets them: a real run of the real plugin, told by a real sidecar of two workers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ensemble.contract.tracing import w3c_trace_id
from tests.processes import until
from tests.standin.apps import App, key_of
from tests.standin.collector import Collector, Seen, collector
from tests.standin.daemon import PluginProcess
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT
from tests.standin.world import World, world
from tests.together.nesting import Flow, studio
from tests.together.test_lineage import team as flow_team

LEASE_MS = 1_500


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    """A collector."""
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(traces: Collector) -> Iterator[World]:
    """A world whose sidecar tells that collector."""
    apps = (App(name="market"), App(name="rivals"), App(name="writer"), App(name="slow", latency_s=4))
    env = {
        "ENSEMBLE_OTLP_ENDPOINT": traces.url,
        "ENSEMBLE_OTLP_HEADERS": "X-Key=a%2Cb",
        "ENSEMBLE_LEASE_MS": str(LEASE_MS),
    }
    with world(*apps, env=env) as running:
        yield running


def whole(spans: list[Seen]) -> Seen:
    """Return the one root, having seen that every other span hangs below one of them, and within it."""
    by_id = {each.span_id: each for each in spans}
    assert len(by_id) == len(spans), "an id stands twice"
    assert len({each.trace_id for each in spans}) == 1
    for each in spans:
        if each.parent_id in by_id:
            assert by_id[each.parent_id].start_ms <= each.start_ms <= each.end_ms <= by_id[each.parent_id].end_ms
    (root,) = (each for each in spans if each.parent_id not in by_id)
    return root


def test_a_run_is_one_tree_and_its_calls_carry_the_ids_in_it(traced: World, traces: Collector) -> None:
    """What the stand-in for Dify got as *traceparent* is what the collector got as the attempt's span."""
    result = traced.orchestrate("bees", agents="market, rivals", synthesizer="writer", pattern="parallel").result()
    assert result.error is None, result.error
    run_id, trace_id = result.variables["run_id"], result.variables["trace_id"]

    spans = [each for each in traces.wait(lambda _: traces.of(run_id)) if each.attributes["ensemble.run.id"] == run_id]

    root = whole(spans)
    assert root.name == "run parallel"
    assert root.parent_id == ""
    assert root.trace_id == w3c_trace_id(trace_id)
    assert root.attributes["ensemble.run.status"] == "succeeded"
    steps = {each.name.removeprefix("step "): each for each in spans if each.parent_id == root.span_id}
    attempts = {each.attributes["gen_ai.agent.name"]: each for each in spans if each.name.startswith("invoke_agent")}
    assert {"market", "rivals"} < steps.keys()
    assert len(spans) == 7
    for name in ("market", "rivals", "writer"):
        (call,) = (each for each in traced.dify.log().of(name) if each.headers.get("x-trace-id") == trace_id)
        assert call.headers["traceparent"] == f"00-{root.trace_id}-{attempts[name].span_id}-01"
    assert {post.path for post in traces.posted} == {"/v1/traces"}
    assert {post.headers["X-Key"] for post in traces.posted} == {"a,b"}
    assert root.resource["service.name"] == "ensemble-sidecar"


def test_nothing_that_was_said_stands_in_a_span(traced: World, traces: Collector) -> None:
    """Task, answers, keys and users are the run's own business."""
    result = traced.orchestrate("the honeybee question", agents="market", run_key="ann@example.org").result()

    spans = traces.wait(lambda _: traces.of(result.variables["run_id"]))

    said = json.dumps([[each.name, dict(each.attributes), each.error, each.events] for each in spans])
    assert "honeybee" not in said
    assert "ann@example" not in said
    assert result.text not in said
    assert key_of("market") not in said
    assert traced.sidecar.token not in said


def test_a_nested_run_hangs_below_the_call_it_was_opened_in(traced: World, traces: Collector) -> None:
    """Three teams, one tree."""
    leaf = Flow("leaf", tells=False)
    writer = flow_team(Flow("scribe"), leaf, by_key=True)
    planner = flow_team(Flow("planner"), writer, by_key=True)
    with studio(traced, leaf, writer, planner) as office:
        result = office.start("planner")
    assert result.error is None, result.error
    trace_id = w3c_trace_id(result.variables["trace_id"])

    def of_trace(spans: list[Seen]) -> list[Seen]:
        return [each for each in spans if each.trace_id == trace_id]

    spans = of_trace(traces.wait(lambda seen: len(of_trace(seen)) >= 6))

    root = whole(spans)
    by_id = {each.span_id: each for each in spans}
    inner = next(each for each in spans if each.attributes.get("ensemble.run.depth") == 2)
    assert root.attributes["ensemble.run.depth"] == 1
    assert by_id[inner.parent_id].name == "invoke_agent scribe"


def test_a_plugin_that_is_killed_leaves_its_half_of_the_run(traced: World, traces: Collector) -> None:
    """What it had done and what was under way; whoever repeats the call tells of the rest."""
    saved = traced.credentials()
    plan = {"steps": [{"id": "market", "agent": "market"}, {"id": "slow", "agent": "slow", "depends_on": ["market"]}]}
    given = {"task": "bees", "plan": variable(plan), "run_key": "kept"}
    with PluginProcess(ROOT) as victim:
        victim.invoke("orchestrator", given, saved)
        until(lambda: bool(traced.dify.log().of("slow")), "the slow agent to be called")
        victim.kill()

    lost = traces.wait(lambda seen: [each for each in seen if each.error == "engine_lost"])
    again = traced.plugin.invoke("orchestrator", given, saved).result()

    root = next(each for each in lost if each.error == "engine_lost")
    run_id = str(root.attributes["ensemble.run.id"])
    spans = traces.wait(lambda _: sum(each.name.startswith("run") for each in traces.of(run_id)) == 2)
    ours = [each for each in spans if each.attributes["ensemble.run.id"] == run_id]
    first = [each for each in ours if each in lost]
    assert whole(first) == root
    assert {each.attributes["gen_ai.agent.name"]: each.error for each in first if each.kind == 3} == {
        "market": "",
        "slow": "uncertain",
    }
    second = whole([each for each in ours if each not in lost])
    assert second.links == ((root.trace_id, root.span_id),)
    assert (again.variables["run_id"], second.attributes["ensemble.run.steps_kept"]) == (run_id, 1)
    assert len({each.span_id for each in ours}) == len(ours)
    calls = {call.headers["traceparent"].split("-")[2] for call in traced.dify.log().of("slow")}
    assert calls == {
        each.span_id for each in ours if each.attributes.get("gen_ai.agent.name") == "slow" and each.kind == 3
    }

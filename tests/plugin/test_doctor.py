"""What the doctor makes of what it was told, finding by finding."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ensemble.agents.discovery import AppFacts
from ensemble.agents.inputs import Variable
from ensemble.contract.about import CONTRACT_VERSION, About
from ensemble.contract.breakers import BreakerCause, BreakerForcing, BreakerState, BreakerView, Forced
from ensemble.contract.budgets import BudgetDefinition, BudgetState, BudgetView
from ensemble.contract.budgets import Limits as BudgetLimits
from ensemble.contract.outcomes import Outcome
from ensemble.contract.slots import SlotLimits, SlotsView, SlotUse
from ensemble.plan.limits import Limits
from plugin.credentials import Ceilings, Credentials, Sidecar
from plugin.doctor.apps import Target, judge_apps, target_of
from plugin.doctor.dify import dify_limits
from plugin.doctor.evidence import AppEvidence, SidecarEvidence
from plugin.doctor.examine import plugin_version
from plugin.doctor.findings import Finding, Severity, note, ok, problem, warning, worst
from plugin.doctor.running import judge_ceilings, judge_places, judge_times
from plugin.doctor.sharing import judge_budgets, judge_slots
from plugin.doctor.sidecar import breaker_words, judge_breakers, judge_sidecar
from plugin.limiting import allowance

VERSION = plugin_version()
OK, NOTE, WARNING, PROBLEM = Severity


def sidecar(took_ms: float = 3, offset_ms: float | None = 10, partial_error: str = "", **about: Any) -> SidecarEvidence:
    """Return a sidecar that is well, but for what is said."""
    told: dict[str, Any] = {"version": VERSION, "contract": CONTRACT_VERSION, "store": "valkey 9"}
    told |= {"durability": "everysec", "public_url": "https://ops.example", **about}
    return SidecarEvidence(
        url="http://ensemble:8787",
        about=About(**told),
        took_ms=took_ms,
        offset_ms=offset_ms,
        partial_error=partial_error,
    )


def grave(findings: list[Finding]) -> list[tuple[Severity, str]]:
    """Return severity and subject of all that is not in order."""
    return [(each.severity, each.subject) for each in findings if each.severity is not OK]


@pytest.mark.parametrize(
    ("found", "expected", "words"),
    [
        (sidecar(), [], ""),
        (None, [(NOTE, "sidecar")], "Sidecar URL"),
        (SidecarEvidence(url="http://x", error="nobody is there."), [(PROBLEM, "sidecar")], "nobody is there."),
        (sidecar(product="orchestra"), [(PROBLEM, "sidecar")], "'orchestra'"),
        (sidecar(contract=CONTRACT_VERSION - 1), [(PROBLEM, "sidecar")], "Update the sidecar."),
        (sidecar(contract=CONTRACT_VERSION + 1), [(PROBLEM, "sidecar")], "Update the plugin."),
        (sidecar(version="9.9.9"), [(NOTE, "sidecar")], "version 9.9.9"),
        (sidecar(public_url=""), [(NOTE, "links to runs")], "Set ENSEMBLE_PUBLIC_URL"),
        (sidecar(durability="off"), [(WARNING, "store")], "appendonly yes"),
        (sidecar(durability="no"), [(WARNING, "store")], "appendonly yes"),
        (sidecar(durability=""), [(NOTE, "store")], "does not tell"),
        (sidecar(offset_ms=None), [], ""),
        (sidecar(offset_ms=-4_999), [], ""),
        (sidecar(offset_ms=5_000), [(NOTE, "clocks")], "5.0 s ahead of"),
        (sidecar(offset_ms=-61_000), [(WARNING, "clocks")], "61.0 s behind"),
        (sidecar(took_ms=250), [(WARNING, "sidecar")], "250 ms"),
        (sidecar(partial_error="no such path"), [(WARNING, "sidecar")], "no such path"),
    ],
)
def test_the_sidecar(found: SidecarEvidence | None, expected: list[tuple[Severity, str]], words: str) -> None:
    """Whether it is there, fits, keeps what it is told, tells the time and is near."""
    findings = judge_sidecar(found, VERSION)

    assert grave(findings) == expected
    assert any(words in f"{each.finding} {each.fix}" for each in findings)


def breaker(state: BreakerState = BreakerState.CLOSED, **more: Any) -> BreakerView:
    """Return one breaker."""
    return BreakerView(identity="app:a", state=state, failures=0, successes=0, probes=0, generation=1, **more)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (breaker(), None),
        (breaker(BreakerState.OPEN, cause=BreakerCause.SLOW_CALLS), "open (slow calls)"),
        (breaker(BreakerState.HALF_OPEN), "half-open"),
        (breaker(cooling_ms=1500), "wait 1.5 s more"),
        (breaker(forced=BreakerForcing(state=Forced.OPEN, reason="on leave")), "breaker open (on leave)"),
        (breaker(forced=BreakerForcing(state=Forced.DISABLED)), "breaker disabled."),
    ],
)
def test_a_breaker_in_words(view: BreakerView, words: str | None) -> None:
    """One that lets everything pass is not worth any."""
    said = breaker_words(view)

    assert said is None if words is None else words in (said or "")


def test_breakers_of_other_agents_are_counted_only() -> None:
    """They belong to other workspaces' keys, or to plans' own apps."""
    found = (breaker(BreakerState.OPEN), breaker(BreakerState.OPEN).model_copy(update={"identity": "app:b"}))

    findings = judge_breakers(found, {"app:a": "market"})

    assert grave(findings) == [(WARNING, "agent market"), (NOTE, "breakers")]
    assert findings[1].finding.endswith(": 1.")


def facts(mode: str, *variables: Variable) -> AppFacts:
    """Return what an app told."""
    return AppFacts(name="An app", mode=mode, variables=variables)


def text(name: str, *, required: bool = False, max_length: int | None = None) -> Variable:
    """Return a text variable."""
    return Variable(name=name, kind="paragraph", required=required, max_length=max_length)


@pytest.mark.parametrize(
    ("told", "target"),
    [
        (facts("advanced-chat"), "query"),
        (facts("workflow", text("notes"), text("topic")), "topic"),
        (facts("workflow", text("notes", required=True), text("more")), "notes"),
        (facts("completion", text("query")), "query"),
    ],
)
def test_where_the_task_goes(told: AppFacts, target: str) -> None:
    """By the rule that calls go by."""
    assert target_of(told, "x") == Target(target)


@pytest.mark.parametrize(
    "told",
    [
        facts("workflow"),
        facts("workflow", text("one"), text("two")),
        facts("workflow", text("task"), text("company", required=True)),
        facts("chat", text("company", required=True)),
    ],
)
def test_an_app_that_the_task_alone_does_not_run_is_a_warning(told: AppFacts) -> None:
    """With what is missing, and what to write."""
    app = AppEvidence(name="x", base_url="http://d/v1", identity="api:x", facts=told)

    (found,) = judge_apps([app], {})

    assert (found.severity, found.subject) == (WARNING, "agent x")


@pytest.mark.parametrize(
    ("outcome", "fix"),
    [
        (Outcome.MISCONFIGURED, "App keys"),
        (Outcome.THROTTLED, "concurrent requests"),
        (Outcome.UNAVAILABLE, "Service API base URL"),
        (Outcome.TIMED_OUT, "Service API base URL"),
    ],
)
def test_an_app_that_does_not_answer_is_a_problem(outcome: Outcome, fix: str) -> None:
    """And what to do depends on why."""
    app = AppEvidence(name="x", base_url="http://d/v1", identity="api:x", outcome=outcome, error="It said no.")

    (found,) = judge_apps([app], {})

    assert (found.severity, found.finding) == (PROBLEM, "It said no.")
    assert fix in found.fix


def test_twins_and_slow_apps_are_told() -> None:
    """Two names of one key share a breaker; a slow answer to a small question is a sign."""
    one, two = (
        AppEvidence(name=name, base_url="http://d/v1", identity="api:x", facts=facts("chat"), took_ms=took_ms)
        for name, took_ms in (("one", 5.0), ("two", 2_500.0))
    )

    assert grave(judge_apps([one, two], {})) == [(WARNING, "agent two"), (NOTE, "agent two")]


@pytest.mark.parametrize(
    ("environment", "timeout_s", "expected"),
    [
        ({}, None, [NOTE]),
        ({"DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT": "900000"}, None, []),
        ({"PLUGIN_MAX_EXECUTION_TIMEOUT": "559"}, None, [PROBLEM, NOTE]),
        ({"PLUGIN_MAX_EXECUTION_TIMEOUT": "560"}, None, [NOTE]),
        ({"PLUGIN_MAX_EXECUTION_TIMEOUT": "300"}, 200, []),
        ({"WORKFLOW_MAX_EXECUTION_TIME": "500"}, None, [WARNING, NOTE]),
        ({"PLUGIN_MAX_EXECUTION_TIMEOUT": "nonsense"}, None, [NOTE]),
    ],
)
def test_timeouts_that_will_bite(
    environment: dict[str, str], timeout_s: float | None, expected: list[Severity]
) -> None:
    """Ours against the platform's, as they are told or as a stock Dify has them."""
    allowed = allowance(Limits(timeout_s=timeout_s), Ceilings())

    findings = judge_times(allowed, dify_limits(environment))

    assert [severity for severity, _ in grave(findings)] == expected


@pytest.mark.parametrize(
    ("environment", "host_parallel", "expected"),
    [
        ({}, 8, OK),
        ({}, 9, WARNING),
        ({}, 10, WARNING),
        ({"SERVER_WORKER_CONNECTIONS": "10"}, 10, PROBLEM),
        ({"SERVER_WORKER_AMOUNT": "2"}, 18, OK),
        ({"SERVER_WORKER_CONNECTIONS": "100"}, 98, OK),
    ],
)
def test_places_at_dify(environment: dict[str, str], host_parallel: int, expected: Severity) -> None:
    """Calls of ours must leave some to the caller and to people; what is only supposed is no problem yet."""
    saved = Credentials(sidecar=None, ceilings=Ceilings(host_parallel=host_parallel))
    allowed = allowance(Limits(), saved.ceilings)

    found = judge_places(saved, allowed, dify_limits(environment))[0]

    assert found.severity is expected


def test_calls_that_would_wait_for_a_place_are_told() -> None:
    """A run may ask for more at one time than go to one Dify."""
    saved = Credentials(sidecar=None, ceilings=Ceilings(host_parallel=4))
    allowed = allowance(Limits(max_parallel=6), saved.ceilings)

    findings = judge_places(saved, allowed, dify_limits({}))

    assert any("6 calls at one time, but only 4" in each.finding for each in findings)


def test_the_ceilings_in_force() -> None:
    """Those that are set, those that are not, and what becomes of a run without its sidecar."""
    place = Sidecar(url="http://x", token="t" * 16)
    saved = Credentials(sidecar=place, ceilings=Ceilings(max_tokens=50_000, max_agents=7), fail_open=False)

    words = " ".join(each.finding for each in judge_ceilings(saved))

    assert "tokens: 50,000" in words
    assert "agents: 7" in words
    assert "no ceiling on calls at one time, calls, agents' seconds" in words
    assert "sidecar is away fails" in words


@pytest.mark.parametrize(
    ("chosen", "words"),
    [(None, "goes on in the plugin.*named budgets fails"), (True, "goes on in the plugin, with a warning\\.$")],
)
def test_what_becomes_of_a_run_without_its_sidecar_is_told(*, chosen: bool | None, words: str) -> None:
    """A choice is told from none."""
    saved = Credentials(sidecar=Sidecar(url="http://x", token="t" * 16), fail_open=chosen)

    assert any(re.search(words, each.finding) for each in judge_ceilings(saved))


def test_a_named_budget_that_is_nearly_spent_is_a_warning() -> None:
    """In the budget's own words; the others are only counted."""
    definition = BudgetDefinition(limits=BudgetLimits(tokens=100))
    fine = BudgetState(name="user:1", definition=definition, used=BudgetView())
    spent = fine.model_copy(update={"name": "user:2", "warnings": ("tokens: 90 of 100 are spent",)})

    assert judge_budgets(()) == []
    assert grave(judge_budgets((fine,))) == []
    assert grave(judge_budgets((fine, spent))) == [(WARNING, "budget user:2")]


@pytest.mark.parametrize(
    ("used", "waiting", "expected"),
    [
        (SlotUse(total=1, identities={"app:a": 1}), 0, []),
        (SlotUse(total=1, identities={"app:a": 2}), 0, [(NOTE, "agent market")]),
        (SlotUse(total=9, hosts={"http://d": 8}), 3, [(WARNING, "slots"), (WARNING, "slots"), (NOTE, "slots")]),
    ],
)
def test_slots_that_are_all_taken(used: SlotUse, waiting: int, expected: list[tuple[Severity, str]]) -> None:
    """Of an agent it is meant so; of a host, or of all, others wait for it."""
    limits = SlotLimits(total=9, hosts={"http://d": 8}, identities={"app:a": 2})

    findings = judge_slots(SlotsView(limits=limits, used=used, waiting=waiting), {"app:a": "market"})

    assert grave(findings) == expected


def test_the_gravest_finding_is_the_status() -> None:
    """Nothing found is in order."""
    assert worst([]) is OK
    assert worst([ok("a", "b"), warning("a", "b", "c"), note("a", "b")]) is WARNING
    assert worst([warning("a", "b", "c"), problem("a", "b", "c")]) is PROBLEM

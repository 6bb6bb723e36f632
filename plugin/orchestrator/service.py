"""One call of the orchestrator: from parameters and credentials to a run of the engine."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from ensemble.contract.problems import Fault
from ensemble.engine.events import Event, Report
from ensemble.engine.request import RunRequest
from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.plan.reading.money import written
from ensemble.plan.reading.plan import read_plan
from ensemble.routing.team import Routed
from plugin.adapters.pools import POOLS, Pools
from plugin.casting import Caller, cast
from plugin.charging import charged
from plugin.conducting import conduct
from plugin.credentials import Credentials, read_credentials
from plugin.errors import BadParameters, BadPlan, UnknownAgent, in_words
from plugin.limiting import too_many_agents
from plugin.orchestrator.describing import with_descriptions
from plugin.orchestrator.parameters import OrchestratorParameters, read_parameters
from plugin.requesting import requested
from plugin.routing import notes, prepared, told

__all__ = ["Caller", "orchestrate", "run_request"]

_NO_AGENT = "There is no agent '"


def orchestrate(
    parameters: Mapping[str, Any], credentials: Mapping[str, Any], caller: Caller, pools: Pools = POOLS
) -> Generator[Event, None, Report]:
    """Run what *parameters* ask for, yielding what happens, and return how it ended.

    Raises:
        EnsembleError: parameters, plan or credentials can't be used, or the sidecar refuses to take part.
        EngineError: another call with the same run_key has the run.

    """
    saved = read_credentials(credentials)
    read = read_parameters(parameters)
    request, chosen = _requested(read, saved, caller, pools)
    if chosen is not None:
        yield from told(chosen)
    report = yield from conduct(request, saved, pools, fail_open=read.fail_open, links=True)
    if chosen is not None:
        report = replace(report, warnings=(*report.warnings, *notes(chosen, report.results)))
    return report


def run_request(
    parameters: OrchestratorParameters, credentials: Credentials, caller: Caller, pools: Pools
) -> RunRequest:
    """Return the engine's request for *parameters*.

    Raises:
        BadPlan: the plan or the team can't be run as written.

    """
    request, _ = _requested(parameters, credentials, caller, pools)
    return request


def _requested(
    parameters: OrchestratorParameters, credentials: Credentials, caller: Caller, pools: Pools
) -> tuple[RunRequest, Routed | None]:
    """Return the request, and how its steps are chosen where the plan's pattern is *routing*."""
    plan = _plan(parameters, credentials)
    _one_currency(parameters, plan)
    budgets = charged(parameters.budgets, plan.budgets, credentials)
    chosen = None
    if plan.routing is None:
        agents = cast(plan, credentials, caller, pools)
        plan = with_descriptions(plan, agents, credentials, pools)
    else:
        made = prepared(
            plan,
            plan.routing,
            task=parameters.task,
            inputs=parameters.inputs,
            credentials=credentials,
            caller=caller,
            pools=pools,
        )
        chosen, agents = made.routed, made.agents
        plan = chosen.plan
    request = requested(plan, agents, parameters, credentials, caller, task=parameters.task, budgets=budgets)
    request = replace(
        request,
        inputs=parameters.inputs,
        files=parameters.files,
        conversation=caller.conversation_id or "",
        fail_fast=parameters.fail_fast or plan.on_failure == "fail_fast",
    )
    return request, chosen


def _one_currency(parameters: OrchestratorParameters, plan: Plan) -> None:
    """Raise BadParameters where tool and plan limit money in two currencies: neither is the lower one."""
    one, other = parameters.limits.max_money, plan.limits.max_money
    if one and other and one.currency != other.currency:
        problem = f"{written(one)} can't be compared with the plan's {written(other)}."
        fault = Fault(field="limits.max_money", problem=problem, fix="Write both in one currency, or only one of them.")
        raise BadParameters(in_words([fault]))


def _plan(parameters: OrchestratorParameters, credentials: Credentials) -> Plan:
    """Return the plan; whatever came as text may have lost its braces on the way through Dify's templates."""
    try:
        plan = read_plan(
            parameters.plan,
            agents=parameters.agents,
            pattern=parameters.pattern,
            synthesizer=parameters.synthesizer,
            known=[app.name for app in credentials.app_keys],
            inputs=parameters.inputs,
            typed=True,
        )
    except PlanError as error:
        unknown = all(fault.problem.startswith(_NO_AGENT) for fault in error.faults)
        raise (UnknownAgent if unknown else BadPlan)(in_words(error.faults)) from None
    if (fault := too_many_agents(plan, credentials.ceilings, "agents")) is not None:
        raise BadPlan(in_words([fault]))
    return plan

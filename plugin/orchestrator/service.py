"""One call of the orchestrator: from parameters and credentials to a run of the engine."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from ensemble.client.context import SidecarContext
from ensemble.client.fallback import FallbackLedger
from ensemble.contract.problems import Fault
from ensemble.engine.carrying import ESTIMATED
from ensemble.engine.events import Event, Report
from ensemble.engine.ports import Context, Ledger
from ensemble.engine.request import RunRequest
from ensemble.engine.run import run
from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.plan.reading.money import written
from ensemble.plan.reading.plan import read_plan
from ensemble.routing.team import Routed
from ensemble.rules.problems import Conflict
from plugin.adapters.greenlets import GreenletRunner
from plugin.adapters.pools import POOLS, Pools
from plugin.casting import Caller, cast
from plugin.charging import charged, going_on, unknown_budget
from plugin.credentials import Credentials, read_credentials
from plugin.errors import BadParameters, BadPlan, SidecarRefused, UnknownAgent, in_words
from plugin.limiting import too_many_agents
from plugin.lineage import sealed
from plugin.orchestrator.describing import with_descriptions
from plugin.orchestrator.parameters import OrchestratorParameters, read_parameters
from plugin.requesting import requested
from plugin.routing import notes, prepared, told

__all__ = ["Caller", "conduct", "context_for", "ledger_for", "orchestrate", "run_request"]

_NO_AGENT = "There is no agent '"
_NO_LINK = (
    "run_url is empty: the sidecar was not told how browsers reach it. Set ENSEMBLE_PUBLIC_URL there, such as "
    "https://ops.example."
)


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


def conduct(
    request: RunRequest,
    credentials: Credentials,
    pools: Pools,
    *,
    fail_open: bool | None = None,
    links: bool = False,
) -> Generator[Event, None, Report]:
    """Run *request* in this process, yielding what happens; what the ledger has to say is among the report's warnings.

    *fail_open* is what the tool asks for when the sidecar is away, None where it asks for nothing. *links* says that the
    tool hands the run's link on, so that a warning tells why there is none.

    Raises:
        EnsembleError: the sidecar refuses to take part, or is away and the run does not go on without it.
        EngineError: another call with the same run_key has the run.

    """
    goes_on = going_on(request.budgets, asked=fail_open, saved=credentials.fail_open)
    ledger = ledger_for(credentials, pools, fail_open=goes_on)
    request = sealed(request, credentials, ledger)
    try:
        report = yield from run(
            request, ledger=ledger, runner=GreenletRunner(), context=context_for(credentials, pools)
        )
    except Conflict as error:  # of this process's own book; the sidecar's answer is in words already
        raise BadParameters(in_words([Fault(field=error.field, problem=f"{error.problem}.", fix=error.fix)])) from None
    except SidecarRefused as error:
        raise unknown_budget(error, request.budgets) or error from None
    finally:
        if isinstance(ledger, FallbackLedger):
            ledger.leave()
    if isinstance(ledger, FallbackLedger):
        unlinked = (_NO_LINK,) if links and ledger.durable and not report.run_url else ()
        report = replace(report, warnings=(*report.warnings, *ledger.warnings, *unlinked))
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


def ledger_for(credentials: Credentials, pools: Pools, *, fail_open: bool = True) -> Ledger:
    """Return the sidecar, with this process's book behind it, or the book alone.

    Not *fail_open*: a run whose sidecar is away fails.
    """
    book = pools.book(credentials)
    if credentials.sidecar is None:
        return book
    sidecar, absence = pools.sidecar(credentials.sidecar), pools.absence(credentials.sidecar)
    return FallbackLedger(sidecar, book, absence, hand_in=pools.outbox.put, fail_open=fail_open)


def context_for(credentials: Credentials, pools: Pools) -> Context:
    """Return who keeps what is carried within its limits: the sidecar, which counts, else this process."""
    if credentials.sidecar is None:
        return ESTIMATED
    return SidecarContext(pools.sidecar(credentials.sidecar), pools.absence(credentials.sidecar))

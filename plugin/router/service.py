"""One call of the router: from parameters and credentials to a route, and to its agents' answer where that is wanted."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from ensemble.contract.outcomes import RunStatus
from ensemble.engine.events import Event, Report
from ensemble.engine.usage import total_usage
from ensemble.plan.faults import Faults, PlanError
from ensemble.plan.model import Plan
from ensemble.plan.reading.fields import Fields
from ensemble.plan.reading.lookup import Directory
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.reading.routes import read_routing
from ensemble.plan.reading.texts import Texts
from ensemble.plan.routes import Routing
from ensemble.plan.templates import BareWords
from ensemble.routing.choices import Choice
from plugin.adapters.pools import POOLS, Pools
from plugin.casting import Caller
from plugin.charging import charged
from plugin.conducting import conduct
from plugin.credentials import Credentials, read_credentials
from plugin.errors import BadParameters, NoRouteChosen, in_words
from plugin.failing import hard_failure
from plugin.limiting import too_many_agents
from plugin.requesting import requested
from plugin.router.parameters import RouterParameters, read_router_parameters
from plugin.routing import Prepared, notes, prepared, told
from plugin.stripped import stripped_task

__all__ = ["RouterReport", "route"]

_REFUSAL = "Routes are chosen before anything runs; refer to task or start."


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterReport:
    """What came of one call of the router."""

    choice: Choice
    report: Report
    """Of the run that decided and called; of none, if rules decided and nobody was called."""
    called: bool
    """Whether the report's answer is that of the route's agents."""


def route(
    parameters: Mapping[str, Any], credentials: Mapping[str, Any], caller: Caller, pools: Pools = POOLS
) -> Generator[Event, None, RouterReport]:
    """Choose a route as *parameters* say, yielding what happens, and call its agents if they shall be called.

    Raises:
        EnsembleError: parameters or credentials can't be used, those who decide failed and there is no default, or
            the called agents failed.
        EngineError: another call with the same run_key has the run.

    """
    saved = read_credentials(credentials)
    read = read_router_parameters(parameters)
    charged(read.budgets, (), saved)
    plan, routing = _plan(read, saved)
    if (fault := too_many_agents(plan, saved.ceilings, "routes")) is not None:
        raise BadParameters(in_words([fault]))
    made = prepared(plan, routing, task=read.query, inputs=read.inputs, credentials=saved, caller=caller, pools=pools)
    yield from told(made.routed)
    report = yield from _run(made, read, saved, caller, pools)
    results = report.results
    choice = made.routed.choice(results)
    report = replace(report, warnings=(*report.warnings, *notes(made.routed, results)))
    if not choice.route and any(result.error for result in results):
        raise NoRouteChosen(f"No route was chosen. {choice.reason}")
    if choice.route and read.call and (failure := hard_failure(report)) is not None:
        raise failure
    return RouterReport(choice=choice, report=report, called=read.call and bool(choice.route))


def _plan(read: RouterParameters, credentials: Credentials) -> tuple[Plan, Routing]:
    """Return the plan of the routes' agents, or one without steps where nobody shall be called."""
    known = [app.name for app in credentials.app_keys]
    try:
        if read.call:
            source = {"pattern": "routing", "route": read.route}
            plan = read_plan(source, known=known, inputs=read.inputs)
            if plan.routing is not None:
                return plan, plan.routing
        faults = Faults()
        warnings: list[str] = []
        words = BareWords((), read.inputs)
        texts = Texts(words, faults, warnings, refusal=_REFUSAL)
        routing = read_routing(Fields(read.route, "route", faults), {}, texts)
        directory = Directory((), known, faults)
        app = directory.find(routing.classifier, "route.classifier") if routing.classifier else None
        faults.stop()
    except PlanError as error:
        raise BadParameters(in_words(error.faults).replace("route.routes", "routes")) from None
    routing = replace(routing, classifier=app or "")
    return Plan(agents=directory.agents, steps=(), pattern="routing", warnings=tuple(warnings)), routing


def _run(
    made: Prepared, read: RouterParameters, credentials: Credentials, caller: Caller, pools: Pools
) -> Generator[Event, None, Report]:
    """Run what is left to do; nothing is, where rules decided and nobody shall be called."""
    plan = made.routed.plan
    if not plan.steps:
        return Report(
            status=RunStatus.SUCCEEDED,
            answer="",
            results=(),
            usage=total_usage(()),
            warnings=(*plan.warnings, *stripped_task(read.query)),
            trace_id=read.trace_id or uuid4().hex,
            run_id="",
        )
    request = requested(plan, made.agents, read, credentials, caller, task=read.query, budgets=read.budgets)
    request = replace(request, inputs=read.inputs)
    return (yield from conduct(request, credentials, pools))

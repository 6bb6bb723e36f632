"""Asks one agent one question as a run of one step, so that breaker, budget and record hold for it as for any other."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

from ensemble.contract.outcomes import StepStatus
from ensemble.contract.problems import Fault
from ensemble.contract.results import StepResult
from ensemble.engine.events import Event, Report
from ensemble.plan.faults import PlanError
from ensemble.plan.reading.plan import read_plan
from plugin.adapters.pools import Pools
from plugin.aggregator.parameters import AggregatorParameters
from plugin.casting import Caller, cast
from plugin.charging import charged
from plugin.conducting import conduct
from plugin.credentials import Credentials
from plugin.errors import UnknownAgent, in_words
from plugin.requesting import requested

__all__ = ["Asked", "ask_agent"]

_MODEL = "model"
"""What an agent that is a model is called in its run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of it."""

    report: Report

    @property
    def answer(self) -> StepResult | None:
        """The agent's answer; None where it failed."""
        result = self.report.results[0]
        return result if result.status is StepStatus.SUCCEEDED else None

    @property
    def error(self) -> str:
        """Why there is no answer."""
        error = self.report.results[0].error
        return error.message if error else "no answer."


def ask_agent(
    read: AggregatorParameters, question: str, credentials: Credentials, caller: Caller, pools: Pools
) -> Generator[Event, None, Asked]:
    """Ask the agent named in *read*, yielding what happens.

    Raises:
        UnknownAgent: no credential knows the agent, and it is no ``provider/model`` either.

    """
    known = [app.name for app in credentials.app_keys]
    model = "/" in read.agent and read.agent not in known
    agents = {_MODEL: {"model": read.agent, "prompt": "Do exactly what the message asks."}} if model else {}
    step = {"id": str(read.strategy), "agent": _MODEL if model else read.agent}
    try:
        plan = read_plan({"agents": agents, "steps": [step]} if agents else {"steps": [step]}, known=known)
    except PlanError as error:
        raise UnknownAgent(in_words(_in_terms_of_the_parameter(error))) from None
    # The question is no template, whatever braces the results have.
    plan = replace(plan, steps=(replace(plan.steps[0], query=question),))
    agents_by_name = cast(plan, credentials, caller, pools)
    budgets = charged(read.budgets, (), credentials)
    task = read.task or str(read.strategy)
    request = requested(plan, agents_by_name, read, credentials, caller, task=task, budgets=budgets)
    # One agent is asked once: what is not known of its cost is not shared out among several.
    request = replace(request, max_parallel=1)
    return Asked(report=(yield from conduct(request, credentials, pools)))


def _in_terms_of_the_parameter(error: PlanError) -> list[Fault]:
    """Return what is wrong with the plan in terms of the parameter it was made from."""
    return [fault.model_copy(update={"field": "agent"}) for fault in error.faults]

"""Plans of the pattern *routing* in a Python program: rules decide, or an agent of the team does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Never

from ensemble.agents.port import Agent
from ensemble.contract.problems import Fault
from ensemble.contract.results import StepResult
from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.routing.choices import DEFAULT
from ensemble.routing.team import routed

__all__ = ["with_routes"]

type Notes = Callable[[Sequence[StepResult]], tuple[str, ...]]
"""What there is to say about the routing once the run is over."""


def with_routes(
    plan: Plan, agents: Mapping[str, Agent], *, task: str, inputs: Mapping[str, Any]
) -> tuple[Plan, Mapping[str, Agent], Notes]:
    """Return *plan* with the steps that decide who works, and who decides; any other plan as it is.

    Raises:
        PlanError: a model shall decide, and models are Dify's.

    """
    if plan.routing is None:
        return plan, {}, lambda _: ()
    made = routed(plan, plan.routing, task=task, inputs=inputs, judges=_Judges(agents))

    def notes(results: Sequence[StepResult]) -> tuple[str, ...]:
        choice = made.choice(results)
        return (f"Nobody decided on a route. {choice.reason}",) if choice.by in {"", DEFAULT} else ()

    return made.plan, made.agents, notes


class _Judges:
    """Those who can decide here: agents of the team."""

    def __init__(self, agents: Mapping[str, Agent]) -> None:
        self._agents = agents

    def embedder(self, _provider: str, _model: str) -> Never:
        raise _no_models("embedding")

    def asked(self, _provider: str, _model: str, _prompt: str) -> Never:
        raise _no_models("model")

    def app(self, name: str) -> Agent:
        return self._agents[name]


def _no_models(field: str) -> PlanError:
    problem = "It is a model of a Dify workspace, out of a Python program's reach."
    return PlanError(
        [Fault(field=f"route.{field}", problem=problem, fix="Route by rules, or by an agent: classifier.")]
    )

"""From a plan whose steps are chosen by routing to one an engine can run: who decides, and what each step waits for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from ensemble.agents.port import Agent
from ensemble.contract.results import StepResult
from ensemble.plan.agents import AgentRef, AgentSpec, CredentialAgent, ModelAgent
from ensemble.plan.conditions import Chosen
from ensemble.plan.faults import folded
from ensemble.plan.fingerprint import condition_document
from ensemble.plan.joins import Join, JoinKind
from ensemble.plan.model import Plan, Step
from ensemble.plan.rendering import Scope
from ensemble.plan.routes import Routing, Strategy
from ensemble.plan.team import free_id
from ensemble.routing.choices import Choice, said
from ensemble.routing.deciders import PROMPT, AskingDecider, Embedder, NearnessDecider
from ensemble.routing.rules import choose_by_rules

__all__ = ["Judges", "Routed", "routed"]

DECIDING_S = 60.0
"""How long one attempt at deciding may take."""
_ASKED_AGAIN = 1


class Judges(Protocol):
    """Where the models that decide come from."""

    def embedder(self, provider: str, model: str) -> Embedder:
        """Return an embedding model."""

    def asked(self, provider: str, model: str, prompt: str) -> Agent:
        """Return a model with a prompt."""

    def app(self, name: str) -> Agent:
        """Return the classifier app that the routing names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """A plan that can be run, and what is known of its routing before it is."""

    plan: Plan
    agents: Mapping[str, Agent]
    """Who decides, by their names in the plan; to be added to the agents that work."""
    rules: Choice
    """What the rules say."""
    shut: tuple[str, ...]
    routing: Routing

    def choice(self, results: Collection[StepResult]) -> Choice:
        """Return what the routing says in the end, given how the run's steps ended."""
        by_step = {result.step: result for result in results}
        deciding = [by_step[step.id] for step in self.plan.steps if step.decides and step.id in by_step]
        return said(self.rules, deciding, self.routing.default, self.shut)


def routed(
    plan: Plan,
    routing: Routing,
    *,
    task: str,
    inputs: Mapping[str, object],
    judges: Judges,
    shut: Collection[str] = (),
) -> Routed:
    """Return *plan* with the steps that decide put before those that work.

    Rules decide now: they cost nothing and need nothing. The embedding model is asked next, then the model or app; each
    only where nobody before it decided. Where one fails, the next is asked all the same.

    Args:
        plan: As read, with one step for each agent of a route; or without steps, if nobody shall work.
        routing: The routes and who decides.
        task: The query.
        inputs: The run's inputs, for conditions of routes.
        judges: Makes the models that decide.
        shut: Routes whose breaker is open; they are passed over.

    """
    rules = Choice()
    if routing.uses(Strategy.RULES):
        rules = choose_by_rules(routing, Scope(task=task, inputs=inputs), shut)
    digest = _digest(routing)
    deciding = _Deciding(plan, digest)
    if not rules.route and routing.uses(Strategy.SEMANTIC) and (name := routing.embedding):
        near = NearnessDecider(routing, judges.embedder(name.provider, name.model), shut)
        deciding.add("router_semantic", ModelAgent(name.provider, name.model, ""), near)
    if not rules.route and routing.uses(Strategy.LLM):
        if routing.classifier:
            app = AskingDecider(routing, judges.app(routing.classifier), shut, structured=False)
            deciding.add("router_llm", CredentialAgent(routing.classifier), app, retry_times=_ASKED_AGAIN)
        elif name := routing.model:
            model = AskingDecider(routing, judges.asked(name.provider, name.model, PROMPT), shut, structured=True)
            deciding.add("router_llm", ModelAgent(name.provider, name.model, PROMPT), model, retry_times=_ASKED_AGAIN)
    otherwise = rules.route or (routing.default if routing.default not in shut else "")
    by = tuple(step.id for step in deciding.steps)
    steps = tuple(_waiting(step, by, otherwise, digest) for step in plan.steps)
    complete = replace(plan, agents={**plan.agents, **deciding.specs}, steps=(*deciding.steps, *steps))
    return Routed(plan=complete, agents=deciding.agents, rules=rules, shut=tuple(shut), routing=routing)


class _Deciding:
    """Gathers the steps that decide, each waiting for those before it to have left the question open."""

    def __init__(self, plan: Plan, digest: str) -> None:
        self._taken = {folded(step.id) for step in plan.steps} | {folded(name) for name in plan.agents}
        self._digest = digest
        self.steps: list[Step] = []
        self.agents: dict[str, Agent] = {}
        self.specs: dict[str, AgentSpec] = {}

    def add(self, wanted: str, ref: AgentRef, agent: Agent, *, retry_times: int = 0) -> None:
        name = free_id(wanted, self._taken)
        before = tuple(step.id for step in self.steps)
        self.agents[name], self.specs[name] = agent, AgentSpec(name=name, ref=ref)
        self.steps.append(
            Step(
                id=name,
                agent=name,
                inputs={"routes": self._digest},
                depends_on=before,
                join=Join(JoinKind.ALL_DONE, 0),
                when=Chosen(before, (), otherwise=True) if before else None,
                timeout_s=DECIDING_S,
                retry_times=retry_times,
                stream=False,  # What is said while deciding is nobody's answer.
                decides=True,
            )
        )


def _waiting(step: Step, by: tuple[str, ...], otherwise: str, digest: str) -> Step:
    """Return a step that works, waiting for those that decide; others (a synthesizer) stay as they are."""
    if not isinstance(step.when, Chosen):
        return step
    chosen = Chosen(by, step.when.routes, otherwise in step.when.routes, digest)
    return replace(step, depends_on=by, join=Join(JoinKind.ALL_DONE, 0), when=chosen)


def _digest(routing: Routing) -> str:
    """Return a hash of all that decides: two calls with one run_key are one run only if they would decide alike."""
    document = {
        "routes": [
            {
                "name": route.name,
                "description": route.description,
                "examples": route.examples,
                "keywords": route.keywords,
                "patterns": [pattern.pattern for pattern in route.patterns],
                "when": condition_document(route.when),
            }
            for route in routing.routes
        ],
        "strategy": routing.strategy,
        "default": routing.default,
        "threshold": routing.threshold,
        "margin": routing.margin,
    }
    canonical = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]

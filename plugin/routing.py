"""What the orchestrator's routing and the router tool share: who decides, and whose breaker is open."""

from __future__ import annotations

import time
import typing
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble.agents.identity import app_identity
from ensemble.agents.port import Agent
from ensemble.contract.breakers import BreakerPolicy, BreakerView
from ensemble.contract.exchange import Decision
from ensemble.contract.problems import Fault
from ensemble.contract.results import StepResult
from ensemble.engine.events import Event, Progress
from ensemble.plan.agents import AppAgent, CredentialAgent
from ensemble.plan.faults import folded
from ensemble.plan.model import Plan
from ensemble.plan.reading.lookup import resolve
from ensemble.plan.routes import Route, Routing
from ensemble.routing.choices import DEFAULT, Choice
from ensemble.routing.deciders import Embedder
from ensemble.routing.team import Routed, routed
from ensemble.rules.breakers.breaker import admit
from ensemble.rules.records import Breaker
from plugin.adapters.embedding import EmbeddingModels, ModelEmbedder
from plugin.adapters.model import ModelAgentCaller
from plugin.adapters.pools import Pools
from plugin.casting import Caller, Session, cast, own_host
from plugin.credentials import Credentials
from plugin.errors import BadPlan, EnsembleError, in_words

__all__ = ["Prepared", "notes", "prepared", "told"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A routed plan with everybody who works or decides in it."""

    routed: Routed
    agents: Mapping[str, Agent]


def prepared(
    plan: Plan,
    routing: Routing,
    *,
    task: str,
    inputs: Mapping[str, Any],
    credentials: Credentials,
    caller: Caller,
    pools: Pools,
) -> Prepared:
    """Return *plan* with the steps that decide, and all its agents.

    Raises:
        BadPlan: a model shall decide, and the call came without a way back into Dify.

    """
    agents = cast(plan, credentials, caller, pools)
    judges = _Judges(agents, credentials, caller, pools)
    shut = _shut(plan, routing, agents, credentials, pools)
    made = routed(plan, routing, task=task, inputs=inputs, judges=judges, shut=shut)
    return Prepared(made, {**agents, **made.agents})


def told(made: Routed) -> Generator[Event]:
    """Yield what is known before anything runs."""
    if made.rules.route:
        yield Progress(f"[  0.00 s] routed to {made.rules.route} by rules: {made.rules.reason}")
    if made.shut:
        yield Progress(f"[  0.00 s] passed over, because their breakers are open: {', '.join(made.shut)}")


def notes(made: Routed, results: Sequence[StepResult]) -> tuple[str, ...]:
    """Return warnings about the routing once its run is over."""
    choice: Choice = made.choice(results)
    shut = f"Passed over, because their breakers are open: {', '.join(made.shut)}."
    return (
        *([shut] if made.shut else []),
        *([f"Nobody decided on a route. {choice.reason}"] if choice.by in {"", DEFAULT} else []),
    )


class _Judges:
    """Makes those who decide."""

    def __init__(self, agents: Mapping[str, Agent], credentials: Credentials, caller: Caller, pools: Pools) -> None:
        self._agents = agents
        self._credentials = credentials
        self._caller = caller
        self._pools = pools

    def embedder(self, provider: str, model: str) -> Embedder:
        return ModelEmbedder(
            provider,
            model,
            models=typing.cast("EmbeddingModels", self._session("embedding").model),
            remembered=self._pools.vectors(self._credentials, f"{provider}/{model}"),
            host=own_host(self._credentials),
        )

    def asked(self, provider: str, model: str, prompt: str) -> Agent:
        models = self._session("model").model
        return ModelAgentCaller(
            provider, model, prompt, label="router", models=models, host=own_host(self._credentials)
        )

    def app(self, name: str) -> Agent:
        return self._agents[name]

    def _session(self, field: str) -> Session:
        if self._caller.session is None:
            problem = "is a model of the workspace, out of reach here."
            raise BadPlan(in_words([Fault(field=f"route.{field}", problem=problem, fix="Route by rules or an app.")]))
        return self._caller.session


def _shut(
    plan: Plan, routing: Routing, agents: Mapping[str, Agent], credentials: Credentials, pools: Pools
) -> tuple[str, ...]:
    """Return the routes whose agents' breakers are all open, so that nobody would answer."""
    known = {route.name: _identities(route, agents, credentials, pools) for route in routing.routes}
    wanted = {identity for identities in known.values() for identity in identities}
    if not wanted:
        return ()
    now_ms = time.time_ns() // 1_000_000
    policies = {agent.identity: _policy(plan, name) for name, agent in agents.items()}
    shut = {
        view.identity
        for view in _views(wanted, credentials, pools)
        if _is_shut(view, policies.get(view.identity, BreakerPolicy()), now_ms)
    }
    return tuple(name for name, identities in known.items() if identities and identities <= shut)


def _identities(route: Route, agents: Mapping[str, Agent], credentials: Credentials, pools: Pools) -> frozenset[str]:
    """Return who would work for *route*, as far as its names mean apps; a route may be no more than a word."""
    by_name = {folded(name): agent for name, agent in agents.items()}
    keys = {app.name: app for app in credentials.app_keys}
    found = set()
    for word in route.agents or (route.name,):
        agent = by_name.get(folded(word))
        match (agent and agent.identity) or resolve(word, tuple(keys)):
            case str(identity):
                found.add(identity)
            case CredentialAgent(name=name):
                found.add(pools.agent(keys[name]).identity)
            case AppAgent(app_id=app_id):
                found.add(app_identity(app_id))
    return frozenset(found)


def _policy(plan: Plan, name: str) -> BreakerPolicy:
    spec = plan.agents.get(name)
    return (spec and spec.breaker) or plan.defaults.breaker or BreakerPolicy()


def _views(wanted: set[str], credentials: Credentials, pools: Pools) -> Sequence[BreakerView]:
    """Return the breakers on record; none where nobody can be asked, for then every route may be tried."""
    if credentials.sidecar is None:
        return pools.book(credentials).breakers(wanted)
    if pools.absence(credentials.sidecar).lasts():
        return ()
    try:
        return pools.sidecar(credentials.sidecar).list_breakers().breakers
    except EnsembleError:
        return ()


def _is_shut(view: BreakerView, policy: BreakerPolicy, now_ms: int) -> bool:
    """Return whether a call would be refused, by the very rule that admits calls.

    The time it opened is the store's, *now_ms* this machine's: a difference between their clocks makes a route be passed
    over a little too long, or tried and refused.
    """
    breaker = Breaker(
        state=view.state, generation=view.generation, opened_ms=view.opened_ms, trips=view.trips, forced=view.forced
    )
    _, verdict = admit(breaker, view.policy or policy, now_ms, "", "")
    return verdict.decision is Decision.REFUSED

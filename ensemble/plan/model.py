"""A plan as the engine gets it, whatever form it was written in: its steps, and the rules of their run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Literal

from ensemble.contract.breakers import BreakerPolicy
from ensemble.plan.agents import ON_UNCERTAIN, AgentSpec, AppAgent
from ensemble.plan.conditions import Condition
from ensemble.plan.fallbacks import Cache, Chain, Fallback, chain
from ensemble.plan.groups import ForEach, Group, Loop, Managed
from ensemble.plan.joins import Join
from ensemble.plan.limits import Limits
from ensemble.plan.routes import Routing
from ensemble.plan.templates import Template

__all__ = ["Defaults", "OnFailure", "Output", "Plan", "Step"]

type OnFailure = Literal["best_effort", "fail_fast"]


@dataclass(frozen=True, slots=True)
class Output:
    """An output a step says it has; the agent has the last word."""

    name: str
    type: str = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One piece of a plan. None leaves a setting to the agent, then to the plan's defaults."""

    id: str
    agent: str
    """A key of the plan's agents; empty for a group."""
    group: Group | None = None
    """What the step is made of where it calls no agent itself."""
    title: str = ""
    inputs: Mapping[str, Any] | None = None
    """The step's own inputs: templates, constants, maps and lists of them; None where it has none."""
    query: Template | str | None = None
    """The step's own query."""
    depends_on: tuple[str, ...] = ()
    """What it waits for: as written, then as implied by references."""
    carries: tuple[str, ...] = ()
    """Steps whose answers it is given as ``### <label>`` sections after the task; none with a query or inputs."""
    when: Condition | None = None
    join: Join = field(default_factory=Join)
    timeout_s: float | None = None
    """Of one attempt."""
    retry_times: int | None = None
    max_tokens: int | None = None
    on_uncertain: str | None = None
    """One of :data:`~ensemble.plan.agents.ON_UNCERTAIN`."""
    cache: Cache | None = None
    fallback: Fallback | None = None
    outputs: tuple[Output, ...] = ()
    stream: bool | None = None
    decides: bool = False
    """Whether it only decides which others run: its result is no part of the run's answer, nor its success."""

    @property
    def worker(self) -> str:
        """Who works: the agent; of a group whose parts have one worker, that one, else the group's kind in a word."""
        match self.group:
            case None:
                return self.agent
            case ForEach(each=each) | Loop(each=each):
                return each.worker
            case Managed(manager=manager):
                return manager
            case _:
                return type(self.group).__name__.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """Settings for every step whose agent and self say nothing else."""

    timeout_s: float | None = None
    retry_times: int | None = None
    max_tokens: int | None = None
    on_uncertain: str | None = None
    breaker: BreakerPolicy | None = None
    cache: Cache | None = None
    fallback: Fallback | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Agents, steps in plan order, and the rules of their run. Free of cycles; every name in it exists."""

    agents: Mapping[str, AgentSpec]
    steps: tuple[Step, ...]
    output: Any = None
    """A template (or maps and lists with templates) that makes the run's answer; None: the rule of answers."""
    synthesizer: str | None = None
    """The step that makes one answer of all others'."""
    pattern: str = "dag"
    limits: Limits = field(default_factory=Limits)
    budgets: tuple[str, ...] = ()
    """Named budgets that every attempt is charged to as well."""
    on_failure: OnFailure | None = None
    """None where the plan does not say."""
    defaults: Defaults = Defaults()
    warnings: tuple[str, ...] = ()
    routing: Routing | None = None
    """How the steps to run are chosen; such a plan is completed by :func:`ensemble.routing.team.routed`."""

    @cached_property
    def by_id(self) -> Mapping[str, Step]:
        """The steps by id, in plan order."""
        return {step.id: step for step in self.steps}

    def dependencies(self, step_id: str) -> tuple[str, ...]:
        """Return what the step waits for."""
        return self.by_id[step_id].depends_on

    def dependents(self, step_id: str) -> tuple[str, ...]:
        """Return the steps that wait for the step, in plan order."""
        return self._dependents[step_id]

    def leaves(self) -> tuple[str, ...]:
        """Return the steps nobody waits for, in plan order."""
        return tuple(step.id for step in self.steps if not self._dependents[step.id])

    def working(self) -> tuple[str, ...]:
        """Return the steps that don't only decide; all of them where there are no others."""
        return tuple(step.id for step in self.steps if not step.decides) or tuple(step.id for step in self.steps)

    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Return the steps by how many others stand, at most, in a row before them."""
        depth: dict[str, int] = {}
        for step_id in TopologicalSorter({step.id: step.depends_on for step in self.steps}).static_order():
            depth[step_id] = 1 + max((depth[before] for before in self.dependencies(step_id)), default=-1)
        levels: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
        for step in self.steps:
            levels[depth[step.id]].append(step.id)
        return tuple(tuple(level) for level in levels)

    def spec(self, step: Step) -> AgentSpec:
        """Return the agent that the step calls."""
        return self.agents[step.agent]

    def label(self, step_id: str) -> str:
        """Return the heading of the step's answer: its agent's name, or its id where that name says too little."""
        step = self.by_id[step_id]
        if step.group is not None:
            return step.id
        ref = self.spec(step).ref
        nameless = isinstance(ref, AppAgent) and step.agent == ref.app_id
        return step.id if nameless or self._calls[step.agent] > 1 else step.agent

    def timeout_s(self, step: Step) -> float | None:
        """Return the timeout of one attempt: the step's, else its agent's, else the plan's default."""
        return _first(step.timeout_s, self.spec(step).timeout_s, self.defaults.timeout_s)

    def retry_times(self, step: Step) -> int | None:
        """Return how often to try again: the step's word, else its agent's, else the plan's default."""
        return _first(step.retry_times, self.spec(step).retry_times, self.defaults.retry_times)

    def max_tokens(self, step: Step) -> int | None:
        """Return the tokens one attempt declares: the step's, else its agent's, else the plan's default."""
        return _first(step.max_tokens, self.spec(step).max_tokens, self.defaults.max_tokens)

    def on_uncertain(self, step: Step) -> str:
        """Return what becomes of the step if an earlier engine died while it ran: its word, its agent's, the plan's."""
        agents = None if step.group is not None else self.spec(step).on_uncertain
        return _first(step.on_uncertain, agents, self.defaults.on_uncertain) or ON_UNCERTAIN[0]

    def breaker(self, step: Step) -> BreakerPolicy | None:
        """Return the breaker's policy: the agent's, else the plan's default."""
        return _first(self.spec(step).breaker, self.defaults.breaker)

    def cache(self, step: Step) -> Cache | None:
        """Return how long the agent's answers at *step* may stand in for it; None: they are not kept."""
        spec = self.spec(step)
        cache = _first(step.cache, spec.cache, None if step.decides else self.defaults.cache)
        return None if cache is None or not cache.kept_s or spec.memory else cache

    def fallbacks(self, step: Step) -> Chain:
        """Return what stands in for the step's agent: by the step's word, else its agent's, else the plan's default.

        For one that only decides, the next one that decides does.
        """
        own = _first(step.fallback, self.spec(step).fallback, None if step.decides else self.defaults.fallback)
        return chain(step.agent, own, {name: spec.fallback for name, spec in self.agents.items()})

    @cached_property
    def _dependents(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {step.id: [] for step in self.steps}
        for step in self.steps:
            for before in step.depends_on:
                found[before].append(step.id)
        return {step_id: tuple(after) for step_id, after in found.items()}

    @cached_property
    def _calls(self) -> Counter[str]:
        return Counter(step.agent for step in self.steps)


def _first[T](*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)

"""Reading a plan in any of its forms: a pattern and a team, a list of steps, or the nodes of Dify's own documents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ensemble.plan.faults import Faults, folded, shortened
from ensemble.plan.model import Defaults, OnFailure, Plan, Step
from ensemble.plan.reading.bounds import MAX_STEPS, bounded, unreadable
from ensemble.plan.reading.budgets import read_budgets
from ensemble.plan.reading.checking import check_cycles, check_size, unknown_outputs
from ensemble.plan.reading.declarations import Named, named_agents, parse_agents, read_agents, read_settings, read_tools
from ensemble.plan.reading.fallbacks import REFUSAL, check_fallbacks, fallback_settings, find_backups, found_backup
from ensemble.plan.reading.fields import Fields, at
from ensemble.plan.reading.limits import read_limits
from ensemble.plan.reading.lookup import Declaration, Directory
from ensemble.plan.reading.routes import read_routing
from ensemble.plan.reading.source import parse_text
from ensemble.plan.reading.steps import RawStep, raw_nodes, raw_steps, read_step
from ensemble.plan.reading.team import TeamFields, check_taken
from ensemble.plan.reading.texts import Texts
from ensemble.plan.reading.tools import check_tools
from ensemble.plan.routes import Routing
from ensemble.plan.team import PATTERNS, routed_steps, with_synthesizer
from ensemble.plan.templates import BareWords

__all__ = ["read_plan"]

DEFAULT_PATTERN = "parallel"
"""Without ``depends_on`` nothing waits; a team without a pattern is no exception."""


def read_plan(
    source: str | Mapping[str, Any] | list[Any] | None,
    *,
    agents: str | list[Any] | Mapping[str, Any] | None = None,
    pattern: str | None = None,
    synthesizer: str | None = None,
    known: Collection[str] = (),
    inputs: Mapping[str, Any] | None = None,
    typed: bool = False,
) -> Plan:
    """Return the plan that *source* and the parameters beside it describe.

    Args:
        source: The plan, as text or object; nothing where *agents* says it all.
        agents: The tool's parameter: the team, or where the plan has steps, more agents to call by name.
        pattern: The tool's parameter; not looked at where the plan has a pattern or steps.
        synthesizer: The tool's parameter; what the plan says counts first.
        known: The names of the apps in the credentials.
        inputs: The run's inputs.
        typed: Whether texts reached us through Dify's template pass, which strips the braces of unknown references.

    Raises:
        PlanError: something is wrong; every fault is named at once.

    """
    faults = Faults()
    root = Fields(_root(source, faults), "", faults)
    team = named_agents(_bounded_agents(parse_agents(agents or None, faults), faults), faults)
    reader = _Reader(faults, root, team, tuple(known), dict(inputs or {}))
    reader.plan_typed = _came_bare(source, typed=typed)
    reader.team_typed = _came_bare(agents, typed=typed)
    return reader.read(pattern or "", synthesizer or "")


def _root(source: Any, faults: Faults) -> Any:
    data = parse_text(source, "plan", faults) if isinstance(source, str) else bounded(source, "plan")
    if data is not None and not isinstance(data, Mapping | list):
        raise unreadable(
            "plan", f"'{shortened(data)}' is no plan.", "Write fields, such as agents: [a, b] or steps: [...]."
        )
    return {"steps": data} if isinstance(data, list) else data


def _bounded_agents(data: Any, faults: Faults) -> Any:
    data = bounded(data, "agents")
    if isinstance(data, Mapping | list) and len(data) > MAX_STEPS:
        faults.add("agents", f"There are {len(data)} agents.", f"At most {MAX_STEPS}.")
        return None
    return data


def _came_bare(source: Any, *, typed: bool) -> tuple[bool, bool]:
    """Return whether braces may have been stripped from *source*, and whether it has braces all the same."""
    text = isinstance(source, str)
    return typed and text, text and "{{" in source


@dataclass(slots=True)
class _Reader:
    """Reads one plan."""

    faults: Faults
    root: Fields
    team: list[Named]
    known: tuple[str, ...]
    inputs: dict[str, Any]
    plan_typed: tuple[bool, bool] = (False, False)
    team_typed: tuple[bool, bool] = (False, False)
    warnings: list[str] = field(default_factory=list)

    def read(self, pattern: str, synthesizer: str) -> Plan:
        """Read everything, then raise or return."""
        root = self.root
        own_pattern = root.choice("pattern", PATTERNS)
        raws = self._raws()
        if raws is None and own_pattern is None:
            own_pattern = Fields({"pattern": pattern}, "", self.faults).choice("pattern", PATTERNS)
        if raws is not None and own_pattern not in {None, "dag"}:
            fix = "Leave pattern out and use depends_on, or list agents instead of steps."
            self.faults.add("pattern", f"'{own_pattern}' is for a team, and the plan has steps.", fix)
        chosen = "dag" if raws is not None else own_pattern or DEFAULT_PATTERN
        listed = named_agents(_bounded_agents(root.take("agents"), self.faults), self.faults)
        declared = self._declared(listed)
        directory = Directory(declared, self.known, self.faults)
        find_backups(declared, directory)
        last = root.text("synthesizer").strip() or synthesizer.strip()
        carry_all = root.choice("context", ("previous", "all")) == "all"
        routing = self._routing(chosen, listed or self.team, directory, last)
        if routing is not None:
            steps, answering = self._from_routes(routing, last, directory)
        elif raws is None:
            team = self.team or listed or [(agent.path, agent.name, None) for agent in declared]
            reader = TeamFields(root, directory, self.faults)
            steps, answering = reader.steps(chosen, team, last, carry_all=carry_all)
        else:
            steps, answering = self._from_steps(raws, last, directory)
        paths = {raw.id: raw.fields.path for raw in raws or ()}
        check_cycles(steps, paths, self.faults)
        check_tools(steps, directory.agents, paths, self.faults, classifier=routing.classifier if routing else "")
        self.warnings += unknown_outputs(steps)
        check_size(steps, self.faults)
        plan = Plan(
            agents=directory.agents,
            steps=steps,
            output=self._output(steps),
            synthesizer=answering,
            pattern=chosen,
            limits=read_limits(root, self.faults),
            budgets=read_budgets(root.take("budgets"), "budgets", self.faults),
            on_failure=_on_failure(root),
            defaults=self._defaults(directory),
            warnings=tuple(self.warnings),
            routing=routing,
        )
        check_fallbacks(plan, paths, self.faults)
        root.close()
        self.faults.stop()
        return plan

    def _raws(self) -> list[RawStep] | None:
        """Return the plan's steps as far as their ids; None where it has a team."""
        steps, nodes = self.root.take("steps"), self.root.take("nodes")
        if steps is not None and nodes is not None:
            self.faults.add("nodes", "The plan has both steps and nodes.", "Keep one of them.")
        data = nodes if steps is None else steps
        if data is None:
            return None
        if isinstance(data, list) and not 0 < len(data) <= MAX_STEPS:
            problem = f"There are {len(data)} steps." if data else "There are no steps."
            self.faults.add("nodes" if steps is None else "steps", problem, f"Write 1 to {MAX_STEPS}.")
            return []
        return raw_nodes(data, self.faults) if steps is None else raw_steps(data, self.faults)

    def _texts(self, ids: Collection[str], came: tuple[bool, bool], refusal: str = "") -> Texts:
        words = BareWords(ids, self.inputs)
        return Texts(words, self.faults, self.warnings, typed=came[0], braces=came[1], refusal=refusal)

    def _declared(self, listed: list[Named]) -> list[Declaration]:
        """Return the agents of plan, tools and parameter; the plan's word counts before the parameter's."""
        refusal = "The inputs of an agent are the same in every step; put this into the inputs of a step."
        own = read_agents(listed, self._texts((), self.plan_typed, refusal))
        tools = read_tools(self.root.take("tools"), self.faults)
        names = {folded(declaration.name) for declaration in own}
        for tool in tools:
            if folded(tool.name) in names:
                self.faults.add(at(tool.path, "name"), f"The name '{tool.name}' is taken.", "Call it otherwise.")
        names |= {folded(tool.name) for tool in tools}
        more = [entry for entry in self.team if folded(entry[1]) not in names]
        return [*own, *tools, *read_agents(more, self._texts((), self.team_typed, refusal))]

    def _routing(self, pattern: str, team: list[Named], directory: Directory, last: str) -> Routing | None:
        """Read ``route``, which a plan of the pattern *routing* has, perhaps with nothing in it."""
        data = self.root.take("route")
        if pattern != "routing":
            if data is not None:
                self.faults.add("route", "It is for the pattern routing.", "Write pattern: routing, or leave it out.")
            return None
        synthesizer = directory.find(last, "synthesizer") if last else None
        names = [directory.find(word, path) for path, word, _ in team]
        about = {name: directory.agents[name].description for name in names if name and name != synthesizer}
        refusal = "Routes are chosen before any step runs; refer to task or start."
        routing = read_routing(Fields(data, "route", self.faults), about, self._texts((), self.plan_typed, refusal))
        app = directory.find(routing.classifier, "route.classifier") if routing.classifier else None
        return replace(routing, classifier=app or "")

    def _from_routes(
        self, routing: Routing, synthesizer: str, directory: Directory
    ) -> tuple[tuple[Step, ...], str | None]:
        routes: dict[str, list[str]] = {}
        for route in routing.routes:
            found = [directory.find(word, f"route.{route.name}") for word in route.agents or (route.name,)]
            routes[route.name] = [name for name in found if name]
        steps = routed_steps(routes)
        for step in steps:
            check_taken(step.agent, self.faults)
        last = directory.find(synthesizer, "synthesizer") if synthesizer else None
        return with_synthesizer(steps, last, tuple(step.id for step in steps)) if last else (steps, None)

    def _from_steps(
        self, raws: list[RawStep], synthesizer: str, directory: Directory
    ) -> tuple[tuple[Step, ...], str | None]:
        ids = dict.fromkeys(raw.id for raw in raws)
        texts = self._texts(ids, self.plan_typed)
        steps = tuple(read_step(raw, ids, directory, texts) for raw in raws)
        if not synthesizer or synthesizer in ids:
            return steps, synthesizer or None
        agent = directory.find(synthesizer, "synthesizer")
        if agent is None:
            return steps, None
        own = [step.id for step in steps if step.agent == agent]
        if len(own) == 1:
            return steps, own[0]
        needed = {before for step in steps for before in step.depends_on}
        return with_synthesizer(steps, agent, tuple(step.id for step in steps if step.id not in needed))

    def _output(self, steps: tuple[Step, ...]) -> Any:
        data = self.root.take("output")
        if data is None:
            return None
        ids = dict.fromkeys(step.id for step in steps)
        return self._texts(ids, self.plan_typed).answer(data, "output", ids)

    def _defaults(self, directory: Directory) -> Defaults:
        inner = Fields(self.root.take("defaults"), "defaults", self.faults)
        settings = read_settings(inner) | fallback_settings(inner, self._texts((), self.plan_typed, REFUSAL))
        settings["fallback"] = found_backup(settings["fallback"], inner.at("fallback"), directory)
        defaults = Defaults(breaker=inner.breaker("breaker"), **settings)
        inner.close()
        return defaults


def _on_failure(fields: Fields) -> OnFailure | None:
    match fields.choice("on_failure", ("best_effort", "fail_fast")):
        case "fail_fast":
            return "fail_fast"
        case "best_effort":
            return "best_effort"
        case _:
            return None

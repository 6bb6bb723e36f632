"""Reading what makes a step a group: ``for_each``, ``loop``, ``vote``, ``race``, ``manage`` and nested ``steps``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ensemble.plan.conditions import Condition
from ensemble.plan.faults import folded
from ensemble.plan.groups import (
    ANSWER,
    CRITIC,
    INDEX,
    ITEM,
    ROUND,
    ForEach,
    Loop,
    Nested,
    Race,
    Vote,
)
from ensemble.plan.model import Plan, Step
from ensemble.plan.reading.cycles import find_cycles, in_words
from ensemble.plan.reading.fields import Fields
from ensemble.plan.reading.joins import read_join
from ensemble.plan.reading.lookup import Directory
from ensemble.plan.reading.managers import MAX_AGENTS, MAX_ROUNDS, read_agent_list, read_managed
from ensemble.plan.reading.texts import Texts
from ensemble.plan.reading.when import read_when
from ensemble.plan.team import free_id
from ensemble.plan.templates import Template

__all__ = ["BODIES", "MAX_PARALLEL", "GroupFields"]

BODIES = ("steps", "vote", "race", "manage")
"""Fields that stand in place of ``agent``."""
MAX_PARALLEL = 1000
ROUNDS = 3
"""How often a loop goes round where nobody says."""
MAX_WEIGHT = 1000

_NOT_WITH = {
    ("inputs", "steps"): "steps",
    ("query", "steps"): "steps",
    ("inputs", "manage"): "query",
}
"""Fields that mean nothing beside others, and where to write what they say."""

type Nest = Callable[[Any, str, Texts], tuple[Step, ...]]
"""Reads a list of steps: what stands there, its path, and how to read texts."""


class GroupFields:
    """The group of one step: what its fields say, and which words its texts may use."""

    def __init__(self, fields: Fields, directory: Directory, texts: Texts) -> None:
        """Read *fields*; *texts* reads what stands outside of the group."""
        self._fields = fields
        self._directory = directory
        self._outer = texts
        self._faults = texts.faults
        self._for_each, self._loop = fields.take("for_each"), fields.take("loop")
        self.bodies = [name for name in BODIES if fields.has(name)]
        self._taken = {name: fields.take(name) for name in BODIES}
        words = [*([ITEM, INDEX] if self._for_each is not None else [])]
        self._around_loop = texts.within(words)
        self.texts = self._around_loop.within([ANSWER, CRITIC, ROUND] if self._loop is not None else [])
        """For the step's own inputs and query."""

    def around(self, leaf: Step, nested: Nest) -> Step:
        """Return the step that *leaf*, its agent's call, is a part of; *leaf* itself where it is no group.

        *nested* reads a list of steps.
        """
        if len(self.bodies) > 1 or (self.bodies and leaf.agent):
            both = " and ".join(["agent"] * bool(leaf.agent) + self.bodies)
            self._faults.add(self._fields.path, f"The step has {both}.", "Keep one of them.")
        body = self._body(leaf, nested)
        if self._loop is not None:
            body = self._looped(body, leaf)
        if self._for_each is not None:
            body = self._for_each_item(body)
        return body

    def _body(self, leaf: Step, nested: Nest) -> Step:
        if not self.bodies:
            return leaf
        name = self.bodies[0]
        for own in ("inputs", "query"):
            if self._fields.has(own) and (own, name) in _NOT_WITH:
                self._faults.add(
                    self._fields.at(own), f"A step with {name} has none.", f"Write it into its {_NOT_WITH[own, name]}."
                )
        data, path = self._taken[name], self._fields.at(name)
        match name:
            case "steps":
                return _group(leaf, self._nested(data, path, nested))
            case "manage":
                inner = Fields(data, path, self._faults)
                return _group(leaf, read_managed(inner, self._directory, self._faults, leaf))
            case "vote":
                return _group(leaf, self._vote(data, path, leaf))
            case _:
                return _group(leaf, self._race(data, path, leaf))

    def _nested(self, data: Any, path: str, nested: Nest) -> Nested:
        output = self._fields.take("output")
        steps = nested(data, path, self.texts)
        ids = dict.fromkeys(step.id for step in steps)
        for cycle in find_cycles({step.id: step.depends_on for step in steps}):
            fix = "Take one of these out of depends_on, or out of the texts that refer to it."
            self._faults.add(path, f"A circle: {in_words(cycle)}.", fix)
        made = None
        if output is not None:
            made = self.texts.with_steps(ids).answer(output, self._fields.at("output"), ids)
        return Nested(plan=Plan(agents=self._directory.agents, steps=steps, output=made))

    def _vote(self, data: Any, path: str, leaf: Step) -> Vote:
        fields = _with_agents(data, path, self._outer)
        parts = self._parts(fields, leaf)
        weights = fields.take("weights")
        by_name: dict[str, float] = {}
        if isinstance(weights, Mapping):
            inner = Fields(weights, fields.at("weights"), self._faults)
            names = {folded(part.agent): part.id for part in parts}
            for name in weights:
                weight = inner.share(str(name), MAX_WEIGHT)
                if folded(str(name)) not in names:
                    self._faults.add(inner.at(str(name)), "It is none of the agents that vote.", "Name one of them.")
                elif weight is not None:
                    by_name[names[folded(str(name))]] = weight
        elif weights not in (None, "", "equal", "confidence"):
            fix = "Write confidence, or a map of agents and numbers."
            self._faults.add(fields.at("weights"), f"'{weights}' is unknown.", fix)
        agree = fields.whole("agree", 1, MAX_AGENTS)
        if agree is not None and agree > len(parts):
            self._faults.add(fields.at("agree"), f"There are {len(parts)} agents.", f"Write 1 to {len(parts)}.")
        vote = Vote(
            parts=parts,
            on=fields.text("on").strip(),
            weights=by_name,
            by_confidence=weights == "confidence",
            agree=agree,
        )
        fields.close()
        return vote

    def _race(self, data: Any, path: str, leaf: Step) -> Race:
        fields = _with_agents(data, path, self._outer)
        good = self._condition(fields, "good", self.texts.within([ANSWER]))
        race = Race(parts=self._parts(fields, leaf), good=good)
        fields.close()
        return race

    def _parts(self, fields: Fields, leaf: Step) -> tuple[Step, ...]:
        """Return one step for each of ``agents``, which does what *leaf* says."""
        names = read_agent_list(fields, "agents", self._directory, self._faults)
        taken: set[str] = set()
        parts = []
        for name in names:
            step_id = free_id(name, taken)
            taken.add(folded(step_id))
            parts.append(replace(leaf, id=step_id, agent=name))
        return tuple(parts)

    def _looped(self, body: Step, leaf: Step) -> Step:
        data, path = self._loop, self._fields.at("loop")
        fields = Fields(data if isinstance(data, Mapping) else {"max_rounds": data}, path, self._faults)
        texts = self._around_loop.within([ANSWER, CRITIC, ROUND])
        loop = Loop(
            each=body,
            max_rounds=fields.whole("max_rounds", 1, MAX_ROUNDS) or ROUNDS,
            until=self._condition(fields, "until", texts),
            critic=self._critic(fields, texts, leaf),
        )
        if loop.until is None and loop.critic is None and not fields.has("until") and not fields.has("critic"):
            self._faults.add(
                path, "Nothing ends the loop.", 'Write until: "{{ answer.output }} ...", or name a critic.'
            )
        fields.close()
        return _group(body, loop)

    def _critic(self, fields: Fields, texts: Texts, leaf: Step) -> Step | None:
        data = fields.take("critic")
        if data is None:
            return None
        inner = Fields(data if isinstance(data, Mapping) else {"agent": data}, fields.at("critic"), self._faults)
        name = inner.name("agent")
        agent = self._directory.find(name, inner.at("agent")) if name else None
        if name is None and not inner.has("agent"):
            self._faults.add(inner.at("agent"), "It is missing.", "Name the agent that judges.")
        inputs = inner.take("inputs")
        if inputs is not None and not isinstance(inputs, Mapping):
            self._faults.add(inner.at("inputs"), "It is no map.", "Write 'name: value' pairs.")
            inputs = None
        query = texts.text(inner.text("query"), inner.at("query")) or None
        made = None if inputs is None else texts.value(dict(inputs), inner.at("inputs"))
        inner.close()
        return replace(
            leaf, id=CRITIC, agent=agent or "", inputs=made, query=query, carries=(), stream=None, outputs=()
        )

    def _for_each_item(self, body: Step) -> Step:
        data, path = self._for_each, self._fields.at("for_each")
        outer = self._outer
        if not isinstance(data, Mapping):
            items = _items(data, path, outer)
            return _group(body, ForEach(items=items, each=body))
        fields = Fields(data, path, self._faults)
        items = None
        if fields.has("items"):
            items = _items(fields.take("items"), fields.at("items"), outer)
        else:
            self._faults.add(fields.at("items"), "It is missing.", 'Write items: "{{ step.output }}" or a list.')
        wide = fields.whole("max_parallel", 1, MAX_PARALLEL)
        join = read_join(fields, None, self._faults) if fields.has("join") else None
        fields.take("join")
        fields.close()
        return _group(body, ForEach(items=items, each=body, max_parallel=wide, join=join))

    def _condition(self, fields: Fields, name: str, texts: Texts) -> Condition | None:
        data = fields.take(name)
        return None if data is None else read_when(data, fields.at(name), texts)


def _group(inner: Step, group: Any) -> Step:
    return Step(id=inner.id, agent="", group=group, on_uncertain=inner.on_uncertain)


def _with_agents(data: Any, path: str, texts: Texts) -> Fields:
    """Return the fields of ``vote`` or ``race``, which may be the list of agents alone."""
    return Fields(data if isinstance(data, Mapping) else {"agents": data}, path, texts.faults)


def _items(data: Any, path: str, texts: Texts) -> Any:
    """Return the list that *data* is, or the template of one."""
    items = texts.value(data, path)
    written = isinstance(items, str) and items.lstrip().startswith("[")
    if not written and not isinstance(items, list | Template):
        fix = 'Write a list, or the template of one: for_each: "{{ step.output }}".'
        texts.faults.add(path, "It is no list.", fix)
    return items

"""Steps made of other steps: once for each item, round after round, by vote, as a race, a plan of its own, or managed.

A *group* calls nobody. Its *parts* are steps that come into being while the run runs; ``ensemble.patterns`` says which
and when, and makes one result of theirs. A step may be a group and a group is made of steps, so these types and those of
:mod:`ensemble.plan.model` name each other; only that module loads this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ensemble.plan.conditions import Condition
from ensemble.plan.joins import Join, JoinKind

if TYPE_CHECKING:
    from ensemble.plan.model import Plan, Step

__all__ = [
    "ALL_DONE",
    "ANSWER",
    "APPROVED",
    "CRITIC",
    "INDEX",
    "ITEM",
    "MAX_ITEMS",
    "MAX_TIERS",
    "ROUND",
    "Executor",
    "ForEach",
    "Group",
    "Loop",
    "Managed",
    "Nested",
    "Race",
    "Vote",
]

ITEM, INDEX = "item", "index"
"""What texts of a *for_each* step call the item and its place, from 0."""
ANSWER, CRITIC, ROUND = "answer", "critic", "round"
"""What texts of a *loop* call the newest answer, what the critic said of it, and which round it is, from 1; conditions
of a *race* call an answer the same."""
MAX_TIERS = 8
"""How deep groups may stand inside each other."""
MAX_ITEMS = 10_000
"""The most items of one *for_each*."""
ALL_DONE = Join(JoinKind.ALL_DONE)
"""As the join of a *for_each*: one item has to succeed."""
APPROVED = "APPROVED"
"""What a critic begins its answer with when nothing has to change, where the loop has no condition of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEach:
    """The same step once for each item of a list."""

    items: Any
    """A list, or the template of one."""
    each: Step
    max_parallel: int | None = None
    """Items at one time, beside the run's own limit; None: that alone."""
    join: Join | None = None
    """How many items have to succeed, by the rule of joins; None: one, or all where the run is *fail_fast*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """The same step again, until its answer is good enough."""

    each: Step
    max_rounds: int
    until: Condition | None = None
    """Looked at after every round. None: until the critic's answer begins with :data:`APPROVED`."""
    critic: Step | None = None
    """Who judges every answer; the next round is given what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The same question to several agents; what most of them say is the answer."""

    parts: tuple[Step, ...]
    on: str = ""
    """The field that is voted on, dotted; empty: the text."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """By agent's name; 1 for who is not named."""
    by_confidence: bool = False
    """Whether a vote weighs as much as its agent is sure."""
    agree: int | None = None
    """As soon as so many agree it is over, and without so many there is no answer; None: all are heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """The same question to several agents; the first good answer wins, and the other calls are cancelled."""

    parts: tuple[Step, ...]
    good: Condition | None = None
    """About the answer; None: any answer is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A plan inside a plan."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Somebody a manager can give tasks to: an agent, or a team with a manager of its own."""

    name: str
    description: str = ""
    team: Managed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """A manager that splits the task, has the parts done, looks at the results, and goes on until it can answer."""

    manager: str
    """An agent's name."""
    executors: tuple[Executor, ...]
    max_rounds: int
    max_tasks: int
    """Of one round."""
    settings: Step
    """Whose timeouts and the like count for every call; its id and agent mean nothing."""


type Group = ForEach | Loop | Vote | Race | Nested | Managed

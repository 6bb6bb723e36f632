"""From a pattern and a team to steps, and a synthesizer put behind steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count

from ensemble.plan.conditions import Chosen
from ensemble.plan.faults import folded
from ensemble.plan.groups import CRITIC, Loop, Race, Vote
from ensemble.plan.joins import Join, JoinKind
from ensemble.plan.model import Step

__all__ = [
    "PATTERNS", "choosing_step", "free_id", "looping_step", "routed_steps", "team_steps", "with_synthesizer",
]  # fmt: skip

PATTERNS = ("sequential", "parallel", "hierarchical", "loop", "vote", "race", "routing", "dag")
"""How a team can work; ``routing``: a router says who does, ``dag``: as its steps say."""


def team_steps(pattern: str, team: Sequence[str], *, carry_all: bool) -> tuple[Step, ...]:
    """Return a step for each agent of *team*: side by side, or in a row where each is given the answer before it.

    An agent that is named twice is called twice, the second time as ``name_2``. With *carry_all*, each step of a row is
    given all answers before it.
    """
    ids: list[str] = []
    taken: set[str] = set()
    steps = []
    for agent in team:
        step = Step(id=free_id(agent, taken), agent=agent)
        if pattern == "sequential" and ids:
            step = replace(step, depends_on=(ids[-1],), carries=tuple(ids) if carry_all else (ids[-1],))
        ids.append(step.id)
        taken.add(folded(step.id))
        steps.append(step)
    return tuple(steps)


def choosing_step(pattern: str, team: Sequence[str]) -> Step:
    """Return the one step of a *vote* or *race* between the agents of *team*, named like the pattern."""
    parts: list[Step] = []
    for agent in team:
        parts.append(Step(id=free_id(agent, {folded(part.id) for part in parts}), agent=agent))
    group: Vote | Race = Vote(parts=tuple(parts)) if pattern == "vote" else Race(parts=tuple(parts))
    return Step(id=pattern, agent="", group=group)


def looping_step(maker: str, critic: str, rounds: int) -> Step:
    """Return the one step in which *critic* looks at *maker*'s answers until nothing has to change."""
    each, judge = Step(id=maker, agent=maker), Step(id=CRITIC, agent=critic)
    return Step(id=maker, agent="", group=Loop(each=each, critic=judge, max_rounds=rounds))


def routed_steps(routes: Mapping[str, Sequence[str]]) -> tuple[Step, ...]:
    """Return a step for each agent that some route names; each runs if one of its routes is chosen.

    Args:
        routes: The agents of each route.

    """
    team = dict.fromkeys(agent for agents in routes.values() for agent in agents)
    ways = {agent: tuple(route for route, agents in routes.items() if agent in agents) for agent in team}
    return tuple(Step(id=agent, agent=agent, when=Chosen((), ways[agent], otherwise=False)) for agent in team)


def with_synthesizer(steps: tuple[Step, ...], agent: str, sources: tuple[str, ...]) -> tuple[tuple[Step, ...], str]:
    """Return *steps* and one more that is given the answers of *sources* once all have ended, and that step's id.

    One failed agent does not sink the synthesis: it begins if at least one succeeded.
    """
    step_id = free_id(agent, {folded(step.id) for step in steps})
    last = Step(id=step_id, agent=agent, depends_on=sources, carries=sources, join=Join(JoinKind.ALL_DONE))
    return (*steps, last), step_id


def free_id(name: str, taken: Collection[str]) -> str:
    """Return *name*, or with the first number behind it that is free; cut so that it stays a name."""
    key = folded(name)
    if key not in taken:
        return name
    return next(f"{name[:59]}_{n}" for n in count(2) if folded(f"{name[:59]}_{n}") not in taken)

"""Reading who manages whom: ``manage`` of a step, and the teams below a manager."""

from __future__ import annotations

from collections.abc import Mapping

from ensemble.plan.faults import Faults, folded
from ensemble.plan.groups import Executor, Managed
from ensemble.plan.model import Step
from ensemble.plan.reading.fields import Fields, entries, name_of
from ensemble.plan.reading.lookup import Directory

__all__ = ["MAX_ROUNDS", "MAX_TASKS", "read_agent_list", "read_managed"]

MAX_ROUNDS = 100
"""Of a manager, or of a loop."""
MAX_TASKS = 200
MANAGED_ROUNDS, MANAGED_TASKS = 5, 20
"""How often a manager is asked for tasks, and for how many at once, where nobody says."""
MAX_AGENTS = 100
"""Of one vote, race or manager."""
_MOST_TIERS = 2


def read_managed(fields: Fields, directory: Directory, faults: Faults, leaf: Step, *, tier: int = 1) -> Managed:
    """Return who manages whom, as ``manage`` of a step or a team of another manager's says."""
    word = fields.name("manager")
    manager = directory.find(word, fields.at("manager")) if word else None
    if word is None and not fields.has("manager"):
        faults.add(fields.at("manager"), "It is missing.", "Name the agent that gives out the work.")
    names = read_agent_list(fields, "agents", directory, faults, least=0)
    executors = [Executor(name=name, description=directory.agents[name].description) for name in names]
    teams_path, teams = fields.at("teams"), fields.take("teams")
    if teams is not None and tier >= _MOST_TIERS:
        faults.add(teams_path, f"Teams stand {_MOST_TIERS} deep at most.", "Give its agents to the team above.")
    elif teams is not None:
        inner = Fields(teams, teams_path, faults)
        for name in teams if isinstance(teams, Mapping) else ():
            where = inner.at(str(name))
            if name_of(name, where, faults) is None:
                continue
            team = Fields(inner.take(name), where, faults)
            about = team.text("description")
            managed = read_managed(team, directory, faults, leaf, tier=tier + 1)
            executors.append(Executor(name=str(name), description=about, team=managed))
    seen: set[str] = set()
    for executor in executors:
        if folded(executor.name) in seen:
            faults.add(fields.path, f"'{executor.name}' stands there twice.", "Name everybody once.")
        seen.add(folded(executor.name))
    if not executors:
        faults.add(fields.at("agents"), "There is nobody to give work to.", "Name them: agents: [market, tech].")
    managed = Managed(
        manager=manager or "",
        executors=tuple(executors),
        max_rounds=fields.whole("max_rounds", 1, MAX_ROUNDS) or MANAGED_ROUNDS,
        max_tasks=fields.whole("max_tasks", 1, MAX_TASKS) or MANAGED_TASKS,
        settings=leaf,
    )
    fields.close()
    return managed


def read_agent_list(
    fields: Fields, name: str, directory: Directory, faults: Faults, *, least: int = 1
) -> tuple[str, ...]:
    """Return the agents that the field *name* lists."""
    data = fields.take(name)
    if isinstance(data, str):
        data = [word.strip() for word in data.split(",") if word.strip()]
    listed = entries(data, fields.at(name), faults)
    if not least <= len(listed) <= MAX_AGENTS:
        problem = "There are no agents." if not listed else f"There are {len(listed)} agents."
        faults.add(fields.at(name), problem, f"Name {least} to {MAX_AGENTS}, such as agents: [market, tech].")
        return ()
    found = []
    for path, item in listed:
        word = name_of(item, path, faults)
        agent = directory.find(word, path) if word else None
        if agent:
            found.append(agent)
    return tuple(found)

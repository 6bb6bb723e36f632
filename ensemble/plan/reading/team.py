"""From a pattern and the agents of a team to the steps they mean, with what else a plan says of its team."""

from __future__ import annotations

from ensemble.plan.faults import Faults, folded
from ensemble.plan.model import Step
from ensemble.plan.reading.declarations import Named
from ensemble.plan.reading.fields import Fields
from ensemble.plan.reading.groups import ROUNDS
from ensemble.plan.reading.lookup import Directory
from ensemble.plan.reading.managers import MAX_ROUNDS, read_managed
from ensemble.plan.team import choosing_step, looping_step, team_steps, with_synthesizer
from ensemble.plan.templates import RESERVED

__all__ = ["TeamFields", "check_taken"]

_LOOPING = 2
"""Who works and who judges."""


def check_taken(name: str, faults: Faults) -> None:
    """Note an agent whose name can't be that of a step."""
    if (means := RESERVED.get(folded(name))) is not None:
        fix = "Declare it under another name: agents: {other: " + name + "}."
        faults.add("agents", f"The name '{name}' is reserved for {means}.", fix)


class TeamFields:
    """Reads the team of one plan."""

    def __init__(self, root: Fields, directory: Directory, faults: Faults) -> None:
        """Read *root*, the plan's own fields."""
        self._root = root
        self._directory = directory
        self._faults = faults

    def steps(
        self, pattern: str, team: list[Named], synthesizer: str, *, carry_all: bool
    ) -> tuple[tuple[Step, ...], str | None]:
        """Return the steps, and the one whose answer is the run's where that is somebody beside them."""
        if pattern == "dag":
            fix = "Write steps: [{id: ..., agent: ..., depends_on: [...]}], or take another pattern."
            self._faults.add("pattern", "'dag' needs a plan with steps.", fix)
        names = [self._directory.find(word, path) or word for path, word, _ in team]
        if pattern == "hierarchical":
            return self._managed(names, synthesizer), None
        last = self._directory.find(synthesizer, "synthesizer") if synthesizer else None
        names = [name for name in names if last is None or folded(name) != folded(last)]
        for name in {*names, *filter(None, [last])}:
            check_taken(name, self._faults)
        if not names:
            fix = "Name them: agents: [market, tech]."
            self._faults.add("agents", "There is no agent to run." + " Only the synthesizer." * bool(last), fix)
        steps = self._of_pattern(pattern, names, carry_all=carry_all)
        return with_synthesizer(steps, last, tuple(step.id for step in steps)) if last else (steps, None)

    def _of_pattern(self, pattern: str, names: list[str], *, carry_all: bool) -> tuple[Step, ...]:
        rounds = self._root.whole("max_rounds", 1, MAX_ROUNDS) if pattern == "loop" else None
        match pattern:
            case "vote" | "race" if names:
                return (choosing_step(pattern, names),)
            case "loop" if len(names) == _LOOPING:
                return (looping_step(names[0], names[1], rounds or ROUNDS),)
            case "loop":
                fix = "Name who works, then who judges: agents: [writer, editor]. For more, write a step with loop."
                self._faults.add("agents", f"A loop is between two agents, and there are {len(names)}.", fix)
                return ()
            case _:
                return team_steps(pattern, names, carry_all=carry_all)

    def _managed(self, names: list[str], synthesizer: str) -> tuple[Step, ...]:
        """Return the one step of a manager, who is named, or the synthesizer, or the first of the team."""
        word = self._root.text("manager").strip() or synthesizer or next(iter(names), "")
        given = {
            "manager": word or None,
            "agents": [name for name in names if folded(name) != folded(word)],
            **{name: self._root.take(name) for name in ("teams", "max_rounds", "max_tasks")},
        }
        managed = read_managed(Fields(given, "", self._faults), self._directory, self._faults, Step(id="", agent=""))
        if managed.manager:
            check_taken(managed.manager, self._faults)
        return (Step(id=managed.manager or "manager", agent="", group=managed),)

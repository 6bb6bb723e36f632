"""Which steps stand where, kept as they move, so that a plan of many steps costs no more a round than a small one."""

from __future__ import annotations

from collections.abc import Iterable

from ensemble.contract.results import StepResult
from ensemble.engine.steps import Phase, StepRun

__all__ = ["Phases"]


class Phases:
    """Hears of every step that moves."""

    def __init__(self, steps: Iterable[StepRun]) -> None:
        """Watch *steps*, given in the plan's order."""
        self._places: dict[str, int] = {}
        self._members: dict[Phase, dict[str, StepRun]] = {phase: {} for phase in Phase}
        self._ended: list[StepRun] = []
        self._departed: list[StepRun] = []
        self.results: dict[str, StepResult] = {}
        """The results there are, by step, in the order in which they came."""
        for step in steps:
            self.add(step)

    def add(self, step: StepRun) -> None:
        """Watch one more step, which stands behind all others."""
        self._places[step.step.id] = len(self._places)
        self._members[step.phase][step.step.id] = step
        step.heard_by = self._moved

    def members(self, *phases: Phase) -> list[StepRun]:
        """Return the steps in one of *phases*, in the plan's order."""
        found = [step for phase in phases for step in self._members[phase].values()]
        return sorted(found, key=lambda step: self._places[step.step.id])

    def count(self, *phases: Phase) -> int:
        """Return how many steps are in one of *phases*."""
        return sum(len(self._members[phase]) for phase in phases)

    def newly_ended(self) -> list[StepRun]:
        """Return the steps that have ended since this was asked last."""
        ended, self._ended = self._ended, []
        return ended

    def newly_departed(self) -> list[StepRun]:
        """Return the steps that have left *pending*, and the groups that have ended, since this was asked last."""
        departed, self._departed = self._departed, []
        return departed

    def _moved(self, step: StepRun, before: Phase) -> None:
        name = step.step.id
        self._members[before].pop(name, None)
        self._members[step.phase][name] = step
        if before in {Phase.PENDING, Phase.GROUP}:
            self._departed.append(step)
        if step.phase is Phase.DONE:
            self._ended.append(step)
            if step.result is not None:
                self.results[name] = step.result

"""Whether anything of the run still needs a step: what waits for it, its group, or an answer that reads it."""

from __future__ import annotations

from ensemble.engine.state import RunState
from ensemble.engine.steps import Phase, StepRun
from ensemble.plan.model import Plan
from ensemble.plan.templates import references

__all__ = ["Needs"]


class Needs:
    """Who needs whom in one run."""

    def __init__(self, state: RunState) -> None:
        """Look at the steps of *state* as they stand when asked."""
        self._state = state
        self._read_by_output = {reference.head for reference in references(state.request.plan.output)}

    def needed(self, step: StepRun) -> bool:
        """Return whether the answer or a step that has not started yet still needs *step*."""
        plan, name = self._state.request.plan, step.step.id
        group = step.parent
        if group is not None and group.phase is Phase.DONE:
            return False
        dependents = self._state.dependents(name)
        if not dependents or name == plan.synthesizer or name in self._read_by_output:
            return True
        if step.home.plan is not None and group is not None and _reads_part(step.home.plan, group, name):
            return True
        return not all(_took_over(self._state.steps[after]) for after in dependents)


def _reads_part(plan: Plan, group: StepRun, name: str) -> bool:
    """Return whether the answer of a nested *plan* reads the part *name* of *group* itself."""
    return name.removeprefix(f"{group.step.id}/") in {reference.head for reference in references(plan.output)}


def _took_over(step: StepRun) -> bool:
    """Return whether *step* has what it needs; one that ended without a call never used what others gave."""
    return step.phase is not Phase.PENDING and (step.result is None or step.result.attempts > 0)

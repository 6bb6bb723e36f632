"""Results that an earlier engine of the run got: which of them still stand, and which answer an older question."""

from __future__ import annotations

from ensemble.engine.state import RunState
from ensemble.engine.steps import Kept, StepRun
from ensemble.plan.joins import JoinKind

__all__ = ["keep", "stays", "stays_unasked"]


def stays(state: RunState, step: StepRun) -> bool:
    """End *step*, whose turn it is, if its result on record answers the question that it would be asked now as well."""
    step.given_in = _newest_given(state, step)
    kept = state.kept.pop(step.step.id, None)
    if kept is None:
        return False
    if step.given_in > kept.epoch:
        step.again = True
        step.made_in = step.given_in  # even if it comes to no result: others were given the old one
        state.say(f"{step.step.id} succeeded before, but what it is given has changed")
        return False
    keep(state, step, kept)
    return True


def stays_unasked(state: RunState, step: StepRun) -> bool:
    """End *step*, which would be skipped now, with its result on record if it has one."""
    kept = state.kept.pop(step.step.id, None)
    if kept is None:
        return False
    keep(state, step, kept)
    return True


def keep(state: RunState, step: StepRun, kept: Kept) -> None:
    """End *step* with what an earlier engine got for it, and say so."""
    step.keep(kept)
    state.say(f"{step.step.id} succeeded before and is not run again")


def _newest_given(state: RunState, step: StepRun) -> float:
    """Return the newest epoch of what *step* is given; a join that was met by the first few counts no others."""
    made = sorted(filter(None, (state.steps[name].made_in for name in step.step.depends_on)))
    if step.step.join.kind in {JoinKind.ANY, JoinKind.QUORUM}:
        made = made[: step.step.join.n]
    return max([0 if step.parent is None else step.parent.given_in, *made])

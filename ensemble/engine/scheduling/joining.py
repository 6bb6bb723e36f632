"""Whose turn has come: joins are judged, and a step whose join is met keeps its result, begins as a group or gets ready."""

from __future__ import annotations

import time
from collections import deque

from ensemble.agents.port import Call
from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.contract.results import ErrorInfo
from ensemble.engine.attempts.preparing import applies, prepare
from ensemble.engine.scheduling.grouping import Groups
from ensemble.engine.scheduling.keeping import stays, stays_unasked
from ensemble.engine.state import RunState
from ensemble.engine.steps import MESSAGE_LIMIT, Phase, StepRun
from ensemble.plan.joins import Decision, SkipReason, Standing, join_verdict, standing
from ensemble.plan.rendering import UnknownOutput

__all__ = ["Joining"]


class Joining:
    """Moves steps from *pending* to *ready*, or to their end where they are not to be asked."""

    def __init__(self, state: RunState) -> None:
        """Judge the steps of *state*, and those that come into being as parts of its groups."""
        self._state = state
        self._groups = Groups(state)
        self.prepared: dict[str, Call] = {}
        """What each step that is ready gives its agent."""
        self._fresh: deque[StepRun] = deque(state.steps.values())
        """Steps whose join has to be judged: all at first, then those that wait for one that has ended."""

    def meet(self) -> None:
        """Judge every pending step; a skip may decide the next one, so go on until nothing changes."""
        while True:
            for ended in self._state.phases.newly_ended():
                after = self._state.dependents(ended.step.id)
                self._fresh.extend(self._state.steps[name] for name in after)
                self._fresh.extend(self._groups.heard(ended))
            if not self._fresh:
                return
            while self._fresh:
                self._judge(self._fresh.popleft())

    def drop_group(self, step: StepRun, why: str) -> None:
        """End a group that nothing needs any more, and those of its parts that are not out."""
        self._groups.drop(step, why)

    def _judge(self, step: StepRun) -> None:
        if step.phase is not Phase.PENDING:
            return
        verdict = join_verdict(step.step.join, map(self._standing, step.step.depends_on))
        if verdict.decision is Decision.SKIPPED:
            self._skip(step, verdict.why or SkipReason.UPSTREAM_FAILED)
        elif verdict.decision is not Decision.WAIT:
            self._make_ready(step)

    def _standing(self, name: str) -> Standing:
        before = self._state.steps[name]
        return Standing.OPEN if before.result is None else standing(before.result.status, before.skipped)

    def _skip(self, step: StepRun, why: SkipReason) -> None:
        if stays_unasked(self._state, step):
            return
        step.skipped = why
        if why is SkipReason.CONDITION:
            self._end(step, StepStatus.SKIPPED, None, "skipped: the conditions of all it waits for did not hold")
            return
        failed = ", ".join(name for name in step.step.depends_on if self._standing(name) is Standing.FAILED)
        error = (
            ErrorInfo(
                code="quorum_impossible", message=f"Not started: too few can still succeed after {failed} failed."
            )
            if why is SkipReason.QUORUM_IMPOSSIBLE
            else ErrorInfo(code="upstream_failed", message=f"Not started: what it needs has no result: {failed}.")
        )
        self._end(step, StepStatus.SKIPPED, error, f"skipped: {error.message}")

    def _make_ready(self, step: StepRun) -> None:
        if stays(self._state, step):
            return
        try:
            if not applies(self._state, step.step, step.home):
                step.skipped = SkipReason.CONDITION
                self._end(step, StepStatus.SKIPPED, None, "skipped: its condition does not hold")
                return
            if step.step.group is not None:
                self._fresh.extend(self._groups.begin(step, step.step.group))
                return
            self.prepared[step.step.id] = prepare(self._state, step.step, step.home)
        except UnknownOutput as error:
            fault = ErrorInfo(code=Outcome.REJECTED, message=str(error)[:MESSAGE_LIMIT])
            self._end(step, StepStatus.FAILED, fault, f"failed: {error}")
            return
        step.phase = Phase.READY

    def _end(self, step: StepRun, status: StepStatus, error: ErrorInfo | None, line: str) -> None:
        now = time.monotonic()
        self._state.finish(step, step.ended(status, self._state.started_s, now, error=error))
        self._state.say(f"{step.step.id} {line}")

"""How steps end that do not end by themselves: deadlines, cancels, joins met without them, and what follows for the run."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ensemble.agents.port import Reply
from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.results import ErrorInfo
from ensemble.engine.attempts.calls import Calls
from ensemble.engine.attempts.settling import Settling
from ensemble.engine.attempts.streaming import Streaming
from ensemble.engine.scheduling.needing import Needs
from ensemble.engine.scheduling.scheduler import Scheduler
from ensemble.engine.state import RunState
from ensemble.engine.steps import Flight, Phase, StepRun

__all__ = ["GRACE_S", "Endings"]

GRACE_S = 0.1
"""How long past its deadline a call may still report its own end, which says more than ours."""
_UNNEEDED = "nothing needs it any more"


class Endings:
    """Ends attempts, steps and the run before their time."""

    def __init__(
        self, state: RunState, calls: Calls, scheduler: Scheduler, settling: Settling, streaming: Streaming
    ) -> None:
        """End what stands in *state*."""
        self._state = state
        self._calls = calls
        self._scheduler = scheduler
        self._settling = settling
        self._streaming = streaming
        self._needs = Needs(state)
        self._plans_own = tuple(state.steps.values())
        self.cut: RunStatus | None = None
        """Why the run was ended before its steps were."""

    def settle(self, step: StepRun, flight: Flight, reply: Reply) -> None:
        """Book how an attempt ended, and see what follows for the run."""
        out_of_time = reply.outcome is Outcome.TIMED_OUT and flight.cut_by_run
        if out_of_time:
            reply = Reply(
                outcome=Outcome.CANCELLED, message="The run's deadline passed while it ran.", usage=reply.usage
            )
        self._streaming.end(step)
        self._settling.settle(step, flight, reply, final=self.cut is not None)
        if out_of_time:
            self._time_is_up()

    def heed_failures(self) -> None:
        """End a run that is to end with its first failure, whatever failed: a call, a refusal, a template, a group.

        How parts of a group end is the group's business.
        """
        if self.cut is not None or not self._state.request.fail_fast:
            return
        for step in self._plans_own:
            if step.result is not None and step.result.error is not None:
                self.cut_short(RunStatus.FAILED, f"{step.step.id} failed and on_failure is fail_fast.")
                return

    def give_up(self, step: StepRun, reply: Reply) -> None:
        """End *step*'s call from our side; *reply* is how it is booked."""
        flight = step.flight
        if flight is not None:
            self._calls.give_up(flight)
            self._scheduler.leave_place(step)
            self.settle(step, flight, reply)

    def keep_deadlines(self) -> None:
        """Give up what has had its time: single calls, or the whole run."""
        now = time.monotonic()
        for step in self._state.in_phase(Phase.RUNNING):
            if step.flight is not None and not step.flight.cut_by_run and now >= step.flight.ends_s + GRACE_S:
                seconds = step.flight.ends_s - step.flight.started_s
                message = f"No answer within its timeout of {seconds:g} s."
                self.give_up(step, Reply(outcome=Outcome.TIMED_OUT, message=message, retry_allowed=True))
        if self.cut is None and now >= self._state.deadline_s + GRACE_S:
            self._time_is_up()

    def drop_unneeded(self) -> None:
        """End what still runs for a join (any, quorum) that was met without it, unless the answer needs it."""
        while departed := self._state.phases.newly_departed():
            for step in self._perhaps_unneeded(departed):
                if step.phase not in {Phase.PENDING, Phase.DONE} and not self._needs.needed(step):
                    self._drop(step)

    def _perhaps_unneeded(self, departed: Iterable[StepRun]) -> Iterable[StepRun]:
        """Return whom it may have made unneeded that *departed* have begun or, being groups, have ended."""
        found = {}
        for step in departed:
            before = [self._state.steps[name] for name in step.step.depends_on]
            parts = step.parts if step.phase is Phase.DONE else []
            found.update({each.step.id: each for each in (step, *before, *parts)})
        return found.values()

    def _drop(self, step: StepRun) -> None:
        if step.phase is Phase.GROUP:
            self._scheduler.drop_group(step, _UNNEEDED)
            return
        flight = step.flight
        if flight is not None:
            self._calls.give_up(flight)
            self._scheduler.leave_place(step)
            self._settling.drop(step, flight)
        else:
            if step.phase is Phase.ASKING:
                self._scheduler.leave_place(step)
            self.end(step, StepStatus.CANCELLED, None)
        self._state.say(f"{step.step.id} cancelled: {_UNNEEDED}")

    def cut_short(self, status: RunStatus, why: str) -> None:
        """End everything that has not ended."""
        if self.cut is not None:
            return
        self.cut = status
        self._state.say(why)
        for step in self._state.in_phase(Phase.RUNNING):
            self.give_up(step, Reply(outcome=Outcome.CANCELLED, message=why))
        for step in reversed(self._state.steps.values()):  # parts first: their group tells what they used
            if step.phase is not Phase.DONE:
                if step.phase is Phase.ASKING:
                    self._scheduler.leave_place(step)
                kept = self._state.kept.pop(step.step.id, None)
                if kept is not None:
                    step.keep(kept)
                    continue
                self.end(step, StepStatus.CANCELLED, ErrorInfo(code=Outcome.CANCELLED, message=why))

    def end(self, step: StepRun, status: StepStatus, error: ErrorInfo | None) -> None:
        """End *step* without an answer."""
        result = step.ended(status, self._state.started_s, time.monotonic(), error=error)
        self._state.finish(step, result)

    def _time_is_up(self) -> None:
        self.cut_short(RunStatus.TIMED_OUT, f"The run's deadline of {self._state.request.timeout_s:g} s passed.")

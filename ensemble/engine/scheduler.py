"""Which steps may start, and when something is due: the engine's decisions between two exchanges."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ensemble.agents.port import Call
from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.contract.results import ErrorInfo
from ensemble.engine.calls import Calls, PlaceGiven
from ensemble.engine.grouping import Groups
from ensemble.engine.hosts import HOSTS, Hosts
from ensemble.engine.preparing import applies, prepare
from ensemble.engine.state import RunState
from ensemble.engine.steps import MESSAGE_LIMIT, Kept, Phase, StepRun
from ensemble.plan.joins import Decision, JoinKind, SkipReason, Standing, join_verdict, standing
from ensemble.plan.model import Plan
from ensemble.plan.rendering import UnknownOutput
from ensemble.plan.templates import references

__all__ = ["Scheduler"]


class Scheduler:
    """Moves steps from *pending* to *asking*: joins, templates, the run's width, places at hosts."""

    def __init__(self, state: RunState, calls: Calls, hosts: Hosts = HOSTS) -> None:
        """Schedule the steps of *state*."""
        self._state = state
        self._calls = calls
        self._hosts = hosts
        self._groups = Groups(state)
        self.prepared: dict[str, Call] = {}
        """What each step that is ready gives its agent."""
        self._untold: list[str] = []
        """The hosts of calls that have ended and whose places are not given back yet."""
        plan = state.request.plan
        self._read_by_output = {reference.head for reference in references(plan.output)}
        self._fresh: deque[StepRun] = deque(state.steps.values())
        """Steps whose join has to be judged: all at first, then those that wait for one that has ended."""

    def advance(self) -> None:
        """Start whatever may start now."""
        self._meet_joins()
        free = self._state.request.max_parallel - self._state.active()
        if free <= 0 or not self._state.phases.count(Phase.READY):
            return
        busy = self._state.in_phase(Phase.QUEUED, Phase.ASKING, Phase.RUNNING)
        speaking = set(filter(None, map(self._conversation, busy)))
        for step in self._state.in_phase(Phase.READY):
            conversation = self._conversation(step)
            if conversation in speaking:
                continue
            self._find_place(step)
            if conversation is not None:
                speaking.add(conversation)
            free -= 1
            if not free:
                return

    def wake(self, now: float) -> None:
        """Put the steps whose moment has come back in line."""
        for step in self._state.in_phase(Phase.DELAYED):
            if step.due_s <= now:
                step.phase = Phase.READY

    def next_due_s(self) -> float:
        """Return when, by the monotonic clock, something must happen if nothing else does."""
        moments = [self._state.deadline_s]
        moments += [step.flight.ends_s for step in self._state.in_phase(Phase.RUNNING) if step.flight]
        moments += [step.due_s for step in self._state.in_phase(Phase.DELAYED)]
        return min(moments)

    def leave_place(self, step: StepRun) -> None:
        """Give back the place at the host of *step*'s agent; after a call, once the ledger knows that it has ended.

        The ledger counts the call until then: whoever got the place sooner would find no slot there, and have to wait.
        """
        if step.phase is Phase.RUNNING:
            self._untold.append(self._host(step))
        else:
            self._hosts.leave(self._host(step))

    def told(self) -> None:
        """Give back the places of calls whose ends the ledger has been told of."""
        while self._untold:
            self._hosts.leave(self._untold.pop())

    def given(self, place: PlaceGiven) -> None:
        """Use a place that was waited for, or give it on."""
        step = self._state.steps[place.step]
        if step.phase is Phase.QUEUED:
            step.phase = Phase.ASKING
        else:
            self._hosts.leave(place.host)

    def withdraw(self) -> None:
        """Leave every queue and every place; nothing is asked or called any more."""
        self.step_back()
        for step in self._state.in_phase(Phase.RUNNING):
            self.leave_place(step)
        self.told()

    def step_back(self) -> None:
        """Leave every queue, and the places of steps that have not been admitted; they stand in line again."""
        self._hosts.forget(self)
        for item in _drain(self._calls):
            if isinstance(item, PlaceGiven):
                self._hosts.leave(item.host)
        for step in self._state.in_phase(Phase.ASKING, Phase.QUEUED):
            if step.phase is Phase.ASKING:
                self.leave_place(step)
            step.phase = Phase.READY

    def drop_group(self, step: StepRun, why: str) -> None:
        """End a group that nothing needs any more, and those of its parts that are not out."""
        self._groups.drop(step, why)

    def needed(self, step: StepRun) -> bool:
        """Return whether the answer or a step that has not started yet still needs *step*."""
        plan, name = self._state.request.plan, step.step.id
        group = step.parent
        if group is not None and group.phase is Phase.DONE:
            return False
        dependents = self._state.dependents(name)
        if not dependents or name == plan.synthesizer or name in self._read_by_output:
            return True
        if step.home.plan is not None and group is not None and _read_by_output(step.home.plan, group, name):
            return True
        return not all(_took_over(self._state.steps[after]) for after in dependents)

    def _conversation(self, step: StepRun) -> str | None:
        """Return the conversation that *step* speaks in, where one call of this run speaks at a time; None: in none."""
        if not self._state.request.plan.spec(step.step).memory:
            return None
        return self._state.request.agents[step.step.agent].identity

    def _host(self, step: StepRun) -> str:
        return self._state.request.agents[step.step.agent].host

    def _find_place(self, step: StepRun) -> None:
        name, inbox = step.step.id, self._calls.inbox
        step.phase = Phase.QUEUED
        give: Callable[[str], None] = lambda host: inbox.put(PlaceGiven(name, host))  # noqa: E731 - one line, once
        if self._hosts.take(self._host(step), self._state.request.host_parallel, self, give):
            step.phase = Phase.ASKING

    def _meet_joins(self) -> None:
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
        kept = self._state.kept.pop(step.step.id, None)
        if kept is not None:
            self._keep(step, kept)
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
        if self._stays(step):
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

    def _stays(self, step: StepRun) -> bool:
        """Whether *step* has its result from an earlier engine, to the question it would be asked now as well."""
        step.given_in = self._newest_given(step)
        kept = self._state.kept.pop(step.step.id, None)
        if kept is None:
            return False
        if step.given_in > kept.epoch:
            step.again = True
            step.made_in = step.given_in  # even if it comes to no result: others were given the old one
            self._state.say(f"{step.step.id} succeeded before, but what it is given has changed")
            return False
        self._keep(step, kept)
        return True

    def _newest_given(self, step: StepRun) -> float:
        """Return the newest epoch of what *step* is given; a join that was met by the first few counts no others."""
        made = sorted(filter(None, (self._state.steps[name].made_in for name in step.step.depends_on)))
        if step.step.join.kind in {JoinKind.ANY, JoinKind.QUORUM}:
            made = made[: step.step.join.n]
        return max([0 if step.parent is None else step.parent.given_in, *made])

    def _keep(self, step: StepRun, kept: Kept) -> None:
        step.keep(kept)
        self._state.say(f"{step.step.id} succeeded before and is not run again")

    def _end(self, step: StepRun, status: StepStatus, error: ErrorInfo | None, line: str) -> None:
        now = time.monotonic()
        self._state.finish(step, step.ended(status, self._state.started_s, now, error=error))
        self._state.say(f"{step.step.id} {line}")


def _read_by_output(plan: Plan, group: StepRun, name: str) -> bool:
    """Return whether the answer of a nested *plan* reads the part *name* of *group* itself."""
    return name.removeprefix(f"{group.step.id}/") in {reference.head for reference in references(plan.output)}


def _took_over(step: StepRun) -> bool:
    """Return whether *step* has what it needs; one that ended without a call never used what others gave."""
    return step.phase is not Phase.PENDING and (step.result is None or step.result.attempts > 0)


def _drain(calls: Calls) -> list[object]:
    items: list[object] = []
    while not calls.inbox.empty():
        items.append(calls.inbox.get())
    return items

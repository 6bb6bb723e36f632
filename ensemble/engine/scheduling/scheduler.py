"""Which of the steps that are ready may start, and when something is due: the decisions between two exchanges."""

from __future__ import annotations

from collections.abc import Callable

from ensemble.engine.attempts.calls import Calls, PlaceGiven
from ensemble.engine.attempts.hosts import HOSTS, Hosts
from ensemble.engine.scheduling.joining import Joining
from ensemble.engine.state import RunState
from ensemble.engine.steps import Phase, StepRun

__all__ = ["Scheduler"]


class Scheduler:
    """Moves steps from *ready* to *asking*: the run's width, conversations, places at hosts."""

    def __init__(self, state: RunState, calls: Calls, hosts: Hosts = HOSTS) -> None:
        """Schedule the steps of *state*."""
        self._state = state
        self._calls = calls
        self._hosts = hosts
        self._joining = Joining(state)
        self.prepared = self._joining.prepared
        """What each step that is ready gives its agent."""
        self._untold: list[str] = []
        """The hosts of calls that have ended and whose places are not given back yet."""

    def advance(self) -> None:
        """Start whatever may start now."""
        self._joining.meet()
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
        self._joining.drop_group(step, why)

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


def _drain(calls: Calls) -> list[object]:
    items: list[object] = []
    while not calls.inbox.empty():
        items.append(calls.inbox.get())
    return items

"""Everything one engine knows of its run while it runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from uuid import uuid4

from ensemble.contract.exchange import LEASE_MS, Reached, Settlement
from ensemble.contract.results import StepResult
from ensemble.engine.carrying import ESTIMATED
from ensemble.engine.events import Event, Progress
from ensemble.engine.phases import Phases
from ensemble.engine.ports import Context
from ensemble.engine.recording import recorded
from ensemble.engine.request import RunRequest
from ensemble.engine.scopes import Home
from ensemble.engine.steps import Kept, Phase, StepRun
from ensemble.plan.model import Step

__all__ = ["RunState"]

_ACTIVE = (Phase.QUEUED, Phase.ASKING, Phase.RUNNING)


class RunState:
    """The run's ids, its steps, and what is still to be told to the ledger and to whoever watches."""

    def __init__(self, request: RunRequest, context: Context = ESTIMATED) -> None:
        """Begin the run's clock; *context* keeps what is carried within its limits."""
        self.request = request
        self.context = context
        self.run_id = uuid4().hex
        self.owner = uuid4().hex
        self.trace_id = request.trace_id or uuid4().hex
        self.run_url = ""
        """A link to the run's page, once the ledger has told one."""
        self.epoch: int | None = None
        self.lease_s = LEASE_MS / 1000
        """How long the ledger leaves the run ours without a word, as last told."""
        self.started_s = time.monotonic()
        self.deadline_s = self.started_s + request.timeout_s
        top = Home(task=request.task, plan=request.plan)
        self.steps = {step.id: StepRun(step, top) for step in request.plan.steps}
        """The plan's steps, then the parts of groups as they come into being."""
        self._dependents = {step.id: list(request.plan.dependents(step.id)) for step in request.plan.steps}
        self.kept: dict[str, Kept] = {}
        """Results of earlier engines whose steps have not had their turn yet."""
        self.reached: list[Reached] = []
        self.settle: list[Settlement] = []
        self.ended: list[StepResult] = []
        self.phases = Phases(self.steps.values())
        self.news: deque[Event] = deque()
        self._warnings: dict[str, None] = dict.fromkeys((*request.plan.warnings, *request.warnings))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth saying, each thing once, in the order it was found."""
        return tuple(self._warnings)

    def warn(self, *texts: str) -> None:
        """Say something once."""
        self._warnings.update(dict.fromkeys(texts))

    def say(self, line: str) -> None:
        """Tell those who watch."""
        self.news.append(Progress(f"[{time.monotonic() - self.started_s:6.2f} s] {line}"))

    def in_phase(self, *phases: Phase) -> list[StepRun]:
        """Return the steps in one of *phases*, in the plan's order."""
        return self.phases.members(*phases)

    def active(self) -> int:
        """Return how many steps hold or await a place."""
        return self.phases.count(*_ACTIVE)

    def all_done(self) -> bool:
        """Whether every step has ended."""
        return self.phases.count(Phase.DONE) == len(self.steps)

    @property
    def by_step(self) -> Mapping[str, StepResult]:
        """The results there are, by step."""
        return self.phases.results

    def results(self) -> tuple[StepResult, ...]:
        """Return the results there are of the plan's own steps, in the plan's order."""
        found = (self.steps[step.id].result for step in self.request.plan.steps)
        return tuple(result for result in found if result is not None)

    def parts(self) -> tuple[StepResult, ...]:
        """Return the results there are of parts of groups, in the order in which they began."""
        found = (step.result for step in self.steps.values() if step.parent is not None)
        return tuple(result for result in found if result is not None)

    def dependents(self, name: str) -> Sequence[str]:
        """Return the steps that wait for the step *name*."""
        return self._dependents[name]

    def add(self, step: Step, home: Home, group: StepRun) -> StepRun:
        """Take in a part of *group*; what it waits for is there already, or comes with it."""
        part = self.steps[step.id] = StepRun(step, home, group)
        group.parts.append(part)
        self.phases.add(part)
        self._dependents.setdefault(step.id, [])
        for before in step.depends_on:
            self._dependents.setdefault(before, []).append(step.id)
        return part

    def finish(self, step: StepRun, result: StepResult, *, tell: bool = True) -> None:
        """End *step* without an attempt of its own having ended it; *tell* the ledger unless it knows."""
        step.finish(result)
        if tell:
            self.ended.append(self.recorded(result))

    def recorded(self, result: StepResult) -> StepResult:
        """Return *result* as the ledger is told it; say so where that is not all of it."""
        kept = recorded(result)
        if kept is not result:
            self.warn(
                f"{result.step} gave more than is recorded: a repeated call with this run_key gets the beginning of it."
            )
        return kept

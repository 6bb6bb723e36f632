"""Groups while they run: their parts come into being, are listened to, and become one result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from ensemble.contract.base import STEP_CHARS
from ensemble.contract.outcomes import StepStatus
from ensemble.contract.results import StepResult
from ensemble.engine.scopes import Home, Seen
from ensemble.engine.state import RunState
from ensemble.engine.steps import MESSAGE_LIMIT, Phase, StepRun
from ensemble.patterns.choosing import RacePattern, VotePattern
from ensemble.patterns.looping import LoopPattern
from ensemble.patterns.managing import ManagedPattern
from ensemble.patterns.mapping import ForEachPattern
from ensemble.patterns.moves import Made, Move, Part, Pattern, Setting, failed
from ensemble.patterns.nesting import NestedPattern
from ensemble.plan.groups import ForEach, Group, Loop, Managed, Nested, Race, Vote
from ensemble.plan.rendering import Scope, UnknownOutput

__all__ = ["MOST_PARTS", "Groups"]

MOST_PARTS = 20_000
"""How many parts all groups of a run may have together."""


class Groups:
    """The groups of one run."""

    def __init__(self, state: RunState) -> None:
        """Begin with none under way."""
        self._state = state
        self._patterns: dict[str, Pattern] = {}

    def begin(self, step: StepRun, group: Group) -> list[StepRun]:
        """Begin *group*, which *step* is; return its first parts."""
        step.phase = Phase.GROUP
        step.first_s = time.monotonic()
        self._state.say(f"{step.step.id} started")
        pattern = self._patterns[step.step.id] = _pattern(group, self._setting(step))
        return self._follow(step, pattern.begin)

    def heard(self, part: StepRun) -> list[StepRun]:
        """Tell the group of *part*, if it is still under way, that the part has ended; return its new parts."""
        group, result = part.parent, part.result
        if group is None or group.phase is not Phase.GROUP or result is None:
            return []
        pattern = self._patterns[group.step.id]
        return self._follow(group, lambda: pattern.heard(result))

    def drop(self, step: StepRun, why: str) -> None:
        """End a group under way that nothing needs any more; that is no error."""
        self._end(step, Made(status=StepStatus.CANCELLED), why)

    def _follow(self, step: StepRun, move: Any) -> list[StepRun]:
        try:
            made: Move = move()
        except UnknownOutput as error:
            made = failed(str(error))
        if isinstance(made, Made):
            self._end(step, made)
            return []
        if len(self._state.steps) + len(made) > MOST_PARTS:
            self._end(step, failed(f"The run's groups have more than {MOST_PARTS:,} parts."))
            return []
        if any(len(part.step.id) > STEP_CHARS for part in made):
            self._end(step, failed("Its groups stand too deep inside each other."))
            return []
        return [self._adopt(step, part) for part in made]

    def _adopt(self, group: StepRun, part: Part) -> StepRun:
        outer = group.home
        home = Home(
            task=outer.task if part.task is None else part.task,
            plan=part.plan,
            names=part.names,
            local=part.local,
            headings=part.headings,
            outer=outer,
        )
        return self._state.add(part.step, home, group)

    def _setting(self, step: StepRun) -> Setting:
        return Setting(
            id=step.step.id,
            task=step.home.task,
            fail_fast=self._state.request.fail_fast,
            scope=partial(self._scope, step.home),
            warn=self._state.warn,
        )

    def _scope(self, home: Home, names: Mapping[str, str], local: Mapping[str, Any]) -> Scope:
        inner = Home(task=home.task, names=names, local=local, outer=home)
        seen = Seen(self._state.by_step, inner)
        return Scope(task=home.task, inputs=self._state.request.inputs, steps=seen, local=inner.values())

    def _end(self, step: StepRun, made: Made, why: str = "") -> None:
        """End a group. Parts that are out or about to go out are dropped by whoever ends calls that nothing needs."""
        del self._patterns[step.step.id]
        self._give_up_parts(step)
        now = time.monotonic()
        began = step.first_s or now
        usage, attempts = step.spent()
        error = made.error
        result = StepResult(
            step=step.step.id,
            agent=step.step.worker,
            status=made.status,
            text=made.text,
            data=dict(made.data),
            error=None if error is None else error.model_copy(update={"message": error.message[:MESSAGE_LIMIT]}),
            usage=usage,
            confidence=made.confidence,
            sources=tuple(made.sources),
            attempts=attempts,
            started_ms=max(0, round((began - self._state.started_s) * 1000)),
            took_ms=max(0, round((now - began) * 1000)),
        )
        step.incomplete = made.incomplete or any(part.incomplete for part in step.parts)
        step.made_in = max(step.given_in, max((part.made_in for part in step.parts), default=0))
        self._state.finish(step, result)
        why = why if error is None else error.message
        self._state.say(f"{step.step.id} {made.status}{': ' * bool(why)}{why}")

    def _give_up_parts(self, group: StepRun) -> None:
        """End the parts that have neither ended nor are out or about to go out."""
        for part in group.parts:
            if part.phase not in {Phase.RUNNING, Phase.ASKING, Phase.DONE}:
                self._give_up_parts(part)
                self._patterns.pop(part.step.id, None)
                now = time.monotonic()
                self._state.finish(part, part.ended(StepStatus.CANCELLED, self._state.started_s, now, error=None))


def _pattern(group: Group, setting: Setting) -> Pattern:
    match group:
        case ForEach():
            return ForEachPattern(group, setting)
        case Loop():
            return LoopPattern(group, setting)
        case Vote():
            return VotePattern(group, setting)
        case Race():
            return RacePattern(group, setting)
        case Nested():
            return NestedPattern(group, setting)
        case Managed():
            return ManagedPattern(group, setting)

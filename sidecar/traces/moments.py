"""When things began and ended, as far as two clocks tell, so that whatever is part of another lies within it.

Admissions and settlements have the store's time, which no engine's clock can shift; how long a call took, the engine knows
better, since a settlement may wait for a sidecar that is away. Attempts that went out meanwhile have the engine's time only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ensemble.rules.records import Attempt
from sidecar.traces.stretch import Stretch

__all__ = ["Moments", "Times", "group_of"]

LONGEST_MS = 24 * 3_600_000
"""An engine's time is believed as far back."""


class Times(NamedTuple):
    """When something began and ended, unix milliseconds by the store's clock."""

    start_ms: int
    end_ms: int

    def with_(self, other: Times) -> Times:
        """Return the times of both together."""
        return Times(min(self.start_ms, other.start_ms), max(self.end_ms, other.end_ms))


class Moments:
    """The times of a stretch, of its steps and of its attempts."""

    def __init__(self, stretch: Stretch) -> None:
        """Find them out."""
        self._stretch = stretch
        self.run = _whole(stretch)
        self.attempts = {each.ask.ticket: self._attempt(each) for each in stretch.own}
        self.steps = self._steps()
        """Groups before their parts."""

    def _attempt(self, attempt: Attempt) -> Times:
        news = attempt.settlement
        if news is None:
            return self._within(attempt.admitted_ms, attempt.settled_ms or self.run.end_ms)
        if attempt.late:
            start_ms = self.run.start_ms + news.started_ms
            return self._within(start_ms, start_ms + news.took_ms)
        settled_ms = attempt.settled_ms or self.run.end_ms
        if attempt.nests:  # a run inside it has the store's time, too
            return self._within(attempt.admitted_ms, settled_ms)
        return self._within(attempt.admitted_ms, min(settled_ms, attempt.admitted_ms + news.took_ms))

    def _steps(self) -> dict[str, Times]:
        """Return the times of every step that has a span."""
        found: dict[str, Times] = {}
        for each in self._stretch.own:
            _add(found, each.ask.step, self.attempts[each.ask.ticket])
        steps = _with_groups([*found, *self._stretch.own_results])
        self._add_groups(found, steps)
        self._add_idle(found, steps)
        return dict(sorted(found.items(), key=lambda each: (len(each[0]), each[1])))

    def _add_groups(self, found: dict[str, Times], steps: Iterable[str]) -> None:
        """Let groups last as long as their parts, and what nobody was called for as long as it says itself."""
        for step in sorted(steps, key=len, reverse=True):  # parts have longer ids
            result = self._stretch.own_results.get(step)
            if step not in found and result is not None and result.started_ms is not None:
                start_ms = self.run.start_ms + result.started_ms
                found[step] = self._within(start_ms, start_ms + result.took_ms)
            group = group_of(step)
            if step in found and group is not None:
                _add(found, group, found[step])

    def _add_idle(self, found: dict[str, Times], steps: set[str]) -> None:
        """Put what never began where its turn was: behind what it depends on, or behind its group's other parts."""
        needs = {each.id: each.depends_on for each in self._stretch.steps}
        idle = steps - found.keys()
        for step in [*(step for step in needs if step in idle), *sorted(idle - needs.keys(), key=len)]:
            group = group_of(step)
            before = needs.get(step, ()) if group is None else (group,)
            at_ms = max((found[each].end_ms for each in before if each in found), default=self.run.start_ms)
            found[step] = Times(at_ms, at_ms)

    def _within(self, start_ms: int, end_ms: int) -> Times:
        start_ms = min(max(start_ms, self.run.start_ms), self.run.end_ms)
        return Times(start_ms, min(max(end_ms, start_ms), self.run.end_ms))


def group_of(step: str) -> str | None:
    """Return the group a part was made by, itself a part maybe; None of a step of the plan."""
    end = max(step.rfind("/"), step.rfind("["))
    return step[:end] if end > 0 else None


def _whole(stretch: Stretch) -> Times:
    """Return when the engine began and ended; one that told everything afterwards began before its run was opened."""
    run = stretch.run
    end_ms = max(run.since_ms, run.lease_until_ms if run.closed_ms is None else run.closed_ms)
    told = (each.settlement for each in stretch.own if each.late)
    lasted_ms = max((news.started_ms + news.took_ms for news in told if news is not None), default=0)
    return Times(max(0, min(run.since_ms, end_ms - min(lasted_ms, LONGEST_MS))), end_ms)


def _with_groups(steps: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for step in steps:
        each: str | None = step
        while each is not None and each not in found:
            found.add(each)
            each = group_of(each)
    return found


def _add(found: dict[str, Times], step: str, times: Times) -> None:
    found[step] = found[step].with_(times) if step in found else times

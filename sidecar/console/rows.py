"""The steps of a run as rows: where each stands, its attempts on the run's scale of time, and what is told of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

from ensemble.contract.base import is_part
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import StepResult
from ensemble.contract.runs import AttemptView, RunView
from sidecar.console.waterfall import Scale, Span, placed, scale_of
from sidecar.console.words import Tone, lasting, tone, word

__all__ = ["Bar", "Row", "Rows", "run_scale"]

PARTS_SHOWN = 24
"""Of one group; the others are told together in one row."""
BARS_SHOWN = 40
"""Attempts of one step that are drawn; the newest ones."""
_NUMBERS = re.compile(r"([0-9]+)")
_STANDS_IN = {Source.CACHE: "from the cache", Source.BACKUP: "by its backup", Source.DEFAULT: "a default value"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt as it is drawn."""

    x: float
    width: float
    look: str
    """Which pattern it is drawn in; *title* says the same in words."""
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One step, or several parts of a group together."""

    step: str
    """Its id; of several parts: how many there are more."""
    agent: str = ""
    part: bool = False
    state: StrEnum | None = None
    """How it stands; None where nothing was told of it and the run is over, or where it stands for several."""
    marks: tuple[str, ...] = ()
    """What is special about it, in words."""
    bars: tuple[Bar, ...] = ()
    attempts: int = 0
    started_ms: int | None = None
    took_ms: int | None = None
    tokens: int | None = None
    estimated: bool = False
    """Whether some of *tokens* were booked as they had been reserved."""
    result: StepResult | None = None
    folded: bool = False
    """Whether it stands for several."""


def run_scale(run: RunView, now_ms: int) -> Scale:
    """Return the scale of time on which a run's attempts are drawn."""
    end_ms = (now_ms if run.closed_ms is None else run.closed_ms) - run.opened_ms
    return scale_of([_span(each, run, now_ms) for each in run.attempts], end_ms)


class Rows(Sequence[Row]):
    """A row for each planned step, in the plan's order, with the parts of groups behind their group.

    Each is made when it is asked for: of a run of 2,000 steps a page shows few.
    """

    def __init__(self, run: RunView, now_ms: int, scale: Scale) -> None:
        attempts: dict[str, list[AttemptView]] = {}
        for each in run.attempts:
            attempts.setdefault(each.step, []).append(each)
        results = {result.step: result for result in run.results}
        agents = {step.id: step.agent for step in run.steps}
        groups = frozenset(step.id for step in run.steps if step.identity is None)
        self._maker = _Maker(run, now_ms, scale, results, attempts, agents, groups)
        self._told: list[tuple[str, ...]] = []
        for step, parts in _grouped(agents, {*results, *attempts}):
            self._told += [(each,) for each in (step, *parts[:PARTS_SHOWN])]
            if parts[PARTS_SHOWN:]:
                self._told.append(tuple(parts[PARTS_SHOWN:]))

    def __len__(self) -> int:
        return len(self._told)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self._row(steps) for steps in self._told[place]]
        return self._row(self._told[place])

    def of(self, step: str) -> Row:
        """Return the row of a step, or of a part that stands with others on its page."""
        return self._maker.row(step)

    def _row(self, steps: tuple[str, ...]) -> Row:
        alone = len(steps) == 1
        return self._maker.row(steps[0]) if alone else self._maker.together(steps)


@dataclass(frozen=True, slots=True)
class _Maker:
    run: RunView
    now_ms: int
    scale: Scale
    results: Mapping[str, StepResult]
    attempts: Mapping[str, Sequence[AttemptView]]
    agents: Mapping[str, str]
    groups: frozenset[str]

    def row(self, step: str) -> Row:
        """Return one step's row."""
        result, tried = self.results.get(step), self.attempts.get(step, ())
        newest = tried[-1] if tried else None
        agent = newest.agent if newest else result.agent if result else self.agents.get(step, "")
        return Row(
            step=step,
            agent=agent,
            part=is_part(step),
            state=self._state(result, newest),
            marks=self._marks(result, tried),
            bars=tuple(self._bar(each) for each in tried[-BARS_SHOWN:]) if tried else self._group(step, result),
            attempts=len(tried),
            started_ms=tried[0].admitted_ms - self.run.opened_ms if tried else None,
            took_ms=self._took(result, newest),
            tokens=_tokens(result, tried),
            estimated=any(each.usage.estimated for each in tried),
            result=result,
        )

    def together(self, steps: Sequence[str]) -> Row:
        """Return one row for several parts of a group."""
        counts: dict[str, int] = {}
        for step in steps:
            tried = self.attempts.get(step, ())
            state = self._state(self.results.get(step), tried[-1] if tried else None)
            name = "without a result" if state is None else word(state)
            counts[name] = counts.get(name, 0) + 1
        tried = [each for step in steps for each in self.attempts.get(step, ())]
        spans = [_span(each, self.run, self.now_ms) for each in tried]
        whole = (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None
        title = f"{len(tried)} attempts of {len(steps)} parts"
        return Row(
            step=f"{len(steps):,} more parts",
            part=True,
            marks=tuple(f"{number:,} {name}" for name, number in counts.items()),
            bars=() if whole is None else (Bar(*placed(self.scale, whole), "many", title),),
            attempts=len(tried),
            folded=True,
        )

    def _state(self, result: StepResult | None, newest: AttemptView | None) -> StepStatus | None:
        if newest is not None and newest.outcome is None:
            return StepStatus.RUNNING
        if result is not None:
            return result.status
        if newest is not None and newest.outcome is Outcome.UNCERTAIN:
            return StepStatus.UNCERTAIN
        # While the run goes on, it waits, or is tried again, or what it came to is told with the next exchange.
        return StepStatus.PENDING if self.run.status is RunStatus.RUNNING else None

    def _marks(self, result: StepResult | None, tried: Sequence[AttemptView]) -> tuple[str, ...]:
        marks = []
        if len(tried) > 1:
            marks.append(f"{len(tried)} attempts")
        if result is not None and result.source in _STANDS_IN:
            age = "" if result.age_ms is None else f", {lasting(result.age_ms)} old"
            stale = ", stale" if result.stale else ""
            marks.append(f"{_STANDS_IN[result.source]}{age}{stale}")
        if any(each.outcome is Outcome.UNCERTAIN for each in tried):
            marks.append("one attempt uncertain")
        if any(each.late for each in tried):
            marks.append("told late")
        if tried and result is not None and tried[-1].epoch < self.run.epoch:
            marks.append("kept from before")
        if len(tried) > BARS_SHOWN:
            marks.append(f"the last {BARS_SHOWN} are drawn")
        return tuple(marks)

    def _took(self, result: StepResult | None, newest: AttemptView | None) -> int | None:
        if newest is not None and newest.outcome is None:
            return max(0, self.now_ms - newest.admitted_ms)
        return None if result is None or result.started_ms is None else result.took_ms

    def _group(self, step: str, result: StepResult | None) -> tuple[Bar, ...]:
        """Return the bar of a group of the plan's; later engines tell its beginning by a clock of their own."""
        if result is None or result.started_ms is None or step not in self.groups or self.run.epoch > 1:
            return ()
        span = (result.started_ms, result.started_ms + result.took_ms)
        return (Bar(*placed(self.scale, span), "group", f"All its parts: {lasting(result.took_ms)}"),)

    def _bar(self, each: AttemptView) -> Bar:
        start, end = _span(each, self.run, self.now_ms)
        ended = "still under way" if each.outcome is None else word(each.outcome)
        took = lasting(each.took_ms if each.took_ms is not None else end - start)
        return Bar(
            *placed(self.scale, (start, end)),
            "running" if each.outcome is None else _look(each.outcome),
            f"Attempt {each.attempt} by {each.agent}: {ended}, {took}, from {lasting(start) or '0 ms'} on",
        )


def _look(outcome: Outcome) -> str:
    if outcome is Outcome.SUCCEEDED:
        return "succeeded"
    if outcome is Outcome.UNCERTAIN:
        return "uncertain"
    return "failed" if tone(outcome) is Tone.BAD else "stopped"


def _tokens(result: StepResult | None, tried: Sequence[AttemptView]) -> int | None:
    known = [each.usage.tokens for each in tried if each.usage.tokens is not None]
    if known:
        return sum(known)
    return None if result is None else result.usage.tokens


def _span(each: AttemptView, run: RunView, now_ms: int) -> Span:
    """Return from when to when an attempt went on, since the run was opened."""
    start = each.admitted_ms - run.opened_ms
    if each.outcome is None:
        return start, max(start, now_ms - run.opened_ms)
    settled = start if each.settled_ms is None else each.settled_ms - run.opened_ms
    # The engine measured it; its end was told when the next exchange went out.
    return start, start + each.took_ms if each.took_ms is not None else max(start, settled)


def _grouped(planned: Iterable[str], known: set[str]) -> list[tuple[str, list[str]]]:
    """Return every step of the plan with the parts made of it, by number."""
    parts: dict[str, list[str]] = {step: [] for step in planned}
    for step in known - parts.keys():
        parts.setdefault(re.split(r"[/\[]", step, maxsplit=1)[0] or step, []).append(step)
    return [(step, sorted((part for part in found if part != step), key=_by_number)) for step, found in parts.items()]


def _by_number(step: str) -> list[tuple[int, str]]:
    return [(int(part) if part.isdecimal() and part.isascii() else -1, part) for part in _NUMBERS.split(step)]

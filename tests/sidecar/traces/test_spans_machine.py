"""Spans of whatever several engines do that die, repeat themselves, come late and race: whole trees, and each id once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis.stateful import invariant, rule

from ensemble.rules.happenings import EngineLost, RunClosed
from sidecar.traces.spans import spans_of
from tests.ensemble.rules.runs.test_ledger_machine import Ledger
from tests.sidecar.traces.laws import hold, stretch_at


class Traced(Ledger):
    """The ledger, and somebody who listens as the tracer does."""

    def __init__(self) -> None:
        super().__init__()
        self.book = None
        self.heard = 0
        self.waiting: list[EngineLost] = []
        self.claimed: set[tuple[str, int]] = set()
        self.told: set[str] = set()

    @invariant()
    def every_stretch_is_told_of_when_it_ends(self) -> None:
        news, self.heard = self.store.news[self.heard :], len(self.store.news)
        for each in news:
            if isinstance(each, RunClosed):
                self.tell(each)
            elif isinstance(each, EngineLost):
                self.waiting.append(each)

    @rule()
    def patience_is_over(self) -> None:
        for each in self.waiting:
            self.tell(each)
        self.waiting.clear()

    def teardown(self) -> None:
        self.patience_is_over()

    def tell(self, end: RunClosed | EngineLost) -> None:
        stretch = stretch_at(self.store, end)
        if stretch is None or (end.run_id, end.run.epoch) in self.claimed:
            return
        self.claimed.add((end.run_id, end.run.epoch))
        spans = spans_of(stretch)
        hold(stretch, spans)
        ids = {each.span_id for each in spans}
        assert ids.isdisjoint(self.told)
        self.told |= ids


TestTraced = Traced.TestCase
TestTraced.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

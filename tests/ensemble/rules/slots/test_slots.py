"""Who gets the next slot: the line as a table, and on random walks that nobody starves and no slot stays unused."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ensemble.rules.slots.queue import GONE_MS, MOST_ROUNDS, PRIORITY_MS, ROUND_MS, Standing, Waiter, line, stand
from tests.ensemble.rules.tables import cases, holds, table

NOW = 1_000_000


def waits(ticket: str, ago_ms: int = 0, **more: Any) -> Waiter:
    fields = {"run": ticket, "scopes": {"host:a": 1}, "seen_ms": NOW, **more}
    return Waiter(ticket=ticket, since_ms=NOW - ago_ms, **fields)


@pytest.mark.parametrize(
    ("waiters", "order"),
    [
        pytest.param([waits("x", 1), waits("y", 2)], "yx", id="who came first is first"),
        pytest.param([waits("x", 9_999), waits("y", 0, priority=1)], "yx", id="a step of priority is worth 10 s"),
        pytest.param([waits("x", 10_001), waits("y", 0, priority=1)], "xy", id="and no more"),
        pytest.param(
            [waits("u", 9, run="wide"), waits("v", 8, run="wide"), waits("w", 7, run="wide"), waits("x", 0)],
            "uxvw",
            id="a run's second waits behind another's first",
        ),
        pytest.param([waits("x", 999, held=1), waits("y", 0)], "yx", id="a run with a call out waits 1 s longer"),
        pytest.param([waits("x", 1_001, held=1), waits("y", 0)], "xy", id="and no more than that"),
        pytest.param(
            [waits("x", 60_001, held=5_000), waits("y", 0)], "xy", id="a minute at most, however many are out"
        ),
        pytest.param([waits("x", 9, seen_ms=NOW - GONE_MS), waits("y", 0)], "y", id="who asks no more has left"),
    ],
)
def test_the_order_of_the_line(waiters: list[Waiter], order: str) -> None:
    assert "".join(waiter.ticket for waiter in line(waiters, NOW)) == order
    assert "".join(waiter.ticket for waiter in line(reversed(waiters), NOW)) == order


TWO = {"host:a": 2, "agent:m": 1}


@pytest.mark.parametrize(
    ("waiters", "used", "asker", "standing"),
    [
        pytest.param([], {}, waits("x"), Standing(admitted=True), id="free"),
        pytest.param([], {"host:a": 1}, waits("x"), Standing(False, 0, "host:a"), id="full"),
        pytest.param([waits("y", 5)], {}, waits("x"), Standing(False, 1, "host:a"), id="the last one is another's"),
        pytest.param([waits("y")], {}, waits("x", 5), Standing(admitted=True), id="its turn"),
        pytest.param(
            [waits("y", 5, scopes=TWO)],
            {"agent:m": 1},
            waits("x", scopes={"host:a": 2}),
            Standing(admitted=True, before=1),
            id="passes one whose agent is full",
        ),
        pytest.param(
            [waits("y", 5, scopes=TWO)],
            {"host:a": 1},
            waits("x", scopes={"host:a": 2}),
            Standing(False, 1, "host:a"),
            id="passes none that can go",
        ),
        pytest.param([waits("y", 5)], {}, waits("x", scopes={"host:b": 1}), Standing(admitted=True), id="another host"),
    ],
)
def test_whose_turn_it_is(waiters: list[Waiter], used: dict[str, int], asker: Waiter, standing: Standing) -> None:
    assert stand(waiters, used, asker, NOW) == standing


def told(waiter: Waiter) -> str:
    """Return a waiter in the page's words."""
    words = [f"{waiter.ticket} {NOW - waiter.since_ms:,} ms"]
    if waiter.run != waiter.ticket:
        words.append("of one run")
    if waiter.priority:
        words.append(f"priority {waiter.priority}")
    if waiter.held:
        words.append(f"its run has {waiter.held:,} out")
    if waiter.seen_ms < NOW:
        words.append(f"asked last {NOW - waiter.seen_ms:,} ms ago")
    return ", ".join(words)


def test_the_page_shows_this_order() -> None:
    """The tables above."""
    rows = [
        (p.id, "; ".join(map(told, p.values[0])), ", ".join(p.values[1])) for p in cases(test_the_order_of_the_line)
    ]
    holds("slots.md", table(("rule", "who waits, and for how long", "order"), rows))
    turns = [
        (p.id, "admitted" if p.values[3].admitted else "wait", p.values[3].before) for p in cases(test_whose_turn_it_is)
    ]
    holds("slots.md", table(("a call asks", "answer", "before it"), turns))


class Line(RuleBasedStateMachine):
    """Calls of five runs at two hosts come, ask again every second, leave, and die; priorities are theirs to say."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = NOW
        self.number = 0
        self.waiting: dict[str, Waiter] = {}
        self.out: dict[str, Waiter] = {}

    def used(self) -> dict[str, int]:
        scopes = [scope for waiter in self.out.values() for scope in waiter.scopes]
        return {scope: scopes.count(scope) for scope in scopes}

    @rule(run=st.integers(1, 5), host=st.sampled_from("ab"), priority=st.integers(-9, 9), agent=st.booleans())
    def comes(self, run: int, host: str, priority: int, *, agent: bool) -> None:
        self.number += 1
        scopes = {f"host:{host}": 2, "all": 3} | ({"agent:m": 1} if agent else {})
        name = f"{self.number:04}"
        self.waiting[name] = Waiter(
            ticket=name, run=str(run), scopes=scopes, priority=priority, since_ms=self.now_ms, seen_ms=self.now_ms
        )
        self.asks(name)

    def asks(self, name: str) -> None:
        held = sum(other.run == self.waiting[name].run for other in self.out.values())
        asker = self.waiting[name].model_copy(update={"seen_ms": self.now_ms, "held": held})
        self.waiting[name] = asker
        if stand(self.waiting.values(), self.used(), asker, self.now_ms).admitted:
            self.out[name] = self.waiting.pop(name)

    @rule()
    def a_second_passes_and_all_ask_again(self) -> None:
        self.now_ms += 1_000
        for name in sorted(self.waiting):
            self.asks(name)

    @rule(chance=st.randoms(use_true_random=False))
    def one_ends(self, chance: Any) -> None:
        if self.out:
            del self.out[chance.choice(sorted(self.out))]

    @rule(chance=st.randoms(use_true_random=False))
    def one_dies_waiting(self, chance: Any) -> None:
        if self.waiting:
            name = chance.choice(sorted(self.waiting))
            self.waiting[name] = self.waiting[name].model_copy(update={"seen_ms": self.now_ms - GONE_MS})
            del self.waiting[name]

    @invariant()
    def limits_hold(self) -> None:
        for scope, limit in {"host:a": 2, "host:b": 2, "all": 3, "agent:m": 1}.items():
            assert self.used().get(scope, 0) <= limit

    @invariant()
    def whoever_is_first_goes_unless_a_scope_is_full(self) -> None:
        """No slot stays unused that somebody in line could take."""
        first = next(iter(line(self.waiting.values(), self.now_ms)), None)
        if first is not None:
            used = self.used()
            full = any(used.get(scope, 0) >= limit for scope, limit in first.scopes.items())
            assert stand(self.waiting.values(), used, first, self.now_ms).admitted is not full

    def teardown(self) -> None:
        """Nobody starves: with new calls of the highest priority coming every second, all who wait get out in time."""
        bound_ms = 18 * PRIORITY_MS + MOST_ROUNDS * ROUND_MS
        left = set(self.waiting)
        for _ in range(bound_ms // 1_000 + len(left) + 10):
            if not left:
                break
            self.out.clear()
            self.comes(9, "a", 9, agent=True)
            self.a_second_passes_and_all_ask_again()
            left &= set(self.waiting)
        assert not left


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)

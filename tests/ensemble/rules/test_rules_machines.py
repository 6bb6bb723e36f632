"""Breaker and budget on random walks beside models a child could check."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ensemble.contract.breakers import BreakerPolicy, BreakerState
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import Decision, OnLost
from ensemble.contract.outcomes import Outcome
from ensemble.rules.breakers import breaker
from ensemble.rules.budgets import budget
from ensemble.rules.records import Amounts, Booking, Breaker
from tests.ensemble.rules.asks import hex_id

POLICY = BreakerPolicy(failure_threshold=2, recovery_timeout=1, success_threshold=2, half_open_probes=2)
LIMITS = Limits(tokens=10_000, calls=6, seconds=20)
CHANCE = st.randoms(use_true_random=False)


class BreakerWalk(RuleBasedStateMachine):
    """The model keeps the news of the present generation as a list of words and reads the state off it."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now_ms = 0
        self.out: dict[str, int] = {}
        self.life = BreakerState.CLOSED
        self.heard: list[str] = []
        self.begun_ms = 0
        self.cool_ms = 0
        self.probing: set[str] = set()
        self.number = 0

    def enter(self, state: BreakerState) -> None:
        self.life, self.heard, self.begun_ms, self.probing = state, [], self.now_ms, set()

    @rule(ms=st.sampled_from([1, 400, 999, 1_000, 3_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule()
    def ask(self) -> None:
        self.number += 1
        ticket = hex_id(self.number)
        waited = self.now_ms - self.begun_ms >= 1_000
        isolated = self.life is BreakerState.OPEN and not waited
        cooling = self.now_ms < self.cool_ms
        full = self.life is BreakerState.HALF_OPEN and len(self.probing) >= 2
        self.breaker, verdict = breaker.admit(self.breaker, POLICY, self.now_ms, ticket, hex_id(0))
        expected = (
            Decision.REFUSED if isolated or (full and not cooling) else Decision.WAIT if cooling else Decision.ADMITTED
        )
        assert verdict.decision is expected
        if expected is Decision.ADMITTED:
            if self.life is BreakerState.OPEN:
                self.enter(BreakerState.HALF_OPEN)
            if self.life is BreakerState.HALF_OPEN:
                self.probing.add(ticket)
            self.out[ticket] = self.breaker.generation

    @rule(
        chance=CHANCE,
        outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.UNAVAILABLE, Outcome.THROTTLED, Outcome.REJECTED]),
        twice=st.booleans(),
    )
    def news(self, chance: Any, outcome: Outcome, *, twice: bool) -> None:
        if not self.out:
            return
        ticket = chance.choice(sorted(self.out))
        generation = self.out[ticket] if twice else self.out.pop(ticket)
        current = generation == self.breaker.generation
        half_open = self.life is BreakerState.HALF_OPEN
        self.breaker = breaker.settle(
            self.breaker, POLICY, self.now_ms, ticket=ticket, generation=generation, outcome=outcome
        )
        if not current or (half_open and ticket not in self.probing):
            return
        self.probing.discard(ticket)
        if outcome is Outcome.THROTTLED:
            self.cool_ms = max(self.cool_ms, self.now_ms + 1_000)
        self.heard += {Outcome.SUCCEEDED: ["good"], Outcome.UNAVAILABLE: ["bad"]}.get(outcome, [])
        if self.heard[-2:] == ["bad", "bad"] or (half_open and "bad" in self.heard):
            self.enter(BreakerState.OPEN)
        elif half_open and self.heard.count("good") == 2:
            self.enter(BreakerState.CLOSED)

    @rule(chance=CHANCE)
    def a_holder_dies(self, chance: Any) -> None:
        if self.probing:
            ticket = chance.choice(sorted(self.probing))
            self.probing.discard(ticket)
            self.breaker = breaker.free(self.breaker, (ticket,))

    @invariant()
    def the_record_is_as_the_model(self) -> None:
        assert self.breaker.state is self.life
        assert set(self.breaker.probes) == self.probing
        bad = len(self.heard) - len("".join(word[0] for word in self.heard).rstrip("b"))
        assert self.breaker.failures == (bad if self.life is BreakerState.CLOSED else 0)
        assert self.breaker.successes == (self.heard.count("good") if self.life is BreakerState.HALF_OPEN else 0)


class BudgetWalk(RuleBasedStateMachine):
    """The model keeps one line per attempt and adds up."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = budget.Budget()
        self.open: list[Amounts] = []
        self.booked: list[tuple[Amounts, Booking]] = []
        self.lost: list[tuple[Amounts, Booking]] = []

    @rule(max_tokens=st.sampled_from([None, 1, 2_500, 10_000, 10_001]), timeout_ms=st.sampled_from([1, 7_000, 90_000]))
    def ask(self, max_tokens: int | None, timeout_ms: int) -> None:
        before = self.budget
        self.budget, verdict = budget.admit(before, LIMITS, 3, max_tokens=max_tokens, timeout_ms=timeout_ms)
        if verdict.reserved is not None:
            self.open.append(verdict.reserved)
            assert verdict.reserved.tokens >= 1
            assert self.budget.tokens_committed + self.budget.tokens_reserved <= 10_000
            assert self.budget.calls_committed + self.budget.calls_reserved <= 6
            assert self.budget.ms_committed + self.budget.ms_reserved <= 20_000
            return
        assert self.budget is before
        empty = budget.Budget(
            tokens_committed=before.tokens_committed,
            calls_committed=before.calls_committed,
            ms_committed=before.ms_committed,
        )
        _, alone = budget.admit(empty, LIMITS, 3, max_tokens=max_tokens, timeout_ms=timeout_ms)
        fits = alone.decision is Decision.ADMITTED
        assert fits is (verdict.decision is Decision.WAIT), "wait if and only if it would fit with none open"

    @rule(chance=CHANCE, tokens=st.sampled_from([None, 0, 900, 30_000]), took_ms=st.sampled_from([0, 3_000]))
    def settle(self, chance: Any, tokens: int | None, took_ms: int) -> None:
        if self.open:
            reserved = self.open.pop(chance.randrange(len(self.open)))
            self.budget, booking = budget.book(self.budget, reserved, tokens=tokens, took_ms=took_ms)
            self.booked.append((reserved, booking))

    @rule(chance=CHANCE, on_lost=st.sampled_from(OnLost))
    def lose(self, chance: Any, on_lost: OnLost) -> None:
        if self.open:
            reserved = self.open.pop(chance.randrange(len(self.open)))
            self.budget, booking = budget.lose(self.budget, reserved, on_lost)
            self.lost.append((reserved, booking))

    @rule(chance=CHANCE, tokens=st.sampled_from([None, 0, 900]))
    def late_news(self, chance: Any, tokens: int | None) -> None:
        if self.lost:
            reserved, booked = self.lost.pop(chance.randrange(len(self.lost)))
            self.budget, booking = budget.correct(self.budget, booked, reserved, tokens=tokens, took_ms=10)
            self.booked.append((reserved, booking))

    @invariant()
    def it_adds_up(self) -> None:
        bookings = [booking for _, booking in (*self.booked, *self.lost)]
        assert self.budget == budget.Budget(
            tokens_committed=sum(b.spent.tokens for b in bookings),
            tokens_reserved=sum(r.tokens for r in self.open),
            calls_committed=sum(b.spent.calls for b in bookings),
            calls_reserved=len(self.open),
            ms_committed=sum(b.spent.ms for b in bookings),
            ms_reserved=sum(r.ms for r in self.open),
            estimated=sum(b.estimated for b in bookings),
        )


TestBreakerWalk = BreakerWalk.TestCase
TestBreakerWalk.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestBudgetWalk = BudgetWalk.TestCase
TestBudgetWalk.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)

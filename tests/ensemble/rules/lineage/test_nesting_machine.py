"""Runs inside the calls of runs, whose engines die, come back, come late and race: the books of all above stay right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import LEASE_MS, AdmissionAsk, Decision, Exchange, OnLost, Parent, Role
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import Usage
from ensemble.engine.ledger.book import Book
from ensemble.rules.addresses import run_hash
from ensemble.rules.problems import Conflict
from ensemble.rules.records import Attempt, Run
from ensemble.rules.runs.ending import cancel, ending_wants, sweep
from ensemble.rules.runs.views import attempts_of
from tests.ensemble.rules.asks import closing, hex_id, opening, settlement
from tests.ensemble.rules.lineage.family import wish
from tests.ensemble.rules.store import StrictStore

LIMITS = st.sampled_from([Limits(), Limits(tokens=9_000), Limits(calls=5), Limits(seconds=12, tokens=20_000)])
APPS = ("app:a", "app:b", "app:c", "app:leaf")
DIMENSIONS = ("tokens", "calls", "ms", "nano")
MOST_RUNS = 10


@dataclass
class Engine:
    """One engine as it sees itself."""

    run_id: str
    owner: str
    epoch: int
    opening: Exchange
    admitted: dict[str, AdmissionAsk] = field(default_factory=dict)
    sent: list[Exchange] = field(default_factory=list)


class Family(RuleBasedStateMachine):
    """The strict store and the book side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.store = StrictStore()
        self.book: Book | None = Book(clock=lambda: self.store.now_ms)
        self.engines: list[Engine] = []
        self.number = 0

    def mint(self) -> int:
        self.number += 1
        return self.number << 100

    @precondition(lambda self: len(self.engines) < MOST_RUNS)
    @rule(chance=st.randoms(use_true_random=False), limits=LIMITS, on_lost=st.sampled_from(OnLost))
    def open_one(self, chance: Any, limits: Limits, on_lost: OnLost) -> None:
        """Alone, inside a call that is open, or inside one that may be over."""
        self.store.now_ms += 10
        calls = [(each, ticket) for each in self.engines for ticket in each.admitted]
        parent, app = None, chance.choice(APPS[:3])
        if calls and chance.randrange(4):
            above, ticket = chance.choice(calls)
            parent = Parent(run_id=above.run_id, ticket=ticket[:12], under_way=bool(chance.randrange(3)))
            app = chance.choice([above.admitted[ticket].identity, app])
        keys = [f"key {self.number}", *(each.opening.open.run_key for each in self.engines if each.opening.open)]
        key = keys[0] if chance.randrange(3) else chance.choice(keys)
        terms = opening(key, limits, on_lost=on_lost, caller=app, end_user=chance.choice("xy"), parent=parent)
        ask = Exchange(run_id=hex_id(self.mint()), owner=hex_id(self.mint()), open=terms)
        engine = Engine(ask.run_id, ask.owner, 1, ask)
        if self.send(engine, ask):
            self.engines.append(engine)

    @precondition(lambda self: bool(self.engines))
    @rule(
        chance=st.randoms(use_true_random=False),
        app=st.sampled_from(APPS),
        max_tokens=st.sampled_from([None, 500, 6_000]),
    )
    def admit(self, chance: Any, app: str, max_tokens: int | None) -> None:
        engine = self.pick(chance)
        ask = wish(self.mint(), app, max_tokens=max_tokens)
        self.send(engine, self.later(engine, admit=(ask,), holding=tuple(engine.admitted)))

    @precondition(lambda self: any(each.admitted for each in self.engines))
    @rule(
        chance=st.randoms(use_true_random=False),
        tokens=st.sampled_from([None, 0, 500, 9_000]),
        outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.CANCELLED]),
    )
    def settle(self, chance: Any, tokens: int | None, outcome: Outcome) -> None:
        engine = chance.choice([each for each in self.engines if each.admitted])
        ask = engine.admitted[chance.choice(sorted(engine.admitted))]
        self.send(engine, self.later(engine, settle=(settlement(ask, outcome, usage=Usage(tokens=tokens)),)))

    @precondition(lambda self: bool(self.engines))
    @rule(chance=st.randoms(use_true_random=False), app=st.sampled_from(APPS), ended=st.booleans())
    def tell_late(self, chance: Any, app: str, *, ended: bool) -> None:
        engine, ask = self.pick(chance), wish(self.mint(), app)
        engine.admitted[ask.ticket] = ask
        self.send(engine, self.later(engine, late=(ask,), settle=(settlement(ask),) if ended else ()))

    @precondition(lambda self: bool(self.engines))
    @rule(chance=st.randoms(use_true_random=False), status=st.sampled_from([RunStatus.FAILED, RunStatus.SUCCEEDED]))
    def close(self, chance: Any, status: RunStatus) -> None:
        engine = self.pick(chance)
        self.send(engine, self.later(engine, close=closing(status)))

    @precondition(lambda self: bool(self.engines))
    @rule(chance=st.randoms(use_true_random=False))
    def say_it_again(self, chance: Any) -> None:
        engine = self.pick(chance)
        if engine.sent:
            self.send(engine, chance.choice(engine.sent))

    @rule(ms=st.sampled_from([1, 1_000, LEASE_MS]))
    def time_passes(self, ms: int) -> None:
        self.store.now_ms += ms

    @precondition(lambda self: self.book is None)
    @rule()
    def the_sweep_comes_round(self) -> None:
        for run_id in self.runs():
            for _ in range(2):
                self.store.apply(partial(sweep, run_id), ending_wants(run_id))

    @precondition(lambda self: self.book is None and bool(self.engines))
    @rule(chance=st.randoms(use_true_random=False))
    def somebody_cancels(self, chance: Any) -> None:
        run_id = chance.choice(sorted(self.runs()))
        self.store.apply(partial(cancel, run_id), ending_wants(run_id))

    def pick(self, chance: Any) -> Engine:
        found: Engine = chance.choice(self.engines)
        return found

    def later(self, engine: Engine, **more: Any) -> Exchange:
        return Exchange(run_id=engine.run_id, owner=engine.owner, epoch=engine.epoch, **more)

    def send(self, engine: Engine, ask: Exchange) -> bool:
        """Send *ask* twice, as after a lost answer; return whether it was taken at all."""
        known = {attempt.ask.ticket for _, attempt in self.attempts()}
        try:
            answer = self.exchange(ask)
        except Conflict as error:
            if ask.open is None or error.field not in {"parent", "run_key"}:
                raise
            return False
        state = {key: dict(fields) for key, fields in self.store.hashes.items()}
        assert self.store.exchange(ask) == answer
        assert state == self.store.hashes
        if self.book is not None:
            assert self.book.exchange(ask) == self.book.exchange(ask) == answer
        if ask.open is not None:
            engine.run_id, engine.epoch = answer.run.run_id, answer.run.epoch
        wishes = {wish.ticket: wish for wish in ask.admit}
        for told in answer.admissions:
            if told.decision is Decision.ADMITTED:
                engine.admitted[told.ticket] = wishes[told.ticket]
                if told.ticket not in known:
                    self.nobody_is_over_its_limit(answer.run.run_id)
        engine.sent.append(ask)
        return answer.run.role is not Role.FINISHED

    def exchange(self, ask: Exchange) -> Any:
        return self.store.exchange(ask)

    def runs(self) -> dict[str, Run]:
        return {
            key.removeprefix("run:"): Run.model_validate_json(fields["run"])
            for key, fields in self.store.hashes.items()
            if key.startswith("run:")
        }

    def attempts(self) -> list[tuple[str, Attempt]]:
        return [
            (run_id, attempt) for run_id in self.runs() for attempt in attempts_of(self.store.hashes[run_hash(run_id)])
        ]

    def nobody_is_over_its_limit(self, run_id: str) -> None:
        """Neither the run that was given a call nor any above it."""
        runs = self.runs()
        for each in (run_id, *runs[run_id].above):
            limits, key = runs[each].limits, run_hash(each)
            ms = None if limits.seconds is None else limits.seconds * 1000
            for unit, limit in (("tokens", limits.tokens), ("calls", limits.calls), ("ms", ms)):
                used = self.store.counter(key, f"{unit}_committed") + self.store.counter(key, f"{unit}_reserved")
                assert limit is None or used <= limit, f"{unit} were admitted beyond the limit of {each}"

    @invariant()
    def every_run_holds_what_it_and_those_below_reserve_and_use(self) -> None:
        expected: Counter[tuple[str, str]] = Counter()
        for run_id, attempt in self.attempts():
            shares = [(run_id, attempt.reserved, attempt.booking)]
            shares += [(charge.run_id, charge.reserved, charge.booking) for charge in attempt.charges]
            for where, reserved, booking in shares:
                for unit in DIMENSIONS:
                    if booking is not None:
                        expected[where, f"{unit}_committed"] += getattr(booking.spent, unit)
                    else:
                        expected[where, f"{unit}_reserved"] += getattr(reserved, unit)
                        expected[where, f"{unit}_held"] += attempt.nests * getattr(reserved, unit)
                expected[where, "estimated"] += booking is not None and booking.estimated
        names = [f"{unit}_{what}" for unit in DIMENSIONS for what in ("committed", "reserved", "held")]
        for run_id in self.runs():
            found = {name: self.store.counter(run_hash(run_id), name) for name in (*names, "estimated")}
            assert found == {name: expected[run_id, name] for name in (*names, "estimated")}

    @invariant()
    def the_lists_hold_the_calls_that_are_open(self) -> None:
        listed = {
            (key.removeprefix("going:"), ticket)
            for key, fields in self.store.hashes.items()
            if key.startswith("going:")
            for ticket in fields
        }
        is_open = [(attempt.into, attempt.ask.ticket) for _, attempt in self.attempts() if attempt.booking is None]
        assert listed == {(app, ticket) for app, ticket in is_open if app is not None}

    @invariant()
    def a_run_stands_below_its_parent(self) -> None:
        runs = self.runs()
        for run_id, run in runs.items():
            assert run_id not in run.above
            assert len(set(run.above)) == len(run.above)
            for number, above in enumerate(run.above):
                assert runs[above].epoch > 1 or runs[above].above == run.above[:number]

    def teardown(self) -> None:
        """However it went: once all are closed, nothing is reserved or held, and no call is on a list."""
        for run_id, run in self.runs().items():
            if run.status is RunStatus.RUNNING:
                self.store.exchange(Exchange(run_id=run_id, owner=run.owner, epoch=run.epoch, close=closing()))
        for key, fields in self.store.hashes.items():
            left = {name: text for name, text in fields.items() if name.endswith(("_reserved", "_held"))}
            assert not any(int(text) for text in left.values())
            assert not (key.startswith("going:") and fields)


class RacedFamily(Family):
    """The strict store alone, with the sweep, and another engine's exchange between decision and commit."""

    def __init__(self) -> None:
        super().__init__()
        self.book = None
        self.other: Exchange | None = None

    @precondition(lambda self: bool(self.engines) and self.other is None)
    @rule(chance=st.randoms(use_true_random=False), tokens=st.sampled_from([None, 500]))
    def somebody_is_about_to_come_between(self, chance: Any, tokens: int | None) -> None:
        engine = self.pick(chance)
        news = [settlement(ask, usage=Usage(tokens=tokens)) for ask in list(engine.admitted.values())[-1:]]
        ask = wish(self.mint(), chance.choice(APPS), max_tokens=chance.choice([None, 3_000]))
        self.other = self.later(engine, settle=tuple(news), admit=(ask,))

    def exchange(self, ask: Exchange) -> Any:
        other, self.other = self.other, None
        if other is None:
            return super().exchange(ask)
        self.store.exchange(ask, lambda: self.store.exchange(other))
        return self.store.exchange(ask)


TestFamily = Family.TestCase
TestFamily.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRacedFamily = RacedFamily.TestCase
TestRacedFamily.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

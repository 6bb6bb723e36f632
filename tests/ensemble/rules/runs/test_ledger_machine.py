"""Several engines on two runs, which die, repeat themselves, come late and race: what must hold whatever they do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ensemble.contract.breakers import BreakerPolicy, BreakerState
from ensemble.contract.budgets import Limits
from ensemble.contract.caching import CacheOrder
from ensemble.contract.exchange import (
    LEASE_MS,
    Admission,
    AdmissionAsk,
    Decision,
    Exchange,
    ExchangeAnswer,
    OnLost,
    Role,
)
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import StepResult, Usage
from ensemble.engine.ledger.book import Book
from ensemble.rules.addresses import attempt_at, breaker_at, cached_at, run_at, run_hash, step_at
from ensemble.rules.budgets.budget import COUNTERS
from ensemble.rules.happenings import (
    AttemptAdmitted,
    AttemptLost,
    AttemptSettled,
    BreakerChanged,
    EngineLost,
    RunClosed,
    RunOpened,
)
from ensemble.rules.records import Attempt, Breaker, Cached, Run
from ensemble.rules.runs.ending import cancel, ending_wants, sweep
from ensemble.rules.runs.views import attempts_of, run_view
from tests.ensemble.rules.asks import STEPS, admission, closing, first, settlement
from tests.ensemble.rules.store import StrictStore

LIMITS = st.sampled_from([Limits(), Limits(tokens=40_000), Limits(calls=9), Limits(seconds=20, tokens=20_000)])
ENDS = st.sampled_from(sorted(set(RunStatus) - {RunStatus.RUNNING}))
MANY = 8
KEY = "c" * 64
TOUCHY = BreakerPolicy(failure_threshold=1, recovery_timeout=1, success_threshold=2, half_open_probes=1)
CHANCE = st.randoms(use_true_random=False)


@dataclass
class Engine:
    """One engine as it sees itself."""

    run_id: str
    owner: str
    epoch: int
    tried: list[AdmissionAsk] = field(default_factory=list)
    admitted: dict[str, AdmissionAsk] = field(default_factory=dict)
    sent: list[Exchange] = field(default_factory=list)

    def ask(self, **more: Any) -> Exchange:
        """Return one of its later exchanges."""
        return Exchange(run_id=self.run_id, owner=self.owner, epoch=self.epoch, **more)


def binding(answer: ExchangeAnswer) -> ExchangeAnswer:
    """Return *answer* without why attempts are not let out: that is decided anew, and what was let out beside counts."""
    told = (
        a if a.decision in {Decision.ADMITTED, Decision.DONE} else Admission(ticket=a.ticket, decision=Decision.WAIT)
        for a in answer.admissions
    )
    return answer.model_copy(update={"admissions": tuple(told)})


class Ledger(RuleBasedStateMachine):
    """The strict store and the book side by side: they answer the same."""

    def __init__(self) -> None:
        super().__init__()
        self.store = StrictStore()
        self.book: Book | None = Book(clock=lambda: self.store.now_ms)
        self.engines: list[Engine] = []
        self.number = 0
        self.epochs: dict[str, int] = {}
        self.settled: dict[str, str] = {}

    def mint(self) -> int:
        self.number += 1
        return self.number

    def wish(self, step: str, max_tokens: int | None = None, *, again: bool = False) -> AdmissionAsk:
        return admission(self.mint(), step, max_tokens=max_tokens, breaker=TOUCHY, again=again)

    @initialize(limits=LIMITS)
    def one_engine(self, limits: Limits) -> None:
        self.start("red", limits, OnLost.CHARGE, admit=False)

    @precondition(lambda self: len(self.engines) < MANY)
    @rule(key=st.sampled_from(["red", "blue"]), limits=LIMITS, on_lost=st.sampled_from(OnLost), admit=st.booleans())
    def start(self, key: str, limits: Limits, on_lost: OnLost, *, admit: bool) -> None:
        tried = [self.wish("one")] if admit else []
        ask = first(self.mint(), self.mint(), key, limits, on_lost=on_lost, admit=tuple(tried))
        engine = Engine(ask.run_id, ask.owner, 1, tried)
        self.engines.append(engine)
        self.send(engine, ask)

    @rule(
        chance=CHANCE,
        step=st.sampled_from(STEPS),
        max_tokens=st.sampled_from([None, 1_500, 8_000]),
        again=st.booleans(),
        two=st.booleans(),
        anew=st.booleans(),
    )
    def admit(self, chance: Any, step: str, max_tokens: int | None, *, again: bool, two: bool, anew: bool) -> None:
        engine = self.pick(chance)
        if again and engine.tried:
            wishes = [chance.choice(engine.tried)]
        else:
            steps = (step, chance.choice(STEPS)) if two else (step,)
            wishes = [self.wish(s, max_tokens, again=anew) for s in steps]
            engine.tried += wishes
        self.send(engine, engine.ask(admit=tuple(wishes), holding=tuple(engine.admitted)))

    @rule(
        chance=CHANCE,
        outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.AGENT_FAILED, Outcome.THROTTLED, Outcome.CANCELLED]),
        tokens=st.sampled_from([None, 0, 700, 12_000]),
        cache=st.sampled_from([None, CacheOrder(key=KEY, keep_ms=1_500), CacheOrder(key=KEY, keep_ms=LEASE_MS)]),
        ends=st.booleans(),
        go_on=st.booleans(),
    )
    def settle(
        self, chance: Any, outcome: Outcome, tokens: int | None, cache: CacheOrder | None, *, ends: bool, go_on: bool
    ) -> None:
        engine = self.pick(chance)
        if not engine.admitted:
            return
        ask = engine.admitted[chance.choice(sorted(engine.admitted))]
        wishes = (self.wish(chance.choice(STEPS)),) if go_on else ()
        engine.tried += wishes
        news = settlement(ask, outcome, ends=ends, usage=Usage(tokens=tokens), cache=cache)
        self.send(engine, engine.ask(settle=(news,), admit=wishes))

    @rule(chance=CHANCE, status=ENDS)
    def close(self, chance: Any, status: RunStatus) -> None:
        engine = self.pick(chance)
        self.send(engine, engine.ask(close=closing(status)))

    @rule(chance=CHANCE, step=st.sampled_from(STEPS))
    def end_unattempted(self, chance: Any, step: str) -> None:
        engine = self.pick(chance)
        self.send(engine, engine.ask(ended=(StepResult(step=step, agent="left", status=StepStatus.SKIPPED),)))

    @rule(chance=CHANCE)
    def an_old_exchange_comes_again(self, chance: Any) -> None:
        engine = self.pick(chance)
        self.send(engine, chance.choice(engine.sent), again=True)

    @rule(ms=st.sampled_from([1, 900, 1_000, 1_000, LEASE_MS]))
    def time_passes(self, ms: int) -> None:
        self.store.now_ms += ms

    @precondition(lambda self: self.book is None)
    @rule()
    def the_sweep_comes_round(self) -> None:
        for run_id in self.runs():
            for _ in range(2):
                self.store.apply(partial(sweep, run_id), ending_wants(run_id))

    @precondition(lambda self: self.book is None)
    @rule(chance=CHANCE)
    def somebody_cancels(self, chance: Any) -> None:
        run_id = chance.choice(sorted(self.runs()))
        self.store.apply(partial(cancel, run_id), ending_wants(run_id))

    @rule(chance=CHANCE, step=st.sampled_from(STEPS), outcome=st.sampled_from([None, Outcome.SUCCEEDED]))
    def tell_late(self, chance: Any, step: str, outcome: Outcome | None) -> None:
        engine, ask = self.pick(chance), self.wish(step)
        news = () if outcome is None else (settlement(ask, outcome),)
        engine.admitted[ask.ticket] = ask
        self.send(engine, engine.ask(late=(ask,), settle=news))

    def pick(self, chance: Any) -> Engine:
        """Return an engine, mostly one that runs a run."""
        runs = self.runs()
        owners = [e for e in self.engines if e.run_id in runs and runs[e.run_id].owner == e.owner]
        among = owners if owners and chance.randrange(5) else self.engines
        return among[int(chance.randrange(len(among)))]

    def send(self, engine: Engine, ask: Exchange, *, again: bool = False) -> None:
        """Send *ask*, then once more as after a lost answer: the same answer, nothing reserved twice."""
        before = {wish.ticket: self.before_admission(ask, wish) for wish in ask.admit}
        raced, answer = self.exchange(ask)
        if raced:
            answer = self.store.exchange(ask)
        state = {key: dict(fields) for key, fields in self.store.hashes.items()}
        assert binding(self.store.exchange(ask)) == binding(answer)
        assert state == self.store.hashes
        if self.book is not None:
            assert self.book.exchange(ask) == answer
            assert binding(self.book.exchange(ask)) == binding(answer)
        self.judge(engine, ask, answer, before)
        if not again:
            engine.sent.append(ask)
        if ask.open is not None and not again:
            engine.run_id, engine.epoch = answer.run.run_id, answer.run.epoch

    def exchange(self, ask: Exchange) -> tuple[bool, ExchangeAnswer]:
        """Return whether another exchange came between, and the answer."""
        return False, self.store.exchange(ask)

    def text(self, address: tuple[str, str]) -> str | None:
        return self.store.hashes.get(address[0], {}).get(address[1])

    def before_admission(self, ask: Exchange, wish: AdmissionAsk) -> tuple[bool, bool]:
        """Return whether the ticket is known, and whether its step has succeeded."""
        found = [e.run_id for e in self.engines if e.owner == ask.owner]
        run_id = found[0] if found else ask.run_id
        return self.text(attempt_at(run_id, wish.ticket)) is not None, self.succeeded(run_id, wish.step)

    def succeeded(self, run_id: str, step: str) -> bool:
        text = self.text(step_at(run_id, step))
        return text is not None and StepResult.model_validate_json(text).status is StepStatus.SUCCEEDED

    def judge(
        self, engine: Engine, ask: Exchange, answer: ExchangeAnswer, before: dict[str, tuple[bool, bool]]
    ) -> None:
        run_id = answer.run.run_id
        run = Run.model_validate_json(self.text(run_at(run_id)) or "")
        wishes = {wish.ticket: wish for wish in ask.admit}
        if answer.run.role is not Role.OWNER:
            assert not answer.admissions
        else:
            assert run.owner == ask.owner, "only the owner is told that it is the owner"
            assert [a.ticket for a in answer.admissions] == list(wishes)
        for told in answer.admissions:
            known, done = before[told.ticket]
            if told.decision is Decision.ADMITTED:
                engine.admitted[told.ticket] = wishes[told.ticket]
                wish = wishes[told.ticket]
                if known:
                    assert self.succeeded(run_id, wish.step) or not done, "a repeated ask forgets nothing"
                else:
                    assert not done or wish.again, "a finished step is admitted again only where it is said so"
                    assert not self.succeeded(run_id, wish.step)
                    self.within_limits(run_id, run)
        for news in ask.settle:
            attempt = Attempt.model_validate_json(self.text(attempt_at(run_id, news.ticket)) or "")
            assert attempt.settlement is not None
            kept = self.settled.setdefault(news.ticket, attempt.model_dump_json())
            assert kept == attempt.model_dump_json(), "the first settlement wins"

    def within_limits(self, run_id: str, run: Run) -> None:
        key, limits = run_hash(run_id), run.limits
        ms = None if limits.seconds is None else limits.seconds * 1000
        for unit, limit in (("tokens", limits.tokens), ("calls", limits.calls), ("ms", ms)):
            used = self.store.counter(key, f"{unit}_committed") + self.store.counter(key, f"{unit}_reserved")
            assert limit is None or used <= limit, f"{unit} were admitted beyond the limit"

    def runs(self) -> dict[str, Run]:
        return {
            key.removeprefix("run:"): Run.model_validate_json(fields["run"])
            for key, fields in self.store.hashes.items()
            if key.startswith("run:")
        }

    @invariant()
    def the_budget_is_the_sum_of_its_attempts(self) -> None:
        for run_id, run in self.runs().items():
            attempts = attempts_of(self.store.hashes[run_hash(run_id)])
            waiting = [a for a in attempts if a.booking is None]
            booked = [a.booking for a in attempts if a.booking is not None]
            assert {a.ask.ticket for a in waiting} == set(run.open)
            expected = {"estimated": sum(b.estimated for b in booked)}
            for unit in ("tokens", "calls", "ms", "nano"):
                expected[f"{unit}_reserved"] = sum(getattr(a.reserved, unit) for a in waiting)
                expected[f"{unit}_committed"] = sum(getattr(b.spent, unit) for b in booked)
            assert {name: self.store.counter(run_hash(run_id), name) for name in COUNTERS} == expected

    @invariant()
    def what_is_told_is_what_is_on_record(self) -> None:
        """Every admission, settlement, opening, end and change of a breaker once, whatever was sent twice or raced."""
        told = Counter(
            (type(each), each.run_id, each.attempt.ask.ticket)
            for each in self.store.news
            if isinstance(each, AttemptAdmitted | AttemptSettled)
        )
        opened = [(each.run_id, each.run.epoch) for each in self.store.news if isinstance(each, RunOpened)]
        ended = [(each.run_id, each.run.epoch) for each in self.store.news if isinstance(each, RunClosed)]
        silent = {(each.run_id, each.run.epoch) for each in self.store.news if isinstance(each, EngineLost)}
        lost = {each.attempt.ask.ticket for each in self.store.news if isinstance(each, AttemptLost)}
        expected: Counter[tuple[type, str, str]] = Counter()
        for run_id, run in self.runs().items():
            for attempt in attempts_of(self.store.hashes[run_hash(run_id)]):
                expected[AttemptAdmitted, run_id, attempt.ask.ticket] += 1
                expected[AttemptSettled, run_id, attempt.ask.ticket] += attempt.settlement is not None
                assert attempt.settlement or not attempt.booking or attempt.ask.ticket in lost
            assert [epoch for of, epoch in opened if of == run_id] == list(range(1, run.epoch + 1))
            assert ((run_id, run.epoch) in ended) == (run.status is not RunStatus.RUNNING)
            assert not run.lapsed or (run_id, run.epoch) in silent
            passed = {(run_id, epoch) for epoch in range(1, run.epoch)}
            assert passed <= {*ended, *silent}, "no epoch ends without a word"
        assert told == +expected
        assert len(ended) == len(set(ended))
        for identity in ("app:left", "app:right"):
            text = self.text(breaker_at(identity))
            changes = [e.change for e in self.store.news if isinstance(e, BreakerChanged) and e.identity == identity]
            generation = 0 if text is None else Breaker.model_validate_json(text).generation
            assert len(changes) <= generation
            assert [each.generation for each in changes] == sorted({each.generation for each in changes})
            assert not changes or changes[-1].generation == generation

    @invariant()
    def epochs_only_grow(self) -> None:
        for run_id, run in self.runs().items():
            assert run.epoch >= self.epochs.get(run_id, 1)
            self.epochs[run_id] = run.epoch

    @invariant()
    def only_taken_answers_of_agents_are_kept(self) -> None:
        """And the book finds the same as the store."""
        text = self.text(cached_at(KEY))
        kept = None if text is None else Cached.model_validate_json(text)
        if self.book is not None:
            over = kept is None or kept.until_ms <= self.store.now_ms
            assert self.book.cached(KEY).result == (None if over or kept is None else kept.result)
        if kept is not None:
            assert (kept.result.status, kept.result.source) == (StepStatus.SUCCEEDED, Source.AGENT)
            assert kept.since_ms <= self.store.now_ms
            attempts = [a for run_id in self.runs() for a in attempts_of(self.store.hashes[run_hash(run_id)])]
            (by,) = (a for a in attempts if kept.result.text == f"{a.ask.step} by {a.ask.ticket}")
            assert by.result_taken

    @invariant()
    def few_probes_are_out(self) -> None:
        for agent in ("left", "right"):
            text = self.text(breaker_at(f"app:{agent}"))
            if text is None:
                continue
            breaker = Breaker.model_validate_json(text)
            assert len(breaker.probes) <= TOUCHY.half_open_probes
            assert breaker.state is BreakerState.HALF_OPEN or not breaker.probes

    @invariant()
    def open_runs_have_a_lease_on_the_list(self) -> None:
        """Until the sweep has seen that it ended."""
        listed = {address.field for address in self.store.index if address.key == "leases"}
        running = {run_id: run for run_id, run in self.runs().items() if run.status is RunStatus.RUNNING}
        held = {run_id for run_id, run in running.items() if run.lease_until_ms > self.store.now_ms}
        assert held <= listed <= running.keys()

    def teardown(self) -> None:
        """However it went: once every run is closed nothing is reserved and no probe is out."""
        for run_id, run in self.runs().items():
            if run.status is RunStatus.RUNNING:
                self.store.exchange(Exchange(run_id=run_id, owner=run.owner, epoch=run.epoch, close=closing()))
            view = run_view(run_id, self.store.hashes[run_hash(run_id)], self.store.now_ms)
            assert (view.budget.tokens_reserved, view.budget.calls_reserved, view.budget.ms_reserved) == (0, 0, 0)
        for agent in ("left", "right"):
            assert not Breaker.model_validate_json(self.text(breaker_at(f"app:{agent}")) or "{}").probes


class RacedLedger(Ledger):
    """The strict store alone, with another engine's exchange between decision and commit."""

    def __init__(self) -> None:
        super().__init__()
        self.book = None
        self.other: Exchange | None = None

    @precondition(lambda self: self.other is None)
    @rule(chance=CHANCE)
    def somebody_is_about_to_come_between(self, chance: Any) -> None:
        engine = self.pick(chance)
        self.other = chance.choice(
            [engine.sent[-1], engine.ask(), engine.ask(admit=(self.wish(chance.choice(STEPS)),))]
        )

    def exchange(self, ask: Exchange) -> tuple[bool, ExchangeAnswer]:
        other, self.other = self.other, None
        if other is None:
            return super().exchange(ask)
        return True, self.store.exchange(ask, lambda: self.store.exchange(other))


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRacedLedger = RacedLedger.TestCase
TestRacedLedger.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

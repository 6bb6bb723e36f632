"""Runs a plan from its first exchange to its report: wait for news, advance the steps, tell the ledger, again."""

from __future__ import annotations

import contextlib
import math
import queue
import random
import time
from collections.abc import Callable, Generator

from ensemble.agents.port import Reply
from ensemble.contract.exchange import CloseRun, ExchangeAnswer, Reached, Role
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.engine.attempts.calls import Calls, Known, PlaceGiven, Replied, Said
from ensemble.engine.attempts.falling import Falling
from ensemble.engine.attempts.hosts import HOSTS, Hosts
from ensemble.engine.attempts.preparing import scope_of
from ensemble.engine.attempts.settling import Settling
from ensemble.engine.attempts.streaming import Streaming
from ensemble.engine.carrying import ESTIMATED
from ensemble.engine.errors import RunTakenOver
from ensemble.engine.events import Closing, Event, Report
from ensemble.engine.ledger.beside import Beside
from ensemble.engine.ledger.following import follow
from ensemble.engine.ledger.heeding import Heeding
from ensemble.engine.ledger.telling import Teller
from ensemble.engine.ports import Context, Ledger, LedgerUnavailable, Runner
from ensemble.engine.recording import ANSWER_CHARS
from ensemble.engine.reporting import replayed_report, report, run_status
from ensemble.engine.request import RunRequest
from ensemble.engine.scheduling.ending import GRACE_S, Endings
from ensemble.engine.scheduling.scheduler import Scheduler
from ensemble.engine.scheduling.uncertain import RECONCILE
from ensemble.engine.state import RunState
from ensemble.engine.steps import Phase
from ensemble.engine.watching import Watching
from ensemble.plan.answer import compose
from ensemble.plan.joins import SkipReason

__all__ = ["run"]

RENEW_S = 10.0
"""An idle engine renews its lease this often, or three times a lease where that is shorter."""
TOGETHER_S = 0.005
"""How long the end of an attempt waits for others to be told with, as long as nothing has to be asked: what was started
side by side often ends within a few milliseconds."""
MOST_AT_ONCE = 10_000
"""How much of what calls have to say is taken in before it is told and deadlines are looked at."""


def run(
    request: RunRequest,
    *,
    ledger: Ledger,
    runner: Runner,
    hosts: Hosts = HOSTS,
    context: Context = ESTIMATED,
    chance: Callable[[], float] = random.random,
) -> Generator[Event, None, Report]:
    """Run *request*, yielding what happens, and return how it ended.

    Closing the generator early cancels every call that is out.

    Raises:
        RunTakenOver: another call with the same run_key owns the run now.
        RunStillGoing: another call with the same run_key runs it, and our deadline passed while we waited.
        LedgerUnavailable: the ledger does not answer and the run may not go on without it.

    """
    engine = _Engine(request, ledger, runner, hosts, context, chance)
    try:
        return (yield from engine.conduct())
    finally:
        engine.stop()


class _Engine:
    def __init__(  # noqa: PLR0917 -- each stands in a place of its own
        self,
        request: RunRequest,
        ledger: Ledger,
        runner: Runner,
        hosts: Hosts,
        context: Context,
        chance: Callable[[], float],
    ) -> None:
        self.state = RunState(request, context)
        self.ledger = ledger
        self.runner = runner
        self.calls = Calls(runner)
        self.scheduler = Scheduler(self.state, self.calls, hosts)
        self.teller = Teller(self.state, ledger)
        self.streaming = Streaming(self.state)
        falling = Falling(self.state, ledger, self.scheduler.prepared)
        settling = Settling(self.state, chance, falling)
        self.endings = Endings(self.state, self.calls, self.scheduler, settling, self.streaming)
        self.heeding = Heeding(self.state, self.calls, self.scheduler, self.streaming, self.endings, falling)
        self.watching = Watching(self.state)

    def conduct(self) -> Generator[Event, None, Report]:
        """Open the run, then go round until every step has ended, then close it."""
        self.scheduler.advance()
        stored = yield from self._open()
        if stored is not None:
            return stored
        while True:
            self.endings.keep_deadlines()
            self.endings.heed_failures()
            self.scheduler.advance()
            self.endings.drop_unneeded()
            self.heeding.settle_uncertain()
            while not self.state.all_done() and self._has_news():
                self._accept(self.teller.exchange(self.scheduler.prepared))
                self.scheduler.advance()
                self.endings.drop_unneeded()
                self.heeding.settle_uncertain()
            self.endings.heed_failures()
            if self.state.all_done():
                break
            time.sleep(0)  # The calls just started go out before anything is said of them: saying it takes longer.
            yield from self.watching.tell()
            self._listen()
        return (yield from self._close())

    def stop(self) -> int:
        """Cancel what is out, leave every place; return how many calls would not end."""
        self.scheduler.withdraw()
        return self.calls.end_all()

    def _open(self) -> Generator[Event, None, Report | None]:
        """Open the run, or follow whoever has it; return the answer if it was given before."""
        answer = self._ask_to_open()
        while answer.run.role is Role.FOLLOWER:
            self.scheduler.step_back()  # the owner may need the very places we hold
            run_id = answer.run.run_id
            stored = yield from follow(self.state, self.ledger, run_id, self.watching.tell)
            if stored is not None:
                return replayed_report(self.state, run_id, stored)
            self.scheduler.advance()
            with contextlib.suppress(LedgerUnavailable):  # then it follows on: only the ledger knows if the owner lives
                answer = self._ask_to_open()
        if answer.run.role is Role.FINISHED and answer.stored is not None:
            return replayed_report(self.state, answer.run.run_id, answer.stored)
        self._accept(answer)
        return None

    def _ask_to_open(self) -> ExchangeAnswer:
        answer = self.teller.open(self.scheduler.prepared)
        self.state.trace_id = answer.run.trace_id or self.state.trace_id  # a run keeps the trace it began in
        self.state.run_url = answer.run.url or ""
        return answer

    def _accept(self, answer: ExchangeAnswer) -> None:
        """Do what the ledger says, now that it has been told."""
        self.scheduler.told()
        if answer.run.role in (Role.SUPERSEDED, Role.FOLLOWER):
            self._book_what_is_out()
            raise RunTakenOver(RunTakenOver.__doc__)
        self.state.run_id, self.state.epoch = answer.run.run_id, answer.run.epoch
        self.state.lease_s = answer.run.lease_ms / 1000 or self.state.lease_s
        if answer.run.cancelled or answer.run.role is Role.FINISHED:
            self.endings.cut_short(RunStatus.CANCELLED, "The run was cancelled from outside.")
            return
        self.heeding.heed(answer)

    def _book_what_is_out(self) -> None:
        """End the calls of a run that is somebody else's now, and book what they may have used."""
        self._hear_all()
        for step in self.state.in_phase(Phase.RUNNING):
            self.endings.give_up(step, Reply(outcome=Outcome.CANCELLED, message="Another call took the run over."))
        if self.state.settle:
            with contextlib.suppress(LedgerUnavailable):  # they are booked at their estimate then
                self.teller.exchange({})

    def _has_news(self) -> bool:
        """Whether there is something to ask, or to tell that may not wait for more to be told with it."""
        now = time.monotonic()
        if self.state.ended or self.state.phases.count(Phase.ASKING):
            return True
        return bool(self.state.reached) or now >= min(self._renewal_s(), self._outcomes_due_s())

    def _outcomes_due_s(self) -> float:
        """Return when the ledger has to be told of the attempts that have ended, by the monotonic clock."""
        if not self.state.settle:
            return math.inf
        first = self.state.settle[0]
        return self.state.started_s + (first.started_ms + first.took_ms) / 1000 + TOGETHER_S

    def _listen(self) -> None:
        """Wait until a call has something to say or something is due; take in all there is."""
        due = min(
            self.scheduler.next_due_s() + GRACE_S,
            self._renewal_s(),
            self._outcomes_due_s(),
            self.watching.due_s(),
        )
        with contextlib.suppress(queue.Empty):
            self._take_in(self.calls.inbox.get(timeout=max(0.0, due - time.monotonic())))
        self._hear_all()
        self.scheduler.wake(time.monotonic())

    def _hear_all(self) -> None:
        """Take in what has been said, without waiting for more."""
        with contextlib.suppress(queue.Empty):
            for _ in range(MOST_AT_ONCE):
                self._take_in(self.calls.inbox.get_nowait())

    def _renewal_s(self) -> float:
        """Return when the lease wants renewing, by the monotonic clock."""
        return self.teller.last_s + min(RENEW_S, self.state.lease_s / 3)

    def _take_in(self, item: Replied | PlaceGiven | Said | Known) -> None:
        if isinstance(item, PlaceGiven):
            self.scheduler.given(item)
            return
        step = self.state.steps[item.step]
        flight = step.flight
        if flight is None or flight.ticket != item.ticket:
            return  # given up before it spoke
        if isinstance(item, Said):
            self.streaming.hear(step, item.ticket, item.piece)
            return
        if isinstance(item, Known):
            if item.remote.app_id or self.state.request.plan.on_uncertain(step.step) == RECONCILE:
                self.state.reached.append(Reached(ticket=item.ticket, remote=item.remote))
            return
        self.calls.landed(flight)
        self.scheduler.leave_place(step)
        self.endings.settle(step, flight, item.reply)

    def _close(self) -> Generator[Event, None, Report]:
        state = self.state
        status = run_status(
            state.results(),
            cut=self.endings.cut,
            fail_fast=state.request.fail_fast,
            working=state.request.plan.working(),
            incomplete=any(state.steps[step.id].incomplete for step in state.request.plan.steps),
        )
        left = self.calls.end_all()
        if left:
            state.warn(f"{left} cancelled calls did not end within a second and were left behind.")
        left_out = [step.step.id for step in state.steps.values() if step.skipped is SkipReason.CONDITION]
        answer, warnings = compose(state.request.plan, scope_of(state), left_out)
        state.warn(*warnings)
        self.streaming.judge(answer)
        drafted = report(state, status, answer)
        close = CloseRun(status=status, answer=answer[:ANSWER_CHARS], warnings=state.warnings)
        with Beside(self.runner, "ensemble-close", lambda: self._tell_the_end(close)) as telling:
            # What there is to say takes about as long to write as the ledger takes to answer.
            yield from self.watching.tell()
            yield Closing(drafted)
        if telling.result().run.role is not Role.OWNER:
            raise RunTakenOver(RunTakenOver.__doc__)
        state.say(f"run {status}")
        yield from self.watching.tell()
        return drafted

    def _tell_the_end(self, close: CloseRun) -> ExchangeAnswer:
        answer = self.teller.exchange({}, close)
        self.scheduler.told()
        return answer

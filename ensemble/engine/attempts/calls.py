"""The calls that are out: starting them, hearing from them, giving them up."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass, replace

from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome
from ensemble.contract.plain import plain
from ensemble.engine.ports import Job, Runner
from ensemble.engine.steps import Flight, Phase, StepRun

__all__ = ["Calls", "Known", "PlaceGiven", "Replied", "Said"]

GIVE_UP_S = 1.0
"""How long a cancelled call may take to end before it is abandoned."""


@dataclass(frozen=True, slots=True)
class Replied:
    """A call ended."""

    step: str
    ticket: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class PlaceGiven:
    """A place at a host, waited for, was given."""

    step: str
    host: str


@dataclass(frozen=True, slots=True)
class Said:
    """A call's agent said a piece of its answer."""

    step: str
    ticket: str
    piece: str


@dataclass(frozen=True, slots=True)
class Known:
    """A call's agent said what it calls the run behind the call."""

    step: str
    ticket: str
    remote: Remote


class Calls:
    """Runs calls beside the engine; what they have to say arrives in :attr:`inbox`."""

    def __init__(self, runner: Runner) -> None:
        """Begin with no call out."""
        self.inbox: queue.SimpleQueue[Replied | PlaceGiven | Said | Known] = queue.SimpleQueue()
        self._runner = runner
        self._ending: list[tuple[Job, float]] = []
        self._out: list[Flight] = []

    def start(self, step: StepRun, agent: Agent, call: Call, timeout_s: float, *, cut_by_run: bool) -> None:
        """Send *step*'s call on its way; it may take *timeout_s*."""
        ticket, name = step.ticket, step.step.id
        scope = CallScope(
            timeout_s,
            lambda piece: self.inbox.put(Said(name, ticket, piece)),
            lambda remote: self.inbox.put(Known(name, ticket, remote)),
        )
        now = time.monotonic()
        flight = Flight(ticket, scope, started_s=now, ends_s=now + timeout_s, cut_by_run=cut_by_run)

        def work() -> None:
            try:
                reply = agent.call(call, scope)
            except Exception as error:  # noqa: BLE001 - the border: a fault of ours must not look like silence
                reply = Reply(outcome=Outcome.UNAVAILABLE, message=f"Ensemble itself failed: {type(error).__name__}.")
            self.inbox.put(Replied(name, ticket, _sayable(reply)))

        step.phase = Phase.RUNNING
        step.attempts += 1
        step.first_s = now if step.first_s is None else step.first_s
        step.flight = flight
        self._out.append(flight)
        flight.job = self._runner.start(f"ensemble-{name}", work)

    def landed(self, flight: Flight) -> None:
        """Forget a call that replied."""
        self._out.remove(flight)

    def give_up(self, flight: Flight) -> None:
        """Cancel a call; nobody waits for it any more."""
        self._out.remove(flight)
        flight.scope.cancel()
        if flight.job is not None:
            flight.job.cancel()
            self._ending.append((flight.job, time.monotonic() + GIVE_UP_S))

    def end_all(self) -> int:
        """Cancel what is out and give what was cancelled its moment to end; return how many calls had to be left."""
        for flight in list(self._out):
            self.give_up(flight)
        while self._ending and max(until for _, until in self._ending) > time.monotonic():
            self._ending = [(job, until) for job, until in self._ending if not job.ended()]
            if self._ending:
                time.sleep(0.005)  # a poll with a bound: a thread or greenlet has no event for its own end
        left = sum(not job.ended() for job, _ in self._ending)
        self._ending.clear()
        return left


def _sayable(reply: Reply) -> Reply:
    """Return *reply* so that every part of it can be written as JSON: half characters and the like come from models."""
    return replace(
        reply,
        text=plain(reply.text),
        data=plain(reply.data),
        sources=plain(reply.sources),
        message=plain(reply.message),
        warnings=plain(reply.warnings),
    )

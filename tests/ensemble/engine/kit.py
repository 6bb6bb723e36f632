"""Scripted agents and a shorthand for runs, for tests of the engine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.carrying import ESTIMATED
from ensemble.engine.events import Event, Report
from ensemble.engine.ledger.book import Book
from ensemble.engine.ports import Context, Ledger
from ensemble.engine.request import RunRequest
from ensemble.engine.run import run
from ensemble.engine.threads import ThreadRunner
from ensemble.plan.reading.plan import read_plan

type Script = Sequence[Reply | Callable[[Call, CallScope], Reply]]

HEX = "0123456789abcdef"


def good(text: str = "fine", tokens: int = 10, **data: Any) -> Reply:
    """Return a reply as a healthy agent gives it."""
    return Reply(outcome=Outcome.SUCCEEDED, text=text, data=data or {"answer": text}, usage=Usage(tokens=tokens))


def bad(
    outcome: Outcome = Outcome.AGENT_FAILED, *, sent: bool = True, retry: bool = True, message: str = "broke"
) -> Reply:
    """Return a reply of an agent that did not do it."""
    return Reply(outcome=outcome, message=message, retry_allowed=retry, sent=sent, usage=Usage(tokens=0))


def slow(seconds: float, reply: Reply | None = None) -> Callable[[Call, CallScope], Reply]:
    """Return a script that takes its time, and ends early when its call is cancelled."""

    def take(_call: Call, scope: CallScope) -> Reply:
        ended = threading.Event()
        scope.on_cancel(ended.set)
        ended.wait(seconds)
        return reply or good()

    return take


def stuck(release: threading.Event) -> Callable[[Call, CallScope], Reply]:
    """Return a script that hears no cancel and goes on until *release* is set."""

    def hang(_call: Call, _scope: CallScope) -> Reply:
        release.wait(30)
        return good()

    return hang


class Scripted:
    """An agent that answers by its script, the last line for ever; it remembers how it was called."""

    def __init__(self, name: str, script: Script = (), host: str = "http://one") -> None:
        """Answer by *script*, or echo the query where there is none."""
        self.identity = f"api:{host}/v1#{name}"
        self.host = host
        self.calls: list[Call] = []
        self.running = self.peak = 0
        self._script = list(script)
        self._lock = threading.Lock()

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Answer with the next line of the script."""
        with self._lock:
            number = len(self.calls)
            self.calls.append(call)
            self.running += 1
            self.peak = max(self.peak, self.running)
        try:
            line = self._script[min(number, len(self._script) - 1)] if self._script else good(f"echo {call.query}")
            return line if isinstance(line, Reply) else line(call, scope)
        finally:
            with self._lock:
                self.running -= 1


class Played:
    """What came of a run."""

    def __init__(self, report: Report, events: list[Event], seconds: float) -> None:
        """Keep the report, every event and the wall time."""
        self.report = report
        self.events = events
        self.seconds = seconds
        self.by_step = {result.step: result for result in report.results}

    def statuses(self) -> dict[str, str]:
        """Return each step's status by its id."""
        return {step: result.status.value for step, result in self.by_step.items()}


def request(plan: Any, agents: Mapping[str, Agent], task: str = "do it", **options: Any) -> RunRequest:
    """Return a request to run *plan* (any form) with *agents* by name."""
    read = read_plan(plan, known=tuple(agents), inputs=options.get("inputs", {}))
    return RunRequest(plan=read, agents=agents, task=task, **options)


def play(
    plan: Any,
    agents: Mapping[str, Agent],
    *,
    ledger: Ledger | None = None,
    hosts: Hosts | None = None,
    context: Context = ESTIMATED,
    chance: float = 0.0,
    **options: Any,
) -> Played:
    """Run to the end with real threads and, if none is given, a fresh book; *chance* 0 makes retries immediate."""
    begun = time.monotonic()
    conducting = run(
        request(plan, agents, **options),
        ledger=ledger or Book(),
        runner=ThreadRunner(),
        hosts=hosts or Hosts(),
        context=context,
        chance=lambda: chance,
    )
    events: list[Event] = []
    while True:
        try:
            events.append(next(conducting))
        except StopIteration as ended:
            return Played(ended.value, events, time.monotonic() - begun)


def team(*names: str) -> dict[str, Agent]:
    """Return healthy agents of these names."""
    return {name: Scripted(name) for name in names}


def chain(*names: str) -> dict[str, object]:
    """Return a plan that runs them one after another."""
    return {"pattern": "sequential", "agents": list(names)}


def side_by_side(*names: str, **more: object) -> dict[str, object]:
    """Return a plan that runs them at once."""
    return {"pattern": "parallel", "agents": list(names), **more}

"""Runs made by hand, attempt by attempt, for tests of the pages that show them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any

from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import (
    AdmissionAsk,
    CloseRun,
    Decision,
    Exchange,
    ExchangeAnswer,
    OpenRun,
    Parent,
    PlannedStep,
    Settlement,
)
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage

__all__ = ["PUBLIC_URL", "STEPS", "Run", "ended", "failed", "identity", "result", "run_tenant", "shared"]


def identity(agent: str) -> str:
    """Return what an agent of this name is."""
    return f"api:http://dify.example/v1#{sha256(agent.encode()).hexdigest()[:16]}"


STEPS: dict[str, tuple[str, ...]] = {"market": (), "rivals": (), "report": ("market", "rivals")}
PUBLIC_URL = "https://ops.example/some/folder"

type Tell = Callable[[str], str]
"""Takes an exchange and returns its answer, both as JSON."""


def result(step: str, text: str = "found", **more: Any) -> StepResult:
    """Return that a step succeeded."""
    given = {"agent": "market", "status": StepStatus.SUCCEEDED, "source": Source.AGENT, "attempts": 1, **more}
    return StepResult(step=step, text=text, **given)


def failed(step: str, message: str, code: Outcome = Outcome.AGENT_FAILED, **more: Any) -> StepResult:
    """Return that a step failed."""
    given = {"agent": "market", "status": StepStatus.FAILED, "attempts": 1, **more}
    return StepResult(step=step, error=ErrorInfo(code=code, message=message), **given)


class Run:
    """A run that a test conducts in an engine's place."""

    def __init__(self, tell: Tell, run_id: str = "") -> None:
        """Speak to a ledger by *tell*."""
        self._tell = tell
        self.run_id, self.owner = run_id or uuid.uuid4().hex, uuid.uuid4().hex
        self.trace_id = ""
        self.epoch = 1
        self._out: dict[str, str] = {}
        self.took = 7
        """How long each attempt takes, milliseconds."""

    def open(
        self, steps: Mapping[str, Iterable[str]], task: str = "the task", *, agent: str = "market", **more: Any
    ) -> ExchangeAnswer:
        """Open it with *steps*: step → those it waits for."""
        self.trace_id = more.pop("trace_id", "") or uuid.uuid4().hex
        groups = more.pop("groups", ())
        planned = tuple(
            PlannedStep(
                id=step, agent=agent, identity=None if step in groups else identity(agent), depends_on=tuple(before)
            )
            for step, before in steps.items()
        )
        run_key = more.pop("run_key", self.run_id)
        opening = OpenRun(
            run_key=run_key, fingerprint="f" * 64, trace_id=self.trace_id, task=task, steps=planned, **more
        )
        answer = self._say(epoch=None, open=opening)
        self.run_id, self.epoch = answer.run.run_id, answer.run.epoch
        return answer

    def call(self, *steps: str, agent: str = "market", attempt: int = 1, content: str = "do it") -> None:
        """Send an attempt of each of *steps* out."""
        asks = []
        for step in steps:
            self._out[step] = uuid.uuid4().hex
            asks.append(
                AdmissionAsk(
                    ticket=self._out[step],
                    step=step,
                    agent=agent,
                    identity=identity(agent),
                    attempt=attempt,
                    timeout_ms=60_000,
                    max_tokens=100,
                    content=content,
                )
            )
        answer = self._say(admit=tuple(asks))
        assert {each.decision for each in answer.admissions} == {Decision.ADMITTED}, answer.admissions

    def end(
        self, step: str, outcome: Outcome = Outcome.SUCCEEDED, told: StepResult | None = None, tokens: int = 10
    ) -> None:
        """Settle a step's attempt; *told* is the step's result where it ended the step."""
        self.end_all({step: told}, outcome, tokens)

    def end_all(
        self, told: Mapping[str, StepResult | None], outcome: Outcome = Outcome.SUCCEEDED, tokens: int = 10
    ) -> None:
        """Settle an attempt of each step in one exchange."""
        news = tuple(
            Settlement(
                ticket=self._out.pop(step),
                step=step,
                outcome=outcome,
                took_ms=self.took,
                usage=Usage(tokens=tokens),
                error=None if each is None else each.error,
                result=each,
            )
            for step, each in told.items()
        )
        self._say(settle=news)

    def skip(self, told: StepResult) -> None:
        """Tell of a step that ended without an attempt."""
        self._say(ended=(told,))

    def close(
        self, status: RunStatus = RunStatus.SUCCEEDED, answer: str = "found", warnings: tuple[str, ...] = ()
    ) -> None:
        """Close it."""
        self._say(close=CloseRun(status=status, answer=answer, warnings=warnings))

    def ticket(self, step: str) -> str:
        """Return the ticket of a step's attempt that is out."""
        return self._out[step]

    def inside(self, other: Run, step: str) -> Parent:
        """Return the parent of a run that is opened inside a call of *other*."""
        return Parent(run_id=other.run_id, ticket=other.ticket(step)[:12])

    def _say(self, **said: Any) -> ExchangeAnswer:
        given: dict[str, Any] = {"run_id": self.run_id, "owner": self.owner, "epoch": self.epoch, **said}
        return ExchangeAnswer.model_validate_json(self._tell(Exchange(**given).model_dump_json()))


def shared(answer: ExchangeAnswer) -> str:
    """Return a link's page, as the way from the console's first one."""
    assert answer.run.url is not None
    before, _, token = answer.run.url.partition("/shared/")
    assert before == f"{PUBLIC_URL}/console"
    return f"shared/{token}"


def ended(run: Run, task: str = "the task") -> ExchangeAnswer:
    """Conduct a run in which one of three agents failed twice; return what its opening was answered."""
    answer = run.open(STEPS, task, pattern="plan", limits=Limits(tokens=1000), run_key=f"key of {run.run_id}")
    run.call("market", "rivals")
    run.end("market", told=result("market", "facts <b>bold</b>", started_ms=0, took_ms=7))
    run.end("rivals", Outcome.UNAVAILABLE)
    run.call("rivals", attempt=2)
    run.end("rivals", Outcome.AGENT_FAILED, failed("rivals", "it broke", attempts=2, started_ms=1, took_ms=9))
    run.call("report")
    run.end("report", told=result("report", "old", source=Source.CACHE, age_ms=61_000, stale=True, started_ms=9))
    run.close(RunStatus.PARTIAL, "the whole answer", ("careful",))
    return answer


def run_tenant(redis: Any, run: Run) -> str:
    """Return whose a run is, by the key it stands under."""
    (key,) = redis.keys(f"ens:*:run:{run.run_id}")
    return str(re.findall(r"{(.+)}", key)[0])

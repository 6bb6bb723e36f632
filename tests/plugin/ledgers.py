"""A sidecar with an off switch, and the exchanges of a run of two steps, for tests of what happens without one."""

from __future__ import annotations

from ensemble.contract.caching import CacheView
from ensemble.contract.exchange import (
    AdmissionAsk,
    CloseRun,
    Exchange,
    ExchangeAnswer,
    OpenRun,
    PlannedStep,
    Settlement,
)
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.problems import ProblemCode
from ensemble.contract.results import StepResult
from ensemble.contract.runs import RunView
from ensemble.engine.ledger.book import Book
from ensemble.rules.problems import Conflict, UnknownRun
from plugin.errors import SidecarRefused

RUN, OWNER = "a" * 32, "b" * 32
STEPS = ("one", "two")


class Sidecar:
    """A ledger as the sidecar is one, with an off switch."""

    durable = True

    def __init__(self) -> None:
        """Be there."""
        self.kept = Book()
        self.away: Exception | None = None
        self.asked = 0

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Answer, unless away."""
        self.asked += 1
        if self.away is not None:
            raise self.away
        try:
            return self.kept.exchange(ask)
        except UnknownRun as error:
            raise SidecarRefused(str(error), ProblemCode.NOT_FOUND) from None
        except Conflict as error:
            raise SidecarRefused(str(error), ProblemCode.CONFLICT) from None

    def forget(self) -> None:
        """Lose everything, as a store does whose disk was not written."""
        self.kept = Book()

    def run(self, run_id: str) -> RunView:
        """Answer, unless away."""
        if self.away is not None:
            raise self.away
        return self.kept.run(run_id)

    def cached(self, key: str) -> CacheView:
        """Answer, unless away."""
        if self.away is not None:
            raise self.away
        return self.kept.cached(key)


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def opening(*tickets: AdmissionAsk, run_id: str = RUN, owner: str = OWNER, run_key: str = "key") -> Exchange:
    """Return the ask that opens a run of two steps."""
    steps = tuple(PlannedStep(id=step, agent=step, identity=f"app:{step}") for step in STEPS)
    opened = OpenRun(run_key=run_key, fingerprint="f" * 64, trace_id="t", steps=steps)
    return Exchange(run_id=run_id, owner=owner, open=opened, admit=tickets)


def wish(step: str, ticket: str) -> AdmissionAsk:
    """Return the ask for an attempt at *step*."""
    return AdmissionAsk(ticket=ticket * 32, step=step, agent=step, identity=f"app:{step}", timeout_ms=1000)


def news(step: str, ticket: str) -> Settlement:
    """Return the settlement of a succeeded attempt."""
    result = StepResult(
        step=step, agent=step, status=StepStatus.SUCCEEDED, text=f"{step} done", source=Source.AGENT, attempts=1
    )
    return Settlement(ticket=ticket * 32, step=step, outcome=Outcome.SUCCEEDED, took_ms=5, result=result)


def going_on(epoch: int, **parts: object) -> Exchange:
    """Return a later exchange of the same run."""
    return Exchange.model_validate({"run_id": RUN, "owner": OWNER, "epoch": epoch, **parts})


CLOSE = CloseRun(status=RunStatus.SUCCEEDED, answer="all done")

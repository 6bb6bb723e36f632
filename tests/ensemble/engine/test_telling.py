"""Exchanges that would be too long for one request are parted, and nothing is told twice or left out."""

from __future__ import annotations

from ensemble.contract.caching import CacheView
from ensemble.contract.exchange import CloseRun, Exchange, ExchangeAnswer
from ensemble.contract.outcomes import RunStatus, StepStatus
from ensemble.contract.results import StepResult
from ensemble.contract.runs import RunView
from ensemble.engine.ledger.book import Book
from ensemble.engine.ledger.telling import Teller
from ensemble.engine.state import RunState
from tests.ensemble.engine.kit import Scripted, good, play, request, team

MIB = 1024 * 1024


class Scales:
    """A book that weighs what it is told."""

    durable = False

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.book = Book()
        self.told: list[str] = []
        self.ended: list[str] = []
        self.heaviest = 0

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Weigh *ask* and pass it on."""
        self.heaviest = max(self.heaviest, len(ask.model_dump_json()))
        self.told += [settlement.ticket for settlement in ask.settle]
        self.ended += [result.step for result in ask.ended]
        return self.book.exchange(ask)

    def run(self, run_id: str) -> RunView:
        """Return the run."""
        return self.book.run(run_id)

    def cached(self, key: str) -> CacheView:
        """Return what is kept."""
        return self.book.cached(key)


def test_many_long_results_at_once_are_told_in_parts() -> None:
    scales, agent = Scales(), Scripted("a", [good("x" * (3 * MIB), answer="")])
    plan = {"steps": [{"id": f"s{number}", "agent": "a"} for number in range(20)]}

    played = play(plan, {"a": agent}, ledger=scales, max_parallel=20, host_parallel=20)

    assert played.report.status is RunStatus.SUCCEEDED
    assert len(scales.told) == len(set(scales.told)) == 20
    assert scales.heaviest < 32 * MIB


def test_many_long_groups_that_end_at_once_are_told_in_parts() -> None:
    """A group's result goes on record although no attempt of its own ended it."""
    scales = Scales()
    state = RunState(request({"steps": [{"id": f"s{n}", "for_each": [1], "agent": "a"} for n in range(20)]}, team("a")))
    teller = Teller(state, scales)
    state.epoch = teller.open({}).run.epoch
    long = "x" * (3 * MIB)
    for step in list(state.steps.values()):
        result = StepResult(step=step.step.id, agent="a", status=StepStatus.SUCCEEDED, text=long)
        state.finish(step, result)

    teller.exchange({})

    assert scales.ended == [f"s{n}" for n in range(20)]
    assert (state.ended, len(scales.book.run(state.run_id).results)) == ([], 20)
    assert scales.heaviest < 32 * MIB


class Cancelling(Scales):
    """Its runs are cancelled from outside as soon as they are open."""

    closed = False

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Say so in every answer."""
        answer = super().exchange(ask)
        self.closed = self.closed or ask.close is not None
        return answer.model_copy(update={"run": answer.run.model_copy(update={"cancelled": ask.open is None})})


def test_a_run_cancelled_while_its_end_is_told_in_parts_is_closed_all_the_same() -> None:
    """Its engine is about to leave: whoever asks under its run_key would wait until its lease ends."""
    ledger = Cancelling()
    state = RunState(request({"steps": [{"id": f"s{n}", "for_each": [1], "agent": "a"} for n in range(20)]}, team("a")))
    teller = Teller(state, ledger)
    state.epoch = teller.open({}).run.epoch
    for step in list(state.steps.values()):
        state.finish(step, StepResult(step=step.step.id, agent="a", status=StepStatus.SUCCEEDED, text="x" * (3 * MIB)))

    teller.exchange({}, CloseRun(status=RunStatus.SUCCEEDED, answer="done"))

    assert ledger.closed
    assert ledger.book.run(state.run_id).status is RunStatus.SUCCEEDED

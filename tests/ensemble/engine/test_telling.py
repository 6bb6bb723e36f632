"""Exchanges that would be too long for one request are parted, and nothing is told twice or left out."""

from __future__ import annotations

from ensemble.contract.exchange import Exchange, ExchangeAnswer
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.runs import RunView
from ensemble.engine.book import Book
from tests.ensemble.engine.kit import Scripted, good, play

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


def test_many_long_results_at_once_are_told_in_parts() -> None:
    scales, agent = Scales(), Scripted("a", [good("x" * (3 * MIB), answer="")])
    plan = {"steps": [{"id": f"s{number}", "agent": "a"} for number in range(20)]}

    played = play(plan, {"a": agent}, ledger=scales, max_parallel=20, host_parallel=20)

    assert played.report.status is RunStatus.SUCCEEDED
    assert len(scales.told) == len(set(scales.told)) == 20
    assert scales.heaviest < 32 * MIB


def test_many_long_groups_that_end_at_once_are_told_in_parts() -> None:
    """A group's result goes on record although no attempt of its own ended it."""
    scales, agent = Scales(), Scripted("a", [good("x" * MIB, answer="")])
    plan = {"steps": [{"id": f"s{number}", "for_each": [1, 2], "agent": "a"} for number in range(20)]}

    played = play(plan, {"a": agent}, ledger=scales, max_parallel=40, host_parallel=40)

    assert played.report.status is RunStatus.SUCCEEDED
    assert len(scales.ended) == len(set(scales.ended)) == 20
    assert scales.heaviest < 32 * MIB

"""What one run has told its ledger and heard from it: enough for a ledger that knows nothing of it to know it whole.

Kept for as long as the run is, as references to what the engine holds anyway. Telling a ledger what it knows already
changes nothing there: tickets are known by their ids, the first settlement of each wins.
"""

from __future__ import annotations

from typing import Any

from ensemble.contract.exchange import (
    AdmissionAsk,
    CloseRun,
    Decision,
    Exchange,
    ExchangeAnswer,
    OpenRun,
    Reached,
    Role,
    Settlement,
)
from ensemble.contract.results import StepResult

__all__ = ["Journal", "told_again"]


class Journal:
    """One run's, from its opening on."""

    def __init__(self) -> None:
        """Begin before the run was opened."""
        self.opening: OpenRun | None = None
        self._run_id = self._owner = ""
        self._admitted: dict[str, AdmissionAsk] = {}
        self._settled: dict[str, Settlement] = {}
        self._reached: dict[str, Reached] = {}
        self._ended: dict[str, StepResult] = {}
        self.close: CloseRun | None = None

    def tell(self, ask: Exchange) -> None:
        """Take down what *ask* tells, before anybody has answered."""
        self._run_id, self._owner = ask.run_id, ask.owner
        self.opening = ask.open or self.opening
        self.close = ask.close or self.close
        for news in ask.settle:
            self._settled.setdefault(news.ticket, news)
        self._reached.update({each.ticket: each for each in ask.reached})
        self._ended.update({result.step: result for result in ask.ended})

    def hear(self, ask: Exchange, answer: ExchangeAnswer) -> None:
        """Take down what was answered: which attempts are out, and which results stand already."""
        if answer.run.role is not Role.OWNER:
            return
        self._run_id = answer.run.run_id
        asks = {wish.ticket: wish for wish in ask.admit}
        for result in answer.kept:
            self._ended.setdefault(result.step, result)
        for admission in answer.admissions:
            if admission.decision is Decision.ADMITTED:
                self._admitted.setdefault(admission.ticket, asks[admission.ticket])
            elif admission.result is not None:
                self._ended.setdefault(admission.result.step, admission.result)

    def whole(self, ask: Exchange, *, run_key: str | None = None) -> Exchange:
        """Return *ask* for a ledger that may know nothing of the run, with all that came before it.

        *run_key*: under which it is opened there; None: its own.
        """
        opening = None if self.opening is None else told_again(self.opening)
        if opening is not None and run_key is not None:
            opening = opening.model_copy(update={"run_key": run_key})
        return ask.model_copy(update={"epoch": None, "open": opening, **self._told()})

    def hand_in(self, close: CloseRun) -> Exchange | None:
        """Return the whole run as one ask that ends with *close*; None for a run that was never opened anywhere."""
        if self.opening is None:
            return None
        opening = told_again(self.opening)
        ask = Exchange(run_id=self._run_id, owner=self._owner, open=opening, close=close)
        # Not checked: that there may be too much for one exchange is for the ledger to say. The run itself is over.
        return ask.model_copy(update=self._told())

    def _told(self) -> dict[str, Any]:
        return {
            "late": tuple(self._admitted.values()),
            "reached": tuple(self._reached.values()),
            "settle": tuple(self._settled.values()),
            "ended": tuple(self._ended.values()),
        }


def told_again(opening: OpenRun) -> OpenRun:
    """Return *opening* for a ledger that is told of a run not at its beginning, or in the place of another ledger.

    There, the call the run was opened in may be over by now, or unknown; the run goes on all the same.
    """
    if opening.parent is None:
        return opening
    return opening.model_copy(update={"parent": opening.parent.model_copy(update={"under_way": False})})

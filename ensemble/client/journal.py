"""What one run has told its ledger and heard from it: enough for a ledger that knows nothing of it to know it whole.

Kept for as long as the run is, as references to what the engine holds anyway. Telling a ledger what it knows already
changes nothing there: tickets are known by their ids, the first settlement of each wins. So a run of many attempts is
told in several exchanges, each far below what a ledger takes at once, and any of them may be sent again.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from pydantic_core import to_json

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

__all__ = ["MOST_AT_ONCE", "MOST_BYTES", "Journal", "told_again"]

MOST_AT_ONCE = 500
"""How many attempts and results one exchange tells of."""
MOST_BYTES = 4 * 1024 * 1024
"""How much of them, as JSON, unless one by itself is longer."""


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
        """Return *ask* for this process's own ledger, which takes any number at once, with all that came before it.

        *run_key*: under which it is opened there; None: its own.
        """
        opening = None if self.opening is None else told_again(self.opening)
        if opening is not None and run_key is not None:
            opening = opening.model_copy(update={"run_key": run_key})
        told = self._told(self._admitted | self._settled | self._reached, self._ended)
        return ask.model_copy(update={"epoch": None, "open": opening, **told})

    def again(self, ask: Exchange) -> tuple[Exchange, ...]:
        """Return asks for a ledger that may know nothing of the run: all that came before *ask*, and last itself."""
        opening = None if self.opening is None else told_again(self.opening)
        if opening is not None and ask.close is not None:
            opening = opening.model_copy(update={"afterwards": True})  # as the close itself, no part takes over a run
        *before, last = self._parts()
        bare = Exchange(run_id=ask.run_id, owner=ask.owner, open=opening)
        asks = [bare.model_copy(update=part) for part in before]
        return (*asks, ask.model_copy(update={"epoch": None, "open": opening, **last}))

    def hand_in(self, close: CloseRun) -> tuple[Exchange, ...]:
        """Return the whole run as asks the last of which ends with *close*; none for one that was opened nowhere."""
        if self.opening is None:
            return ()
        parts = self._parts()
        opening = told_again(self.opening).model_copy(update={"afterwards": True})
        bare = Exchange(run_id=self._run_id, owner=self._owner, open=opening)
        asks = [bare.model_copy(update=part) for part in parts]
        return (*asks[:-1], asks[-1].model_copy(update={"close": close}))

    def _parts(self) -> list[dict[str, Any]]:
        """Return all that was told in pieces of a size, at least one: attempts as they went out, then steps without."""
        tickets = _cut({ticket: self._bytes(ticket) for ticket in self._admitted | self._settled | self._reached})
        steps = _cut({step: len(to_json(result)) for step, result in self._ended.items()})
        pieces = [(each, ()) for each in tickets[:-1]] + [(tickets[-1], steps[0])] + [((), each) for each in steps[1:]]
        return [self._told(set(tickets), steps) for tickets, steps in pieces]

    def _told(self, tickets: Container[str], steps: Iterable[str]) -> dict[str, Any]:
        """Return what was told of some attempts, each kind in the order it was told in, and of some steps."""
        return {
            "late": tuple(each for ticket, each in self._admitted.items() if ticket in tickets),
            "reached": tuple(each for ticket, each in self._reached.items() if ticket in tickets),
            "settle": tuple(each for ticket, each in self._settled.items() if ticket in tickets),
            "ended": tuple(self._ended[step] for step in steps),
        }

    def _bytes(self, ticket: str) -> int:
        told = (self._admitted.get(ticket), self._reached.get(ticket), self._settled.get(ticket))
        return sum(len(to_json(each)) for each in told if each is not None)


def _cut(sizes: Mapping[str, int]) -> list[list[str]]:
    """Return the names in *sizes* in pieces that one exchange can tell, at least one."""
    pieces: list[list[str]] = [[]]
    size = 0
    for name, each in sizes.items():
        if pieces[-1] and (len(pieces[-1]) == MOST_AT_ONCE or size + each > MOST_BYTES):
            pieces.append([])
            size = 0
        pieces[-1].append(name)
        size += each
    return pieces


def told_again(opening: OpenRun) -> OpenRun:
    """Return *opening* for a ledger that is told of a run not at its beginning, or in the place of another ledger.

    There, the call the run was opened in may be over by now, or unknown; the run goes on all the same.
    """
    if opening.parent is None:
        return opening
    return opening.model_copy(update={"parent": opening.parent.model_copy(update={"under_way": False})})

"""A ledger that goes over to the process's own book when the sidecar is away, so that a run goes on (fail open).

What goes over is what the run can't do without: its opening, and the attempts under way. What was spent before is not
known to the book, so the run's budget begins anew there; breakers are judged by what this process has seen itself. What
the book takes down after that is not on the sidecar's record, so such a run can't be resumed. It stays with the book to
its end, even if the sidecar comes back meanwhile: two ledgers that both admit would spend twice.
"""

from __future__ import annotations

from collections.abc import Callable

from ensemble.contract.exchange import AdmissionAsk, Decision, Exchange, ExchangeAnswer, OpenRun, Role
from ensemble.contract.runs import RunView
from ensemble.engine.ports import Ledger
from plugin.errors import SidecarUnavailable

__all__ = ["AWAY_S", "Absence", "FallbackLedger"]

AWAY_S = 5.0
"""How long a sidecar that did not answer is left alone, seconds; meanwhile new runs begin with the book at once."""


class Absence:
    """Remembers, for all runs of the process, that a sidecar did not answer a moment ago."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Tell time by *clock*, in seconds that never go back."""
        self._clock = clock
        self._until = float("-inf")

    def note(self) -> None:
        """Take down that it did not answer just now."""
        self._until = self._clock() + AWAY_S

    def lasts(self) -> bool:
        """Whether it is still left alone."""
        return self._clock() < self._until


class FallbackLedger:
    """One run's ledger: the sidecar as long as it answers, then the book."""

    def __init__(self, sidecar: Ledger, book: Ledger, absence: Absence) -> None:
        """Serve one run."""
        self._sidecar = sidecar
        self._book = book
        self._absence = absence
        self._opening: OpenRun | None = None
        self._out: dict[str, AdmissionAsk] = {}
        self._taken_over: _TakenOver | None = None
        self.warnings: list[str] = []
        """What the builder is told once the run is over."""

    @property
    def durable(self) -> bool:
        """Whether the run is still on the sidecar's record."""
        return self._taken_over is None

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Ask the sidecar, or the book once the sidecar was away."""
        if self._taken_over is not None:
            return self._taken_over.exchange(ask)
        if ask.open is not None and self._absence.lasts():
            return self._go_over(ask, "The sidecar did not answer a moment ago.")
        try:
            answer = self._sidecar.exchange(ask)
        except SidecarUnavailable as error:
            self._absence.note()
            return self._go_over(ask, str(error))
        self._remember(ask, answer)
        return answer

    def run(self, run_id: str) -> RunView:
        """Return the run as it stands.

        Raises:
            SidecarUnavailable: also for a follower: somebody else runs it, and only the sidecar knows how it stands.

        """
        return (self._sidecar if self._taken_over is None else self._book).run(run_id)

    def _remember(self, ask: Exchange, answer: ExchangeAnswer) -> None:
        """Keep what the book would need: how the run was opened, and which attempts are out."""
        if ask.open is not None:
            self._opening = ask.open
        for settlement in ask.settle:
            self._out.pop(settlement.ticket, None)
        asks = {admission.ticket: admission for admission in ask.admit}
        for admission in answer.admissions:
            if admission.decision is Decision.ADMITTED and answer.run.role is Role.OWNER:
                self._out[admission.ticket] = asks[admission.ticket]

    def _go_over(self, ask: Exchange, why: str) -> ExchangeAnswer:
        self.warnings.append(
            f"{why} The run went on without it, so it can't be resumed, and its budget and breakers counted only what "
            "this process did since then."
        )
        self._taken_over = _TakenOver(self._book)
        if ask.open is None and self._opening is not None:
            self._taken_over.open(ask, self._opening, tuple(self._out.values()))
        return self._taken_over.exchange(ask)


class _TakenOver:
    """The book, speaking to an engine that began with the sidecar."""

    def __init__(self, book: Ledger) -> None:
        self._book = book
        self._epochs: tuple[int, int] | None = None
        self._unknown: frozenset[str] = frozenset()

    def open(self, ask: Exchange, opening: OpenRun, out: tuple[AdmissionAsk, ...]) -> None:
        """Open *ask*'s run in the book, with the attempts that are *out* already.

        The run goes by its own id there: found by its key, it could turn out to be another call's.
        """
        opened = opening.model_copy(update={"run_key": ask.run_id})
        begin = Exchange(run_id=ask.run_id, owner=ask.owner, open=opened, admit=out)
        answer = self._book.exchange(begin)
        self._epochs = (ask.epoch or 1, answer.run.epoch)
        admitted = {each.ticket for each in answer.admissions if each.decision is Decision.ADMITTED}
        self._unknown = frozenset(each.ticket for each in out) - admitted

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        if self._epochs is None:
            return self._book.exchange(ask)
        theirs, ours = self._epochs
        answer = self._book.exchange(self._translated(ask, ours))
        return answer.model_copy(update={"run": answer.run.model_copy(update={"epoch": theirs})})

    def _translated(self, ask: Exchange, epoch: int) -> Exchange:
        """Return *ask* in the book's terms: its epoch, and no news of attempts it refused to take over.

        Their results are kept as those of steps that ended without an attempt.
        """
        known = tuple(each for each in ask.settle if each.ticket not in self._unknown)
        ended = tuple(each.result for each in ask.settle if each.ticket in self._unknown and each.result)
        holding = tuple(ticket for ticket in ask.holding if ticket not in self._unknown)
        update = {"epoch": epoch, "open": None, "settle": known, "ended": (*ask.ended, *ended), "holding": holding}
        return ask.model_copy(update=update)

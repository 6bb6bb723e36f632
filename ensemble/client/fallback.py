"""A ledger that keeps a run going, or ends it in words, when the sidecar is away.

*fail open*: the run goes over to the process's own book, with all it has told so far, and stays there to its end, even
if the sidecar comes back meanwhile: two ledgers that both admit would spend twice. The book knows the run's budget that
way; its breakers are judged by what this process has seen itself. Afterwards all of it is handed in to the sidecar.

*fail closed*: the run ends, naming the sidecar. What the sidecar had not heard yet is handed in afterwards as well, so
that a repeated call does not pay for it again.
"""

from __future__ import annotations

from collections.abc import Callable

from ensemble.client.errors import SidecarRefused, SidecarUnavailable
from ensemble.client.journal import Journal, told_again
from ensemble.contract.caching import CacheView
from ensemble.contract.exchange import CloseRun, Exchange, ExchangeAnswer, Role
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.problems import ProblemCode
from ensemble.contract.runs import RunView
from ensemble.engine.ports import Ledger

__all__ = ["AWAY_S", "Absence", "FallbackLedger"]

AWAY_S = 5.0
"""How long a sidecar that did not answer is left alone, seconds; meanwhile new runs begin with the book at once.

Not so runs with a run_key of their own: they may be on record, and asking costs less than paying twice.
"""

_FORGOTTEN = frozenset({ProblemCode.NOT_FOUND, ProblemCode.CONFLICT})
"""What a sidecar says whose store has lost the run, or its last second."""


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
    """One run's ledger: the sidecar as long as it answers, then the book, or an end."""

    def __init__(
        self,
        sidecar: Ledger,
        book: Ledger,
        absence: Absence,
        *,
        hand_in: Callable[[Ledger, tuple[Exchange, ...]], None],
        fail_open: bool = True,
    ) -> None:
        """Serve one run; what the sidecar missed goes to *hand_in*, with the sidecar."""
        self._sidecar = sidecar
        self._book = book
        self._absence = absence
        self._hand_in = hand_in
        self._fail_open = fail_open
        self._journal = Journal()
        self._owner = self._following = self._gone_over = self._owes = False
        self.warnings: list[str] = []
        """What the builder is told once the run is over."""

    @property
    def durable(self) -> bool:
        """Whether the run is still on the sidecar's record."""
        return not self._gone_over

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Ask the sidecar, or the book once the sidecar was away.

        Raises:
            SidecarUnavailable: the run fails closed, or follows another call's: then only the sidecar knows.

        """
        self._journal.tell(ask)
        answer = self._book.exchange(ask) if self._gone_over else self._asked(ask)
        self._journal.hear(ask, answer)
        self._owner = answer.run.role is Role.OWNER
        self._following = answer.run.role is Role.FOLLOWER
        return answer

    def run(self, run_id: str) -> RunView:
        """Return the run as it stands.

        Raises:
            SidecarUnavailable: also for a follower: somebody else runs it, and only the sidecar knows how it stands.

        """
        return (self._book if self._gone_over else self._sidecar).run(run_id)

    def cached(self, key: str) -> CacheView:
        """Return the answer kept under *key*; a sidecar that is away or knows no such thing has none.

        It is asked while a step waits for the word. One that was away a moment ago is not asked at all.
        """
        if self._gone_over:
            return self._book.cached(key)
        if self._absence.lasts():
            return CacheView(key=key)
        try:
            return self._sidecar.cached(key)
        except SidecarUnavailable:
            self._absence.note()
        except SidecarRefused:
            pass  # an older one
        return CacheView(key=key)

    def leave(self) -> None:
        """Take note that the tool's call is over: what the sidecar has not heard is handed in."""
        if not self._owes:
            return
        self._owes = False
        cut = CloseRun(status=RunStatus.FAILED, answer="", warnings=("The call ended before the run did.",))
        asks = self._journal.hand_in(self._journal.close or cut)
        if asks:
            self._hand_in(self._sidecar, asks)

    def _asked(self, ask: Exchange) -> ExchangeAnswer:
        if ask.open is not None and ask.open.run_key == ask.run_id and self._fail_open and self._absence.lasts():
            return self._without(ask, SidecarUnavailable("The sidecar did not answer a moment ago."))
        try:
            return self._told(ask)
        except SidecarUnavailable as error:
            self._absence.note()
            if self._following:
                raise
            return self._without(ask, error)

    def _told(self, ask: Exchange) -> ExchangeAnswer:
        """Ask the sidecar; one whose store has lost what it knew of the run is told everything once more."""
        try:
            return self._sidecar.exchange(ask)
        except SidecarRefused as error:
            if ask.open is not None or self._journal.opening is None or error.code not in _FORGOTTEN:
                raise
        *before, last = self._journal.again(ask)
        for part in before:
            self._sidecar.exchange(part)
        answer = self._sidecar.exchange(last)
        self.warnings.append("The sidecar's store had lost a part of this run; it was told everything once more.")
        return answer

    def _without(self, ask: Exchange, error: SidecarUnavailable) -> ExchangeAnswer:
        if not self._fail_open:
            self._owes = self._owner
            raise error
        self.warnings.append(
            f"{error} The run went on without it: its breakers counted only what this process saw, and until the sidecar "
            "is back and has been told of it, the run can't be resumed elsewhere."
        )
        self._gone_over = self._owes = True
        if ask.open is not None:
            return self._book.exchange(_unbudgeted(ask.model_copy(update={"open": told_again(ask.open)})))
        # By its own id there: found by its key, it could turn out to be another call's.
        return self._book.exchange(_unbudgeted(self._journal.whole(ask, run_key=ask.run_id)))


def _unbudgeted(ask: Exchange) -> Exchange:
    """Return *ask* without named budgets: the book has none. They are charged once the run is handed in."""
    if ask.open is None or not ask.open.budgets:
        return ask
    return ask.model_copy(update={"open": ask.open.model_copy(update={"budgets": ()})})

"""Waiting for the answer of a run that another engine has under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

from ensemble.contract.exchange import StoredAnswer
from ensemble.contract.outcomes import RunStatus
from ensemble.engine.errors import RunStillGoing
from ensemble.engine.events import Event
from ensemble.engine.ports import Ledger, LedgerUnavailable
from ensemble.engine.state import RunState

__all__ = ["follow"]

FIRST_LOOK_S, SLOWEST_LOOK_S = 0.2, 1.0
"""How often a follower looks: from the first, growing to the second."""


def follow(
    state: RunState, ledger: Ledger, run_id: str, tell: Callable[[], Generator[Event, None, None]]
) -> Generator[Event, None, StoredAnswer | None]:
    """Look at the run until it is closed, and return its answer; None once its owner's lease has ended.

    A ledger that does not answer is asked again: only it knows how the run stands, and nothing is started without it.

    Raises:
        RunStillGoing: our own deadline passed first. The run itself goes on.
        LedgerUnavailable: our own deadline passed while the ledger did not answer.

    """
    state.say(f"following run {run_id}, which another call with this run_key has under way")
    pause = FIRST_LOOK_S
    away: LedgerUnavailable | None = None
    while True:
        yield from tell()
        left = state.deadline_s - time.monotonic()
        if left <= 0:
            raise away or RunStillGoing(RunStillGoing.__doc__)
        time.sleep(min(pause, left))
        pause = min(SLOWEST_LOOK_S, pause * 1.5)
        try:
            view, away = ledger.run(run_id), None
        except LedgerUnavailable as error:
            away = error
            continue
        if view.status is not RunStatus.RUNNING:
            return StoredAnswer(
                status=view.status, answer=view.answer or "", warnings=view.warnings, results=view.results
            )
        if view.lease_ms == 0:
            return None

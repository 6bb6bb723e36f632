"""Closing a run, and telling what a closed one answered."""

from __future__ import annotations

from ensemble.contract.exchange import CloseRun, StoredAnswer
from ensemble.contract.outcomes import RunStatus
from ensemble.rules.addresses import ABOUT, ANSWER, run_at, run_hash, run_key_at
from ensemble.rules.happenings import RunClosed
from ensemble.rules.problems import Conflict
from ensemble.rules.records import About
from ensemble.rules.runs.losing import lose_open_attempts
from ensemble.rules.runs.working import Working

__all__ = ["CLOSED_TTL_MS", "close", "stored_answer"]

CLOSED_TTL_MS = 24 * 3_600_000
"""How long a run is kept after it was closed, milliseconds."""


def close(work: Working, closing: CloseRun) -> None:
    """Close an open run: what was told is kept, what is still under way is given up as lost.

    Raises:
        NotRead: as any look at the records.
        Conflict: *closing* says that the run is still running.

    """
    if closing.status is RunStatus.RUNNING:
        raise Conflict("close.status", "running is not an end", "say how the run ended")
    lose_open_attempts(work)
    work.slots.leave_all(work.run_id)
    work.run = work.run.model_copy(
        update={"status": closing.status, "closed_ms": work.now_ms, "lease_until_ms": work.now_ms}
    )
    work.draft.put(run_at(work.run_id, ANSWER), closing.model_dump_json())
    work.draft.expire(run_hash(work.run_id), CLOSED_TTL_MS)
    text = work.draft.text(run_at(work.run_id, ABOUT))
    about = None if text is None else About.model_validate_json(text)
    work.draft.tell(RunClosed(work.run_id, work.run, about))
    if about is not None:
        work.draft.expire(run_key_at(about.run_key, about.fingerprint).key, CLOSED_TTL_MS)


def stored_answer(work: Working) -> StoredAnswer:
    """Return what the caller of a closed run was told, with the results as they stand. Raises NotRead."""
    results = work.results()
    told = CloseRun.model_validate_json(work.draft.text(run_at(work.run_id, ANSWER)) or "")
    return StoredAnswer(status=told.status, answer=told.answer, warnings=told.warnings, results=results)

"""Runs ended or tidied from outside: an ask to cancel, and the sweep after an engine that is not heard of any more."""

from __future__ import annotations

from ensemble.contract.exchange import CloseRun
from ensemble.contract.outcomes import RunStatus
from ensemble.rules import lease
from ensemble.rules.addresses import LEASES, run_at
from ensemble.rules.lineage.below import cancel_below, is_cancelled
from ensemble.rules.problems import UnknownRun
from ensemble.rules.records import Run
from ensemble.rules.runs.closing import close
from ensemble.rules.runs.losing import lose_engine, lose_open_attempts
from ensemble.rules.runs.working import Working, counters_at
from ensemble.rules.slots.drafted import SLOTS_WANTED
from ensemble.rules.snapshot import Address, Changes, Draft, Snapshot

__all__ = ["cancel", "cancel_inside", "ending_wants", "sweep"]

CANCELLED = CloseRun(
    status=RunStatus.CANCELLED, answer="", warnings=("The run was cancelled while no engine was running it.",)
)


def ending_wants(run_id: str) -> tuple[Address, ...]:
    """Return what to read before the first decision of :func:`cancel`, :func:`cancel_inside` or :func:`sweep`."""
    return (run_at(run_id), *counters_at(run_id), *SLOTS_WANTED)


def cancel(run_id: str, snapshot: Snapshot) -> tuple[RunStatus, Changes]:
    """Ask for a run's end; return how it stands then, and what has to be written.

    Those below it, ``below.runs_to_cancel``, are to be ended by whoever calls this, by :func:`cancel_inside` one by one.

    As long as somebody runs it, it is for that engine to end its calls and close it. A run nobody runs is closed here.
    A run that is closed already stays as it is.

    Raises:
        NotRead: as any look at the records.
        UnknownRun: no such run is on record.

    """
    draft = Draft(snapshot)
    text = draft.text(run_at(run_id))
    if text is None:
        raise UnknownRun(run_id)
    work = Working(draft, run_id, Run.model_validate_json(text))
    if work.run.status is RunStatus.RUNNING:
        _ask_to_end(work)
    work.finish(new=False)
    return work.run.status, draft.changes()


def cancel_inside(above: str, run_id: str, snapshot: Snapshot) -> tuple[None, Changes]:
    """Ask for the end of a run that began below *above*, which was cancelled.

    A run that is gone, that was opened inside another call since, or whose run above was opened again, is left alone.

    Raises:
        NotRead: as any look at the records.

    """
    draft = Draft(snapshot)
    text = draft.text(run_at(run_id))
    run = None if text is None else Run.model_validate_json(text)
    if run is not None and run.status is RunStatus.RUNNING and above in run.above and is_cancelled(draft, above):
        work = Working(draft, run_id, run)
        _ask_to_end(work)
        work.finish(new=False)
    return None, draft.changes()


def _ask_to_end(work: Working) -> None:
    """Cancel a run that is under way, and close it where nobody would hear of that. Raises NotRead."""
    work.run = work.run.model_copy(update={"cancelled": True})
    work.slots.leave_all(work.run_id)
    cancel_below(work.draft, work.run_id)
    if lease.left_ms(work.run, work.now_ms) == 0:
        lose_engine(work)
        close(work, CANCELLED)


def sweep(run_id: str, snapshot: Snapshot) -> tuple[bool, Changes]:
    """Tidy a run whose lease may have ended; return whether it had, and what has to be written.

    Its attempts under way become uncertain: booked as the run wishes, their probes given back. The run itself stays
    open for an heir, unless somebody had asked for its end.

    Raises:
        NotRead: as any look at the records.

    """
    draft = Draft(snapshot)
    text = draft.text(run_at(run_id))
    run = None if text is None else Run.model_validate_json(text)
    if run is None or run.status is not RunStatus.RUNNING:
        draft.rank(LEASES, run_id, None)
        draft.check(run_at(run_id))
        return False, draft.changes()
    if lease.left_ms(run, draft.now_ms):
        return False, draft.changes()
    work = Working(draft, run_id, run)
    lose_engine(work)
    if run.cancelled:
        close(work, CANCELLED)
    else:
        lose_open_attempts(work)
    work.finish(new=False)
    draft.rank(LEASES, run_id, None)
    draft.check(run_at(run_id))
    return True, draft.changes()

"""Finds one engine's stretch of a run in the record of the run. Pure: what it lacks it asks to be read."""

from __future__ import annotations

from ensemble.contract.outcomes import RunStatus
from ensemble.rules.addresses import ABOUT, STEPS, run_at, run_hash
from ensemble.rules.problems import UnknownRun
from ensemble.rules.records import About, Run, Steps
from ensemble.rules.runs.views import attempts_of, results_of, run_and_about
from ensemble.rules.snapshot import EVERY, Address, Snapshot
from sidecar.traces.stretch import Stretch

__all__ = ["find_stretch", "stretch_wants"]


def stretch_wants(run_id: str, run: Run) -> tuple[Address, ...]:
    """Return what to read before :func:`find_stretch`."""
    above = (run_at(run.above[-1], ABOUT),) if run.above else ()
    return (Address(run_hash(run_id), EVERY), *above)


def find_stretch(tenant: str, run_id: str, run: Run, snapshot: Snapshot, *, lost: bool) -> Stretch | None:
    """Return the stretch of the engine that left its run as *run* says.

    None where there is none to tell of: an engine that was *lost* came back, and will be told of once it has ended; or the
    run is not on record any more.
    """
    fields = snapshot.fields(run_hash(run_id))
    try:
        newest, about = run_and_about(run_id, fields)
    except UnknownRun:
        return None
    if lost and newest.epoch == run.epoch and not (newest.lapsed and newest.status is RunStatus.RUNNING):
        return None
    parent = snapshot.text(run_at(run.above[-1], ABOUT)) if run.above else None
    parent_trace = "" if parent is None else About.model_validate_json(parent).trace_id
    return Stretch(
        tenant=tenant,
        run_id=run_id,
        run=run,
        about=about,
        lost=lost,
        steps=Steps.model_validate_json(fields[STEPS]).steps if STEPS in fields else (),
        results=results_of(fields),
        attempts=attempts_of(fields),
        newest=newest.epoch == run.epoch,
        parent_trace="" if parent_trace == about.trace_id else parent_trace,
    )

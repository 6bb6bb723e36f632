"""Reads what is on record of one engine's stretch of a run, in one look."""

from __future__ import annotations

from ensemble.contract.outcomes import RunStatus
from ensemble.rules.addresses import ABOUT, STEPS, run_at, run_hash
from ensemble.rules.problems import UnknownRun
from ensemble.rules.records import About, Run, Steps
from ensemble.rules.snapshot import EVERY, Address, Snapshot
from ensemble.rules.views import attempts_of, results_of, run_and_about
from sidecar.store.store import Store
from sidecar.telemetry.stretch import Stretch

__all__ = ["read_stretch"]


def read_stretch(store: Store, tenant: str, run_id: str, run: Run, *, lost: bool) -> Stretch | None:
    """Return the stretch that *run*, the run's document as the engine left it, is the end of.

    None where it is not the end: an engine that was *lost* came back, and will be told of when it has ended; or the run is
    not on record any more.
    """
    above = [run_at(run.above[-1], ABOUT)] if run.above else []

    def look(snapshot: Snapshot) -> Stretch | None:
        fields = snapshot.fields(run_hash(run_id))
        try:
            newest, about = run_and_about(run_id, fields)
        except UnknownRun:
            return None
        if lost and newest.epoch == run.epoch and not (newest.lapsed and newest.status is RunStatus.RUNNING):
            return None
        parent = next((text for text in map(snapshot.text, above) if text is not None), None)
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

    return store.look(tenant, look, (Address(run_hash(run_id), EVERY), *above))

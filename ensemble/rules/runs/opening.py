"""Opening a run: begin it, follow it, take it over, open it again, or hear that it is over."""

from __future__ import annotations

from ensemble.contract.exchange import Exchange, OpenRun
from ensemble.rules import lease
from ensemble.rules.addresses import ABOUT, ANSWER, RUNS, STEPS, run_at, run_hash, run_key_at, runs_of_trace, step_at
from ensemble.rules.budgets.drafted import DraftedBudgets
from ensemble.rules.happenings import RunOpened
from ensemble.rules.lease import Standing
from ensemble.rules.problems import Conflict
from ensemble.rules.records import About, Defaults, Run, Steps
from ensemble.rules.runs.losing import lose_engine, lose_open_attempts
from ensemble.rules.runs.nesting import Nest, find_nest, forbid_going_back, settle_in
from ensemble.rules.runs.working import Working, counters_at
from ensemble.rules.snapshot import Draft

__all__ = ["OPEN_TTL_MS", "open_run"]

OPEN_TTL_MS = 7 * 24 * 3_600_000
"""How long a run is kept that nobody closes, milliseconds from its last opening."""


def open_run(draft: Draft, ask: Exchange, opening: OpenRun, defaults: Defaults) -> tuple[Standing, Working]:
    """Find the run of *opening*'s key and fingerprint, or begin it; return what the asker is to it.

    Raises:
        NotRead: as any look at the draft.
        Conflict: the asker's run id belongs to a run of another key, a budget is not defined, or the call the run is
            opened in is over.

    """
    told_late = opening.afterwards or ask.close is not None
    index = run_key_at(opening.run_key, opening.fingerprint)
    found = draft.text(index)
    run_id, run = (ask.run_id, None) if found is None else (found, _run(draft, found))
    if run is None:
        if _run(draft, ask.run_id) is not None:
            raise Conflict("run_id", "is the id of a run with another run_key or fingerprint", "mint a new id")
        run_id = ask.run_id
    standing = lease.open_again(run, ask.owner, draft.now_ms, closing=told_late)
    if standing is not Standing.OWNER:
        forbid_going_back(draft, opening, run_id)
        if not (ask.late or told_late):
            _know_budgets(draft, opening)
    begins = standing in (Standing.NEW, Standing.HEIR, Standing.REOPENER)
    nest = find_nest(draft, opening) if begins else None
    if run is None:
        work = Working(draft, run_id, _with_terms(lease.begin(ask.owner, draft.now_ms, defaults.lease_ms), opening))
        _begin(work, opening, nest)
    else:
        work = Working(draft, run_id, run)
    if standing is Standing.HEIR:
        lose_engine(work)
    if standing in (Standing.HEIR, Standing.REOPENER):
        _next_epoch(work, ask.owner, opening, defaults.lease_ms)
    if begins:
        settle_in(work, opening, nest)
        draft.put(index, run_id)
        draft.put(run_at(run_id, STEPS), Steps(steps=opening.steps).model_dump_json())
        draft.expire(index.key, OPEN_TTL_MS)
        draft.expire(run_hash(run_id), OPEN_TTL_MS)
        about = _about(draft, run_id)
        draft.expire(runs_of_trace(about.trace_id), OPEN_TTL_MS)
        draft.tell(RunOpened(run_id, work.run, about))
    return standing, work


def _run(draft: Draft, run_id: str) -> Run | None:
    draft.snapshot.require((run_at(run_id), run_at(run_id, ABOUT), *counters_at(run_id)))
    text = draft.text(run_at(run_id))
    return None if text is None else Run.model_validate_json(text)


def _know_budgets(draft: Draft, opening: OpenRun) -> None:
    """Raise Conflict for a named budget that nobody defined. Not for a run told of late: it has done its work by then."""
    named = DraftedBudgets(draft)
    named.require(opening.budgets)
    for number, name in enumerate(opening.budgets):
        if named.definition(name) is None:
            raise Conflict(f"open.budgets.{number}", f"no budget {name!r} is defined", "define it, or leave it out")


def _about(draft: Draft, run_id: str) -> About:
    """Return what a run is about: as it was opened first, which it stays whoever opens it again."""
    return About.model_validate_json(draft.text(run_at(run_id, ABOUT)) or "")


def _with_terms(run: Run, opening: OpenRun) -> Run:
    """Return the run under the terms of the newest call: limits and their kin are not part of what a run *is*."""
    return run.model_copy(
        update={
            "limits": opening.limits,
            "budgets": tuple(dict.fromkeys(opening.budgets)),
            "max_parallel": opening.max_parallel,
            "on_lost": opening.on_lost,
        }
    )


def _begin(work: Working, opening: OpenRun, nest: Nest | None) -> None:
    trace_id = opening.trace_id if nest is None else nest.trace_id
    about = About(
        run_key=opening.run_key,
        fingerprint=opening.fingerprint,
        trace_id=trace_id,
        task=opening.task,
        pattern=opening.pattern,
    )
    work.draft.put(run_at(work.run_id, ABOUT), about.model_dump_json())
    work.draft.rank(RUNS, work.run_id, work.now_ms)
    work.draft.rank(runs_of_trace(trace_id), work.run_id, work.now_ms)


def _next_epoch(work: Working, owner: str, opening: OpenRun, lease_ms: int) -> None:
    """Give the run to *owner*: open attempts are lost, what agents gave is kept, all else is forgotten."""
    kept = {result.step for result in work.kept()}
    lose_open_attempts(work)
    for result in work.results():
        if result.step not in kept:
            work.draft.put(step_at(work.run_id, result.step), None)
    work.draft.put(run_at(work.run_id, ANSWER), None)
    work.run = _with_terms(lease.hand_over(work.run, owner, work.now_ms, lease_ms), opening)

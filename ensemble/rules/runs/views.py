"""Runs as they are shown, made from the fields as they are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ensemble.contract.exchange import CloseRun
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import StepResult, Usage
from ensemble.contract.runs import AttemptView, RunLine, RunView
from ensemble.rules import lease
from ensemble.rules.addresses import ABOUT, ANSWER, ATTEMPT, RUN, STEP, STEPS
from ensemble.rules.budgets.budget import COUNTERS, Budget, budget_view
from ensemble.rules.problems import UnknownRun
from ensemble.rules.records import About, Attempt, Run, Steps

__all__ = [
    "CALLS",
    "TOKENS",
    "attempts_of",
    "outcome_of",
    "results_of",
    "run_and_about",
    "run_line",
    "run_view",
    "usage_of",
]

TOKENS, CALLS = "tokens_committed", "calls_committed"
"""Counters of a run that stand in lists, too."""
_NUMBERS = re.compile(r"([0-9]+)")


def run_and_about(run_id: str, fields: Mapping[str, str]) -> tuple[Run, About]:
    """Return who runs a run and what it is about. Raises UnknownRun."""
    if RUN not in fields or ABOUT not in fields:
        raise UnknownRun(run_id)
    return Run.model_validate_json(fields[RUN]), About.model_validate_json(fields[ABOUT])


def run_line(run_id: str, fields: Mapping[str, str]) -> RunLine:
    """Return one run as a line of a list, from at least the fields ``run`` and ``about``. Raises UnknownRun."""
    run, about = run_and_about(run_id, fields)
    return RunLine(
        run_id=run_id,
        run_key=about.run_key,
        trace_id=about.trace_id,
        task=about.task,
        pattern=about.pattern,
        status=run.status,
        opened_ms=run.opened_ms,
        closed_ms=run.closed_ms,
        parent_run_id=run.above[-1] if run.above else None,
        depth=len(run.above) + 1,
        tokens=max(0, int(fields.get(TOKENS, 0))),
        calls=max(0, int(fields.get(CALLS, 0))),
    )


def run_view(run_id: str, fields: Mapping[str, str], now_ms: int) -> RunView:
    """Return one run, whole, from all *fields* of its hash, counters as decimal digits. Raises UnknownRun."""
    run, _ = run_and_about(run_id, fields)
    told = CloseRun.model_validate_json(fields[ANSWER]) if ANSWER in fields else None
    budget = Budget(*[int(fields.get(name, 0)) for name in COUNTERS])
    return RunView(
        **dict(run_line(run_id, fields)),
        epoch=run.epoch,
        lease_ms=lease.left_ms(run, now_ms),
        steps=Steps.model_validate_json(fields[STEPS]).steps,
        results=results_of(fields),
        attempts=tuple(_attempt_view(attempt) for attempt in attempts_of(fields)),
        answer=None if told is None else told.answer,
        warnings=() if told is None else told.warnings,
        limits=run.limits,
        budget=budget_view(budget),
    )


def results_of(fields: Mapping[str, str]) -> tuple[StepResult, ...]:
    """Return the results among the *fields* of a run: planned steps in the plan's order, then others by name."""
    planned = [step.id for step in Steps.model_validate_json(fields[STEPS]).steps] if STEPS in fields else []
    others = sorted((field.removeprefix(STEP) for field in fields if field.startswith(STEP)), key=_by_number)
    return tuple(
        StepResult.model_validate_json(fields[STEP + step])
        for step in dict.fromkeys([*planned, *others])
        if STEP + step in fields
    )


def _by_number(step: str) -> list[tuple[int, str]]:
    """Return by what parts of groups are sorted, so that the tenth stands behind the second."""
    return [(int(part) if part.isdecimal() else -1, part) for part in _NUMBERS.split(step)]


def attempts_of(fields: Mapping[str, str]) -> tuple[Attempt, ...]:
    """Return the attempts among the *fields* of a run, in order of admission."""
    found = (Attempt.model_validate_json(text) for field, text in fields.items() if field.startswith(ATTEMPT))
    return tuple(sorted(found, key=lambda attempt: attempt.number))


def outcome_of(attempt: Attempt) -> Outcome | None:
    """Return how an attempt ended; None while it is under way, *uncertain* once it was given up as lost."""
    if attempt.settlement is not None:
        return attempt.settlement.outcome
    return None if attempt.booking is None else Outcome.UNCERTAIN


def usage_of(attempt: Attempt) -> Usage:
    """Return what an attempt used, as it told; tokens as they were booked where it did not."""
    usage = Usage() if attempt.settlement is None else attempt.settlement.usage
    booking = attempt.booking
    if booking is not None and booking.estimated:
        return usage.model_copy(update={"tokens": booking.spent.tokens, "estimated": True})
    return usage


def _attempt_view(attempt: Attempt) -> AttemptView:
    ask, news = attempt.ask, attempt.settlement
    return AttemptView(
        ticket=ask.ticket,
        step=ask.step,
        agent=ask.agent,
        identity=ask.identity,
        attempt=ask.attempt,
        epoch=attempt.epoch,
        content=ask.content,
        admitted_ms=attempt.admitted_ms,
        settled_ms=attempt.settled_ms,
        outcome=outcome_of(attempt),
        usage=usage_of(attempt),
        took_ms=None if news is None else news.took_ms,
        error=None if news is None else news.error,
        remote=attempt.remote if news is None or news.remote is None else news.remote,
        late=attempt.late,
    )

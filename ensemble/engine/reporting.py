"""How a run stands once its steps have ended, and what its caller is told."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ensemble.contract.base import is_part
from ensemble.contract.exchange import StoredAnswer
from ensemble.contract.outcomes import RunStatus, StepStatus
from ensemble.contract.results import StepResult
from ensemble.engine.events import Report
from ensemble.engine.state import RunState
from ensemble.engine.usage import total_usage

__all__ = ["REPLAYED", "replayed_report", "report", "run_status"]

REPLAYED = "This answer was given before for the same run_key; nothing was spent now, the usage is the original one."


def run_status(
    results: Sequence[StepResult],
    *,
    cut: RunStatus | None,
    fail_fast: bool,
    working: Collection[str] | None = None,
    incomplete: bool = False,
) -> RunStatus:
    """Return how a run of *results* ended.

    Args:
        results: Of all steps.
        cut: Why it was ended early, if it was.
        fail_fast: Whether one failed step fails it.
        working: The steps whose success counts; None: of all.
        incomplete: Whether a group that succeeded lacks something that was wanted.

    """
    if cut is not None:
        return cut
    succeeded = _succeeded(results, working)
    failed = any(result.error is not None for result in results)
    if not succeeded or (failed and fail_fast):
        return RunStatus.FAILED
    return RunStatus.PARTIAL if failed or incomplete else RunStatus.SUCCEEDED


def report(state: RunState, status: RunStatus, answer: str) -> Report:
    """Return what the caller of this run is told."""
    return Report(
        status=status,
        answer=answer,
        results=state.results(),
        parts=state.parts(),
        usage=total_usage(result.usage for result in state.results() if result.attempts),
        warnings=state.warnings,
        trace_id=state.trace_id,
        run_id=state.run_id,
        run_url=state.run_url,
        failed_hard=_failed_hard(status, state.results(), state),
        deciding=_deciding(state),
    )


def replayed_report(state: RunState, run_id: str, stored: StoredAnswer) -> Report:
    """Return what the caller of a stored or followed run is told."""
    results = tuple(result for result in stored.results if not is_part(result.step))
    return Report(
        status=stored.status,
        answer=stored.answer,
        results=results,
        parts=tuple(result for result in stored.results if is_part(result.step)),
        usage=total_usage(result.usage for result in results if result.attempts),
        warnings=(*stored.warnings, *(w for w in state.warnings if w not in stored.warnings), REPLAYED),
        trace_id=state.trace_id,
        run_id=run_id,
        run_url=state.run_url,
        failed_hard=_failed_hard(stored.status, results, state),
        replayed=True,
        deciding=_deciding(state),
    )


def _deciding(state: RunState) -> frozenset[str]:
    return frozenset(step.id for step in state.request.plan.steps if step.decides)


def _failed_hard(status: RunStatus, results: Sequence[StepResult], state: RunState) -> bool:
    succeeded = _succeeded(results, state.request.plan.working())
    failed = any(result.error is not None for result in results)
    return status is RunStatus.CANCELLED or not succeeded or (state.request.fail_fast and failed)


def _succeeded(results: Sequence[StepResult], working: Collection[str] | None) -> bool:
    return any(result.status is StepStatus.SUCCEEDED for result in results if working is None or result.step in working)

"""Which end of a run fails the node, and what the node then says."""

from __future__ import annotations

from ensemble.contract.outcomes import RunStatus, StepStatus
from ensemble.contract.plain import plain
from ensemble.contract.results import StepResult
from ensemble.engine.events import Report
from plugin.errors import EnsembleError, NoAgentSucceeded, RunCancelled, StepFailed

__all__ = ["hard_failure"]

_LISTED = 20
_MESSAGE_CHARS = 1000


def hard_failure(report: Report) -> EnsembleError | None:
    """Return what to raise for *report*, None where its results are worth passing on.

    The node fails if and only if no step succeeded, a step failed under ``fail_fast``, or the run was cancelled. What
    Dify shows is the exception's name and this text, so it carries everything the outputs would have told.
    """
    if not report.failed_hard:
        return None
    told = "\n".join(filter(None, (_failures(report), _warnings(report), f"Run {report.run_id}.")))
    if report.status is RunStatus.CANCELLED:
        return RunCancelled(plain(f"The run was cancelled.\n{told}"))
    worked = (result for result in report.results if result.step not in report.deciding)
    if any(result.status is StepStatus.SUCCEEDED for result in worked):
        return StepFailed(plain(f"A step failed, and on_failure is fail_fast, so the run was stopped.\n{told}"))
    when = " before the run's time ended" if report.status is RunStatus.TIMED_OUT else ""
    return NoAgentSucceeded(plain(f"No agent succeeded{when}, so there is no answer.\n{told}"))


def _failures(report: Report) -> str:
    errors = report.errors
    lines = [_failure(result) for result in errors[:_LISTED]]
    more = [f"… and {len(errors) - _LISTED} more"] if len(errors) > _LISTED else []
    return "\n".join(lines + more)


def _failure(result: StepResult) -> str:
    error = result.error
    if error is None:
        return ""
    again = " The same call may succeed later." if error.retry_allowed else ""
    return f"- {result.agent} (step {result.step}): {error.code}: {error.message[:_MESSAGE_CHARS]}{again}"


def _warnings(report: Report) -> str:
    return "\n".join(f"- Note: {warning[:_MESSAGE_CHARS]}" for warning in report.warnings[:_LISTED])

"""Results and a report that tests of what a workflow sees begin with."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage
from ensemble.engine.events import Report

GOOD = StepResult(
    step="one",
    agent="market",
    status=StepStatus.SUCCEEDED,
    text="fine",
    data={"answer": "fine", "score": None},
    source=Source.AGENT,
    usage=Usage(tokens=5, price=Decimal("1E-7"), currency="USD"),
    confidence=0.5,
    sources=("a",),
    attempts=1,
    started_ms=0,
    took_ms=12,
)
BAD = StepResult(
    step="two",
    agent="tech",
    status=StepStatus.TIMED_OUT,
    error=ErrorInfo(code=Outcome.TIMED_OUT, message="No answer\nwithin 3 s.", retry_allowed=True),
    attempts=3,
    started_ms=1,
    took_ms=9000,
)
SKIPPED = StepResult(
    step="three",
    agent="writer",
    status=StepStatus.SKIPPED,
    error=ErrorInfo(code="upstream_failed", message="two failed."),
)


def a_report(results: Sequence[StepResult] = (GOOD,), **changes: Any) -> Report:
    """Return a report on *results*."""
    fields: dict[str, Any] = {
        "status": RunStatus.SUCCEEDED,
        "answer": "the answer",
        "results": tuple(results),
        "usage": Usage(tokens=5),
        "warnings": ("careful",),
        "trace_id": "t",
        "run_id": "0" * 32,
    }
    return Report(**fields | changes)

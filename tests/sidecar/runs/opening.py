"""A whole run by hand, for tests of what a run leaves behind."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from ensemble.contract.exchange import AdmissionAsk, CloseRun, Exchange, OpenRun, PlannedStep, Settlement
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import StepResult

IDENTITY = "api:http://dify.example/v1#0123456789abcdef"


def a_finished_run(ask: Callable[..., Any], trace_id: str) -> str:
    """Run one step in *trace_id* and return the run's id; its log has four messages."""
    run_id, owner, ticket = (uuid.uuid4().hex for _ in range(3))
    step = PlannedStep(id="one", agent="market", identity=IDENTITY)
    opening = OpenRun(run_key=run_id, fingerprint="f" * 64, trace_id=trace_id, task="the task", steps=(step,))
    admit = AdmissionAsk(ticket=ticket, step="one", agent="market", identity=IDENTITY, timeout_ms=1000, max_tokens=100)
    result = StepResult(step="one", agent="market", status=StepStatus.SUCCEEDED, text="found", source=Source.AGENT)
    settled = Settlement(ticket=ticket, step="one", outcome=Outcome.SUCCEEDED, took_ms=1, result=result)
    for said in (
        Exchange(run_id=run_id, owner=owner, open=opening, admit=(admit,)),
        Exchange(
            run_id=run_id,
            owner=owner,
            epoch=1,
            settle=(settled,),
            close=CloseRun(status=RunStatus.SUCCEEDED, answer="found"),
        ),
    ):
        answer = ask("POST", "/v1/exchange", said.model_dump_json())
        assert answer.status_code == 200, answer.text
    return run_id

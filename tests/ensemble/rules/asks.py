"""Asks as engines send them, with short ways to say them."""

from __future__ import annotations

from typing import Any

from ensemble.contract.breakers import BreakerPolicy
from ensemble.contract.budgets import Limits
from ensemble.contract.exchange import AdmissionAsk, CloseRun, Exchange, OpenRun, PlannedStep, Settlement
from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage

POLICY = BreakerPolicy(failure_threshold=2, recovery_timeout=10, success_threshold=2, half_open_probes=1)
STEPS = ("one", "two", "three", "four")


def hex_id(number: int) -> str:
    """Return the id with this number."""
    return f"{number:032x}"


def agent_of(step: str) -> str:
    """Return the agent of a step; two steps share one."""
    return "left" if step in STEPS[:2] else "right"


def opening(run_key: str = "key", limits: Limits | None = None, **more: Any) -> OpenRun:
    """Return what opens the run of *run_key*."""
    steps = tuple(PlannedStep(id=step, agent=agent_of(step), identity=f"app:{agent_of(step)}") for step in STEPS)
    return OpenRun(
        run_key=run_key,
        fingerprint="0" * 64,
        trace_id="trace",
        task="work",
        pattern="parallel",
        steps=steps,
        limits=limits or Limits(),
        **more,
    )


def admission(ticket: int, step: str = "one", **more: Any) -> AdmissionAsk:
    """Return one ask for admission."""
    return AdmissionAsk(
        ticket=hex_id(ticket),
        step=step,
        agent=agent_of(step),
        identity=f"app:{agent_of(step)}",
        **{"timeout_ms": 5_000, "breaker": POLICY, "content": f"do {step}", **more},
    )


def settlement(
    ask: AdmissionAsk, outcome: Outcome = Outcome.SUCCEEDED, *, ends: bool = True, **more: Any
) -> Settlement:
    """Return the news that *ask*'s attempt ended with *outcome*; *ends*: and with it the step."""
    succeeded = outcome is Outcome.SUCCEEDED
    error = None if succeeded else ErrorInfo(code=outcome, message=f"it was {outcome}", retry_allowed=True)
    result = StepResult(
        step=ask.step,
        agent=ask.agent,
        status=StepStatus.SUCCEEDED if succeeded else StepStatus.FAILED,
        text=f"{ask.step} by {ask.ticket}" if succeeded else "",
        source=Source.AGENT if succeeded else None,
        error=error,
    )
    return Settlement(
        ticket=ask.ticket,
        step=ask.step,
        identity=ask.identity,
        outcome=outcome,
        error=error,
        result=result if ends else None,
        **{"usage": Usage(tokens=100), "took_ms": 1_000, **more},
    )


def first(run: int, owner: int, run_key: str = "key", limits: Limits | None = None, **more: Any) -> Exchange:
    """Return an engine's first exchange."""
    terms = {name: more.pop(name) for name in ("on_lost", "max_parallel", "budgets") if name in more}
    return Exchange(run_id=hex_id(run), owner=hex_id(owner), open=opening(run_key, limits, **terms), **more)


def later(run: int, owner: int, epoch: int = 1, **more: Any) -> Exchange:
    """Return one of an engine's later exchanges."""
    return Exchange(run_id=hex_id(run), owner=hex_id(owner), epoch=epoch, **more)


def closing(status: RunStatus = RunStatus.SUCCEEDED) -> CloseRun:
    """Return how a run is closed."""
    return CloseRun(status=status, answer=f"all is {status}", warnings=("mind",))

"""What one engine did of a run, as spans: run, steps, attempts. Pure: the same record makes the same spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.results import StepResult
from ensemble.contract.tracing import attempt_span, run_span, step_span, w3c_trace_id
from ensemble.rules.records import Attempt
from ensemble.rules.runs.views import outcome_of, usage_of
from sidecar.traces.attributes import Name
from sidecar.traces.moments import Moments, Times, group_of
from sidecar.traces.stretch import Stretch

__all__ = ["BREAKER_CHANGED", "ENGINE_LOST", "Event", "Span", "Value", "spans_of"]

type Value = str | int | float | bool

ENGINE_LOST = "engine_lost"
BREAKER_CHANGED = "ensemble.breaker"
_FUNCTION, _MODEL = "python:", "model:"
_FAILED_RUNS = frozenset({RunStatus.FAILED, RunStatus.TIMED_OUT})
_FAILED_STEPS = frozenset({StepStatus.FAILED, StepStatus.TIMED_OUT, StepStatus.REFUSED, StepStatus.UNCERTAIN})
_NO_FAILURES = frozenset({Outcome.SUCCEEDED, Outcome.CANCELLED, Outcome.REFUSED, Outcome.INPUT_REQUIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened within a span."""

    name: str
    at_ms: int
    """Unix milliseconds."""
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span, in nobody's format yet."""

    name: str
    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    parent_id: str = ""
    """Of the span it hangs below, which may be another run's; empty for none."""
    outgoing: bool = False
    """Whether it is a call to somebody else, who may have spans of its own below it."""
    start_ms: int
    """Unix milliseconds."""
    end_ms: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str = ""
    """What went wrong, as a word; empty where nothing did."""
    events: tuple[Event, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Trace and span of others that it has to do with and does not hang below."""


def spans_of(stretch: Stretch) -> tuple[Span, ...]:
    """Return the spans, each behind the one it hangs below."""
    moments = Moments(stretch)
    agents = {each.id: each.agent for each in stretch.steps} | {each.ask.step: each.ask.agent for each in stretch.own}
    steps = [_step(stretch, step, times, agents.get(step)) for step, times in moments.steps.items()]
    attempts = [_attempt(stretch, each, moments.attempts[each.ask.ticket]) for each in stretch.own]
    return (_run(stretch, moments.run), *steps, *attempts)


def _run(stretch: Stretch, times: Times) -> Span:
    run, about = stretch.run, stretch.about
    trace_id = w3c_trace_id(about.trace_id)
    error = ENGINE_LOST if stretch.lost else run.status.value if run.status in _FAILED_RUNS else ""
    links = () if run.epoch == 1 else ((trace_id, run_span(stretch.run_id, run.epoch - 1)),)
    parent_id = attempt_span(run.inside) if run.inside else ""
    if parent_id and stretch.parent_trace:
        links, parent_id = (*links, (w3c_trace_id(stretch.parent_trace), parent_id)), ""
    usages = [usage for usage in map(usage_of, stretch.own) if usage.tokens is not None]
    return Span(
        name=f"run {about.pattern}".rstrip(),
        trace_id=trace_id,
        span_id=run_span(stretch.run_id, run.epoch),
        parent_id=parent_id,
        start_ms=times.start_ms,
        end_ms=times.end_ms,
        attributes=_told(
            stretch,
            error,
            {
                Name.OPERATION: "invoke_workflow",
                Name.TRACE_ID: about.trace_id,
                Name.EPOCH: run.epoch,
                Name.RUN_STATUS: run.status.value,
                Name.PATTERN: about.pattern or None,
                Name.PARENT_RUN: run.above[-1] if run.above else None,
                Name.DEPTH: len(run.above) + 1,
                Name.KEPT: stretch.kept,
                Name.TOKENS: sum(usage.tokens or 0 for usage in usages) if usages else None,
                Name.ESTIMATED: any(usage.estimated for usage in usages) if usages else None,
            },
        ),
        error=error,
        links=links,
    )


def _step(stretch: Stretch, step: str, times: Times, agent: str | None) -> Span:
    run_id, epoch, trace_id = stretch.run_id, stretch.run.epoch, w3c_trace_id(stretch.about.trace_id)
    result, group, asked_after = stretch.own_results.get(step), group_of(step), stretch.asked_after.get(step)
    error = _step_error(result)
    return Span(
        name=f"step {step}",
        trace_id=trace_id,
        span_id=step_span(run_id, epoch, step),
        parent_id=run_span(run_id, epoch) if group is None else step_span(run_id, epoch, group),
        start_ms=times.start_ms,
        end_ms=times.end_ms,
        attributes=_told(
            stretch,
            error,
            {
                Name.STEP: step,
                Name.AGENT: agent if result is None else result.agent,
                Name.STEP_STATUS: None if result is None else result.status.value,
                Name.SOURCE: None if result is None or result.source is None else result.source.value,
                Name.STALE: True if result is not None and result.stale else None,
            },
        ),
        error=error,
        links=() if asked_after is None else ((trace_id, attempt_span(asked_after.ask.ticket)),),
    )


def _step_error(result: StepResult | None) -> str:
    if result is None or result.status not in _FAILED_STEPS:
        return ""
    return result.status.value if result.error is None else str(result.error.code)


def _attempt(stretch: Stretch, attempt: Attempt, times: Times) -> Span:
    ask, usage = attempt.ask, usage_of(attempt)
    outcome = outcome_of(attempt) or Outcome.UNCERTAIN
    error = "" if outcome in _NO_FAILURES else outcome.value
    function = ask.identity.startswith(_FUNCTION)
    return Span(
        name=f"invoke_agent {ask.agent}",
        trace_id=w3c_trace_id(stretch.about.trace_id),
        span_id=attempt_span(ask.ticket),
        parent_id=step_span(stretch.run_id, stretch.run.epoch, ask.step),
        outgoing=not function,
        start_ms=times.start_ms,
        end_ms=times.end_ms,
        attributes=_told(
            stretch,
            error,
            {
                Name.OPERATION: "invoke_agent",
                Name.PROVIDER: None if function else "dify",
                Name.AGENT: ask.agent,
                Name.AGENT_ID: ask.identity,
                Name.MODEL: _model(ask.identity),
                Name.STEP: ask.step,
                Name.TICKET: ask.ticket,
                Name.ATTEMPT: ask.attempt,
                Name.OUTCOME: outcome.value,
                Name.LATE: True if attempt.late else None,
                Name.DIFY_RUN: _dify_run(attempt),
                Name.TOKENS: usage.tokens,
                Name.ESTIMATED: usage.estimated if usage.tokens is not None or usage.price is not None else None,
                Name.PRICE: None if usage.price is None else float(usage.price),
                Name.CURRENCY: usage.currency,
            },
        ),
        error=error,
        events=tuple(
            Event(
                name=BREAKER_CHANGED,
                at_ms=min(max(change.at_ms, times.start_ms), times.end_ms),
                attributes={
                    Name.BREAKER_BEFORE: change.before.value,
                    Name.BREAKER_AFTER: change.after.value,
                    Name.BREAKER_CAUSE: change.cause.value,
                },
            )
            for change in attempt.breaker
        ),
    )


def _model(identity: str) -> str | None:
    """Return the model in ``model:<provider>/<model>#<hash>``, whose provider may hold slashes."""
    if not identity.startswith(_MODEL):
        return None
    return identity.rpartition("#")[0].rpartition("/")[2] or None


def _dify_run(attempt: Attempt) -> str | None:
    news = attempt.settlement
    remote = attempt.remote if news is None or news.remote is None else news.remote
    return None if remote is None else remote.workflow_run_id


def _told(stretch: Stretch, error: str, more: Mapping[str, Value | None]) -> dict[str, Value]:
    """Return what a span tells: what all tell, and of the rest what is known."""
    told = {Name.TENANT: stretch.tenant, Name.RUN_ID: stretch.run_id, Name.ERROR: error or None, **more}
    return {str(name): value for name, value in told.items() if value is not None}

"""A run's log: the messages that went between the engine and the agents, made from attempts and results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ensemble.contract.breakers import BreakerChange
from ensemble.contract.exchange import CloseRun
from ensemble.contract.messages import SYSTEM, AgentMessage, MessageType
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import AgentResult, StepResult
from ensemble.rules.addresses import ANSWER, STEP
from ensemble.rules.records import About, Attempt, Run
from ensemble.rules.runs.views import attempts_of, outcome_of, run_and_about

__all__ = ["run_log"]


def run_log(run_id: str, fields: Mapping[str, str]) -> tuple[AgentMessage, ...]:
    """Return the messages of a run in order, from all *fields* of its hash. Raises UnknownRun.

    Their ids are made from those of tickets and run, so that the same message has the same id whenever it is read.
    Within a millisecond they stand in the order of an exchange: opened, settled, closed, admitted.
    """
    run, about = run_and_about(run_id, fields)
    placed = [_opened(run_id, run, about)]
    for attempt in attempts_of(fields):
        placed.append(((attempt.admitted_ms, 3, attempt.number), _task(attempt, about)))
        if attempt.settled_ms is not None:
            placed.append(((attempt.settled_ms, 1, attempt.number), _end(attempt, about, fields)))
        placed += (((each.at_ms, 1, attempt.number), _breaker(attempt, about, each)) for each in attempt.breaker)
    if run.closed_ms is not None:
        placed.append(((run.closed_ms, 2, 0), _closed(run_id, run, about, fields)))
    return tuple(message for _, message in sorted(placed, key=lambda pair: pair[0]))


_Place = tuple[int, int, int]


def _opened(run_id: str, run: Run, about: About) -> tuple[_Place, AgentMessage]:
    word = "opened" if run.epoch == 1 else "reopened"
    content = {"status": word, "epoch": run.epoch, "task": about.task, "pattern": about.pattern}
    return (run.since_ms, 0, 0), _status(f"{run_id}:{run.epoch}:{word}", run_id, about, run.since_ms, content)


def _closed(run_id: str, run: Run, about: About, fields: Mapping[str, str]) -> AgentMessage:
    answer = CloseRun.model_validate_json(fields[ANSWER]).answer if ANSWER in fields else ""
    content = {"status": run.status.value, "epoch": run.epoch, "answer": answer}
    return _status(f"{run_id}:{run.epoch}:closed", run_id, about, run.closed_ms or 0, content)


def _breaker(attempt: Attempt, about: About, change: BreakerChange) -> AgentMessage:
    """Return that the attempt opened its agent's breaker, closed it, or was let through to try."""
    content = {
        "breaker": change.after.value,
        "before": change.before.value,
        "cause": change.cause.value,
        "agent": attempt.ask.agent,
        "identity": attempt.ask.identity,
    }
    message_id = f"{attempt.ask.ticket}:breaker:{change.generation}"
    return _status(message_id, attempt.ask.step, about, change.at_ms, content)


def _status(message_id: str, run_id: str, about: About, at_ms: int, content: Mapping[str, object]) -> AgentMessage:
    return AgentMessage(
        message_id=message_id,
        trace_id=about.trace_id,
        timestamp=_moment(at_ms),
        sender_agent_id=SYSTEM,
        sender_agent_name=SYSTEM,
        receiver_agent_id=SYSTEM,
        message_type=MessageType.STATUS,
        content=dict(content),
        task_id=run_id,
    )


def _task(attempt: Attempt, about: About) -> AgentMessage:
    return AgentMessage(
        message_id=f"{attempt.ask.ticket}:task",
        trace_id=about.trace_id,
        timestamp=_moment(attempt.admitted_ms),
        sender_agent_id=SYSTEM,
        sender_agent_name=SYSTEM,
        receiver_agent_id=attempt.ask.agent,
        message_type=MessageType.TASK,
        content=attempt.ask.content,
        task_id=attempt.ask.step,
    )


def _end(attempt: Attempt, about: About, fields: Mapping[str, str]) -> AgentMessage:
    """Return what came back: the agent's result, or why there is none."""
    outcome = outcome_of(attempt)
    succeeded = outcome is Outcome.SUCCEEDED
    error = None if attempt.settlement is None else attempt.settlement.error
    message = None if error is None else error.message
    if attempt.settlement is None:
        message = "The engine that waited for it is gone; nobody knows how it ended."
    return AgentMessage(
        message_id=f"{attempt.ask.ticket}:{'result' if succeeded else 'error'}",
        trace_id=about.trace_id,
        timestamp=_moment(attempt.settled_ms or 0),
        sender_agent_id=attempt.ask.agent,
        sender_agent_name=attempt.ask.agent,
        receiver_agent_id=SYSTEM,
        message_type=MessageType.RESULT if succeeded else MessageType.ERROR,
        content=_result(attempt, about, fields) if succeeded else None,
        task_id=attempt.ask.step,
        error_code=None if succeeded or outcome is None else outcome.value,
        error_message=None if succeeded else message,
        retry_allowed=error is not None and error.retry_allowed,
    )


def _result(attempt: Attempt, about: About, fields: Mapping[str, str]) -> AgentResult | None:
    """Return the result this attempt gave its step; None where the step has another one."""
    text = fields.get(STEP + attempt.ask.step)
    if text is None or not attempt.result_taken:
        return None
    result = StepResult.model_validate_json(text)
    return AgentResult(
        agent_id=attempt.ask.agent,
        task_id=attempt.ask.step,
        trace_id=about.trace_id,
        result_type="json" if result.data else "text",
        data=result.data or result.text,
        confidence=result.confidence,
        sources=result.sources,
        created_at=_moment(attempt.settled_ms or 0),
    )


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)

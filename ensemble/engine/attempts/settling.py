"""What follows from the end of an attempt: its settlement, a retry, or the end of its step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ensemble.agents.port import Reply
from ensemble.contract.exchange import Settlement
from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage
from ensemble.engine.attempts.falling import Falling
from ensemble.engine.retry import next_try
from ensemble.engine.state import RunState
from ensemble.engine.steps import MESSAGE_LIMIT, Flight, Phase, StepRun, status_of
from ensemble.engine.usage import priced

__all__ = ["Settling"]


class Settling:
    """Books the ends of attempts into *state*."""

    def __init__(self, state: RunState, chance: Callable[[], float], falling: Falling) -> None:
        """Judge by the plan of *state*; *chance* gives the retries' jitter, *falling* what follows the last of them."""
        self._state = state
        self._chance = chance
        self._falling = falling

    def settle(self, step: StepRun, flight: Flight, reply: Reply, *, final: bool = False) -> None:
        """Book *reply* as the end of *flight*; unless *final*, a retry may follow."""
        now = time.monotonic()
        self._state.warn(*(f"{step.step.id}: {warning}" for warning in reply.warnings))
        reply = replace(reply, usage=priced(_known_usage(reply), step.price_per_1k, step.currency))
        step.book(reply.usage)
        error = None if reply.outcome is Outcome.SUCCEEDED else _error_of(reply)
        identity = self._state.request.agents[step.step.agent].identity
        result = self._result(step, reply, error, now, final=final)
        self._book(step, flight, reply, error, result, identity=identity, now=now)

    def drop(self, step: StepRun, flight: Flight) -> None:
        """Book the end of a call that nothing needs any more; that is no error."""
        now = time.monotonic()
        identity = self._state.request.agents[step.step.agent].identity
        result = step.ended(StepStatus.CANCELLED, self._state.started_s, now, error=None)
        self._book(step, flight, Reply(outcome=Outcome.CANCELLED), None, result, identity=identity, now=now)

    def _book(
        self,
        step: StepRun,
        flight: Flight,
        reply: Reply,
        error: ErrorInfo | None,
        result: StepResult | None,
        *,
        identity: str,
        now: float,
    ) -> None:
        """Tell the ledger; *identity*: whose attempt it was, which a backup may have followed already."""
        self._state.settle.append(
            Settlement(
                ticket=flight.ticket,
                step=step.step.id,
                identity=identity,
                outcome=reply.outcome,
                usage=reply.usage,
                started_ms=max(0, round((flight.started_s - self._state.started_s) * 1000)),
                took_ms=max(0, round((now - flight.started_s) * 1000)),
                error=error,
                retry_after_ms=None if reply.retry_after_s is None else round(reply.retry_after_s * 1000),
                remote=reply.remote,
                result=None if result is None else self._state.recorded(result),
                cache=None if result is None else self._falling.order(step, result),
            )
        )
        if result is not None:
            step.finish(result)

    def _result(
        self, step: StepRun, reply: Reply, error: ErrorInfo | None, now: float, *, final: bool
    ) -> StepResult | None:
        """Return how the step ended, or None where it is tried again (and say so)."""
        name = step.step.id
        if error is None:
            result = step.answered(reply, self._state.started_s, now)
            self._state.say(f"{name} succeeded after {result.took_ms / 1000:.2f} s{_spent(result)}")
            self._falling.answered(step)
            return result
        step.last_error = error
        retry = (
            None
            if final
            else next_try(reply, self._state.request.plan.retry_times(step.step) or 0, step.tally, self._chance)
        )
        if retry is not None and now + retry.delay_s < self._state.deadline_s:
            if retry.warning:
                self._state.warn(f"{name}: {retry.warning}.")
            step.tally, step.phase, step.flight = retry.tally, Phase.DELAYED, None
            step.due_s = now + retry.delay_s
            step.new_ticket()
            self._state.say(f"{name} {reply.outcome}: {error.message}; again in {retry.delay_s:.1f} s")
            return None
        self._state.say(f"{name} {reply.outcome}: {error.message}")
        return self._falling.fall(step, status_of(reply.outcome), error, reply.outcome)


def _known_usage(reply: Reply) -> Usage:
    """Return what *reply* used; one that surely never ran used nothing, which is known without being told."""
    never_ran = not reply.sent or reply.outcome in (Outcome.REJECTED, Outcome.MISCONFIGURED)
    if reply.usage.tokens is None and never_ran and reply.outcome is not Outcome.SUCCEEDED:
        return reply.usage.model_copy(update={"tokens": 0})
    return reply.usage


def _error_of(reply: Reply) -> ErrorInfo:
    return ErrorInfo(
        code=reply.outcome, message=reply.message[:MESSAGE_LIMIT] or reply.outcome, retry_allowed=reply.retry_allowed
    )


def _spent(result: StepResult) -> str:
    return "" if result.usage.tokens is None else f", {result.usage.tokens} tokens"

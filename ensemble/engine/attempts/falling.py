"""What becomes of a step whose agent was refused or failed for good: cache, backup, default value, or the failure.

A step that falls to a backup is worked at like any other: its attempts are admitted, settled and tried again under the
backup's own name. Cache and default end it at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from ensemble.agents.port import Call
from ensemble.contract.answers import text_of
from ensemble.contract.caching import CacheOrder
from ensemble.contract.exchange import Why
from ensemble.contract.outcomes import Outcome, Source, StepStatus
from ensemble.contract.plain import plain
from ensemble.contract.results import ErrorInfo, StepResult
from ensemble.engine.attempts.caching import answer_key, cache_order
from ensemble.engine.attempts.preparing import for_backup, scope_of
from ensemble.engine.attempts.stand_ins import StandIn, stand_ins
from ensemble.engine.attempts.wording import age, recovered, together
from ensemble.engine.ports import Ledger, LedgerUnavailable
from ensemble.engine.retry import Tally
from ensemble.engine.state import RunState
from ensemble.engine.steps import Failure, Fallen, Phase, StepRun
from ensemble.plan.model import Plan, Step
from ensemble.plan.rendering import render

__all__ = ["Falling"]


class Falling:
    """Finds what stands in for the agents of one run."""

    def __init__(self, state: RunState, ledger: Ledger, prepared: MutableMapping[str, Call]) -> None:
        """Look for kept answers at *ledger*; *prepared* holds what each step's agent is given."""
        self._state = state
        self._ledger = ledger
        self._prepared = prepared

    def order(self, step: StepRun, result: StepResult) -> CacheOrder | None:
        """Return the order to keep *result* for later, if the plan wants that."""
        cache = self._state.request.plan.cache(step.step)
        if cache is None or result.source is not Source.AGENT:
            return None
        order, warning = cache_order(self._key(step), cache, result)
        self._state.warn(*([f"{result.step}: {warning}"] if warning else []))
        return order

    def answered(self, step: StepRun) -> None:
        """Say so where it was a backup that answered."""
        if step.fallen is not None:
            self._tell(step, step.fallen, f"its backup '{step.step.agent}' answered")

    def fall(
        self, step: StepRun, status: StepStatus, error: ErrorInfo, outcome: Outcome, why: Why | None = None
    ) -> StepResult | None:
        """Return how *step* ends, its agent having failed for good; None if a backup works at it from now on."""
        plan = self._state.request.plan
        fallen = step.fallen or Fallen(step.step, plan.fallbacks(step.step))
        step.fallen = fallen
        fallen.failures.append(Failure(step.step.agent, status, error))
        for stand_in in stand_ins(
            outcome,
            why,
            first=fallen.next_backup == 0,
            cached=plan.cache(fallen.planned) is not None,
            backup=fallen.next_backup < len(fallen.chain.backups),
            default=fallen.chain.default is not None,
            in_time=time.monotonic() < self._state.deadline_s,
        ):
            match stand_in:
                case StandIn.CACHE if (result := self._cached(step, fallen)) is not None:
                    return result
                case StandIn.BACKUP:
                    self.turn_to(step, fallen.chain.backups[fallen.next_backup])
                    return None
                case StandIn.DEFAULT:
                    return self._default(step, fallen)
        seen = [each for each in fallen.failures if each.status is not StepStatus.UNCERTAIN] or fallen.failures[-1:]
        return self._ended(step, fallen, seen[0].status, error=together(seen))

    def known_as(self, step: StepRun, identity: str) -> str | None:
        """Return the backup of *step*'s agent that is *identity*; None if it is that agent itself, or nobody known."""
        plan, agents = self._state.request.plan, self._state.request.agents
        if step.fallen is not None or agents[step.step.agent].identity == identity:
            return None
        return next((name for name in plan.fallbacks(step.step).backups if agents[name].identity == identity), None)

    def resume(self, step: StepRun, backup: str) -> None:
        """Let *backup* go on at *step* as in an earlier engine, for which all agents before it in the chain had failed."""
        fallen = Fallen(step.step, self._state.request.plan.fallbacks(step.step))
        error = ErrorInfo(code=Outcome.UNCERTAIN, message="an earlier engine of this run had given it up")
        before = fallen.chain.backups[: fallen.chain.backups.index(backup)]
        fallen.failures += (Failure(name, StepStatus.UNCERTAIN, error) for name in (fallen.planned.agent, *before))
        step.fallen = fallen
        self.turn_to(step, backup)

    def turn_to(self, step: StepRun, backup: str) -> None:
        """Let *backup* work at *step*; it stands in line for a place again."""
        plan, name = self._state.request.plan, step.step.id
        step.step = _stand_in(plan, step.step if step.fallen is None else step.fallen.planned, backup)
        step.tally, step.last_error, step.flight = Tally(), None, None
        step.new_ticket()
        step.phase = Phase.READY
        self._prepared[name] = for_backup(self._state, self._prepared[name], plan.agents[backup], step.home)
        self._state.say(f"{name} falls back to {backup}")

    def _cached(self, step: StepRun, fallen: Fallen) -> StepResult | None:
        cache = self._state.request.plan.cache(fallen.planned)
        if cache is None:
            return None
        try:
            view = self._ledger.cached(self._key(step))
        except LedgerUnavailable:
            return None
        if view.result is None or view.age_ms is None or view.age_ms >= cache.kept_s * 1000:
            return None
        stale = view.age_ms >= cache.fresh_s * 1000
        result = self._ended(
            step,
            fallen,
            StepStatus.SUCCEEDED,
            text=view.result.text,
            data=view.result.data,
            confidence=view.result.confidence,
            sources=view.result.sources,
            source=Source.CACHE,
            age_ms=view.age_ms,
            stale=stale,
        )
        kind = "a stale answer" if stale else "an answer"
        self._tell(step, fallen, f"{kind} from the cache, {age(view.age_ms)} old, was used")
        return result

    def _default(self, step: StepRun, fallen: Fallen) -> StepResult:
        value, warnings = render(fallen.chain.default, scope_of(self._state, step.home))
        self._state.warn(*warnings)
        data = _as_outputs(plain(value))
        self._tell(step, fallen, "its default value was used")
        return self._ended(step, fallen, StepStatus.SUCCEEDED, text=text_of(data), data=data, source=Source.DEFAULT)

    def _ended(self, step: StepRun, fallen: Fallen, status: StepStatus, **more: Any) -> StepResult:
        """Return the result in the name of the plan's own agent, with what all attempts took and used."""
        ended = step.ended(status, self._state.started_s, time.monotonic(), error=None)
        return ended.model_copy(update={"agent": fallen.planned.agent, **more})

    def _key(self, step: StepRun) -> str:
        identity = self._state.request.agents[step.step.agent].identity
        return answer_key(self._prepared[step.step.id], identity)

    def _tell(self, step: StepRun, fallen: Fallen, instead: str) -> None:
        self._state.warn(recovered(step.step.id, fallen.failures, instead))
        self._state.say(f"{step.step.id} recovered: {instead}")


def _stand_in(plan: Plan, planned: Step, backup: str) -> Step:
    """Return the step as *backup* works at it: by its own settings, and by the step's where it has none."""
    spec = plan.agents[backup]
    return replace(
        planned,
        agent=backup,
        timeout_s=planned.timeout_s if spec.timeout_s is None else spec.timeout_s,
        retry_times=planned.retry_times if spec.retry_times is None else spec.retry_times,
        max_tokens=planned.max_tokens if spec.max_tokens is None else spec.max_tokens,
        on_uncertain=plan.on_uncertain(planned),
    )


def _as_outputs(value: Any) -> dict[str, Any]:
    """Return a default value as the outputs of an agent that gave it."""
    if isinstance(value, Mapping):
        return dict(value)
    return {"text" if isinstance(value, str) else "output": value}

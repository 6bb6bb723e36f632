"""The engine's side of the exchange: putting news and wishes into one ask."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ensemble.agents.port import Call
from ensemble.contract.exchange import (
    CONTENT_HEAD,
    AdmissionAsk,
    CloseRun,
    Exchange,
    ExchangeAnswer,
    OpenRun,
    PlannedStep,
    Role,
)
from ensemble.engine.ledger.lineage import origin
from ensemble.engine.ports import Ledger
from ensemble.engine.recording import within
from ensemble.engine.scheduling.uncertain import cautious
from ensemble.engine.state import RunState
from ensemble.engine.steps import Phase
from ensemble.plan.fingerprint import fingerprint

__all__ = ["Teller"]


class Teller:
    """Sends one run's exchanges and keeps count of when the last one was."""

    def __init__(self, state: RunState, ledger: Ledger) -> None:
        """Speak for the run of *state* to *ledger*."""
        self._state = state
        self._ledger = ledger
        self.last_s = time.monotonic()

    def open(self, calls: Mapping[str, Call]) -> ExchangeAnswer:
        """Open the run and ask for its first admissions on the way."""
        state, request = self._state, self._state.request
        plan = request.plan
        identities = {name: agent.identity for name, agent in request.agents.items()}
        given = {**request.inputs, "sys.files": request.files} if request.files else request.inputs
        return self._send(
            Exchange(
                run_id=state.run_id,
                owner=state.owner,
                open=OpenRun(
                    run_key=request.run_key or state.run_id,
                    fingerprint=fingerprint(
                        plan, task=request.task, inputs=given, user=request.user, identities=identities
                    ),
                    trace_id=state.trace_id,
                    task=request.task[:CONTENT_HEAD],
                    pattern=plan.pattern,
                    steps=tuple(
                        PlannedStep(
                            id=step.id,
                            agent=step.worker,
                            identity=identities.get(step.agent),
                            depends_on=step.depends_on,
                        )
                        for step in plan.steps
                    ),
                    limits=request.limits,
                    budgets=request.budgets,
                    max_parallel=request.max_parallel,
                    **origin(request),
                ),
                ended=tuple(state.ended),
                admit=() if cautious(state) else self._wishes(calls),
            )
        )

    def exchange(self, calls: Mapping[str, Call], close: CloseRun | None = None) -> ExchangeAnswer:
        """Tell what happened and ask for what is wanted, or close the run."""
        state = self._state
        while (few := within([*state.settle, *state.ended])) < len(state.settle) + len(state.ended):
            settled = min(few, len(state.settle))
            answer = self._send(
                Exchange(
                    run_id=state.run_id,
                    owner=state.owner,
                    epoch=state.epoch,
                    settle=tuple(state.settle[:settled]),
                    ended=tuple(state.ended[: few - settled]),
                ),
                (settled, few - settled),
            )
            if answer.run.role is not Role.OWNER or (answer.run.cancelled and close is None):
                return answer
        return self._send(
            Exchange(
                run_id=state.run_id,
                owner=state.owner,
                epoch=state.epoch,
                reached=tuple(state.reached),
                settle=tuple(state.settle),
                ended=tuple(state.ended),
                close=close,
                admit=() if close else self._wishes(calls),
                holding=self._holding(),
            )
        )

    def _send(self, ask: Exchange, only: tuple[int | None, int | None] = (None, None)) -> ExchangeAnswer:
        """Send *ask*, and forget what it told: all news, or *only* so many settlements and ended steps."""
        answer = self._ledger.exchange(ask)
        self.last_s = time.monotonic()
        settled, ended = only
        del self._state.settle[:settled], self._state.ended[:ended]
        if settled is None:
            self._state.reached.clear()
        return answer

    def _holding(self) -> tuple[str, ...]:
        """Name the open tickets once the lease may have lapsed, so that the ledger takes them up again."""
        if time.monotonic() - self.last_s < self._state.lease_s:
            return ()
        return tuple(step.ticket for step in self._state.in_phase(Phase.RUNNING))

    def _wishes(self, calls: Mapping[str, Call]) -> tuple[AdmissionAsk, ...]:
        state, plan = self._state, self._state.request.plan
        return tuple(
            AdmissionAsk(
                ticket=step.ticket,
                step=step.step.id,
                agent=step.step.agent,
                identity=state.request.agents[step.step.agent].identity,
                host=state.request.agents[step.step.agent].host[:256] or None,
                host_parallel=state.request.host_parallel,
                priority=state.request.priority,
                attempt=step.attempts + 1,
                timeout_ms=max(1, round(state.request.attempt_timeout_s(step.step) * 1000)),
                max_tokens=plan.max_tokens(step.step),
                again=step.again,
                breaker=plan.breaker(step.step),
                content=calls[step.step.id].query[:CONTENT_HEAD],
            )
            for step in state.in_phase(Phase.ASKING)
        )

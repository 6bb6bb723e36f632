"""Doing what the ledger says: steps that are kept, attempts that may go out, must wait or are refused."""

from __future__ import annotations

import time
from dataclasses import replace

from ensemble.agents.port import Agent
from ensemble.contract.exchange import Admission, Decision, ExchangeAnswer, Uncertain
from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.contract.results import ErrorInfo
from ensemble.contract.tracing import attempt_span
from ensemble.engine.attempts.calls import Calls
from ensemble.engine.attempts.falling import Falling
from ensemble.engine.attempts.streaming import Streaming
from ensemble.engine.ledger.lineage import token
from ensemble.engine.scheduling.ending import Endings
from ensemble.engine.scheduling.keeping import keep
from ensemble.engine.scheduling.scheduler import Scheduler
from ensemble.engine.scheduling.uncertain import Reconciling, UncertainSteps
from ensemble.engine.state import RunState
from ensemble.engine.steps import MESSAGE_LIMIT, Kept, Phase, StepRun

__all__ = ["Heeding"]


class Heeding:
    """Carries the ledger's answers into the run."""

    def __init__(  # noqa: PLR0917 -- each stands in a place of its own
        self,
        state: RunState,
        calls: Calls,
        scheduler: Scheduler,
        streaming: Streaming,
        endings: Endings,
        falling: Falling,
    ) -> None:
        """Carry them into *state*."""
        self._state = state
        self._calls = calls
        self._scheduler = scheduler
        self._streaming = streaming
        self._endings = endings
        self._falling = falling
        self._uncertain = UncertainSteps(state)

    def heed(self, answer: ExchangeAnswer) -> None:
        """Do what an owner is told."""
        epochs = answer.kept_epochs or (0,) * len(answer.kept)  # an older ledger tells none
        for result, epoch in zip(answer.kept, epochs, strict=True):
            self._keep(Kept(result, epoch))
        self._uncertain.take(answer.uncertain)
        asking = {step.ticket: step for step in self._state.in_phase(Phase.ASKING)}
        for admission in answer.admissions:
            step = asking.get(admission.ticket)
            if step is not None and step.phase is Phase.ASKING:
                self._follow(step, admission)

    def settle_uncertain(self) -> None:
        """Decide what becomes of steps that an earlier engine left uncertain."""
        while self._uncertain.settle(self._give_up_uncertain, self._ask_after):
            self._scheduler.advance()

    def _give_up_uncertain(self, step: StepRun, why: str) -> None:
        self._scheduler.leave_place(step)
        self._endings.end(step, StepStatus.UNCERTAIN, ErrorInfo(code=Outcome.UNCERTAIN, message=why))
        self._state.say(f"{step.step.id} is uncertain and not run again")

    def _ask_after(self, step: StepRun, uncertain: Uncertain) -> bool:
        """Ask what became of the earlier attempt, whose agent's answer settles it; false: not yet.

        It may have been a backup's. Then that one works at the step from now on, and needs a place at its own host first.
        """
        backup = self._falling.known_as(step, uncertain.identity)
        if backup is not None:
            self._scheduler.leave_place(step)
            self._falling.resume(step, backup)
            return False
        step.ticket = uncertain.ticket
        agent = Reconciling(self._state.request.agents[step.step.agent], uncertain)
        self._state.say(f"{step.step.id}: asking {step.step.agent} what became of the call an earlier engine made")
        self._send_out(step, agent)
        return True

    def _keep(self, kept: Kept) -> None:
        """End the step of *kept*; one that waits for others has its turn first: what it is given may have changed."""
        name = kept.result.step
        step = self._state.steps.get(name)
        if step is None or step.phase is Phase.PENDING:
            self._state.kept[name] = kept
        elif step.phase is not Phase.DONE:
            if step.phase is Phase.ASKING:
                self._scheduler.leave_place(step)
            keep(self._state, step, kept)

    def _follow(self, step: StepRun, admission: Admission) -> None:
        match admission.decision:
            case Decision.ADMITTED:
                step.again = False
                self._state.warn(*admission.warnings)
                step.price_per_1k, step.currency = admission.price_per_1k, admission.currency
                self._call(step)
                return
            case Decision.DONE if admission.result is not None:
                step.finish(admission.result)
            case Decision.WAIT:
                step.phase = Phase.DELAYED
                step.due_s = time.monotonic() + max(10, admission.retry_after_ms or 0) / 1000
                self._state.say(f"{step.step.id} waits ({admission.why}): {admission.detail}")
            case _:
                self._scheduler.leave_place(step)  # a backup may want one at another host
                self._refused(step, admission)
                return
        self._scheduler.leave_place(step)

    def _call(self, step: StepRun) -> None:
        again = f", attempt {step.attempts + 1}" if step.attempts else ""
        self._state.say(f"{step.step.id} started ({step.step.agent}{again})")
        self._send_out(step, self._state.request.agents[step.step.agent])

    def _send_out(self, step: StepRun, agent: Agent) -> None:
        own = self._state.request.attempt_timeout_s(step.step)
        left = max(0.0, self._state.deadline_s - time.monotonic())
        name = step.step.id
        remembers = self._state.request.plan.spec(step.step).memory
        call = replace(
            self._scheduler.prepared[name],
            trace_id=self._state.trace_id,
            span_id=attempt_span(step.ticket),
            parent=token(self._state, step.ticket),
            stream=self._streaming.wish(step),
            memory=(self._state.request.conversation or self._state.run_id) if remembers else "",
        )
        self._calls.start(step, agent, call, min(own, left), cut_by_run=left < own)

    def _refused(self, step: StepRun, admission: Admission) -> None:
        """Go on without an agent the ledger won't let out; if it was tried before, what went wrong then is the better story."""
        detail = f"{admission.detail} ({admission.why})"
        if step.last_error is not None:
            message = f"{step.last_error.message} Then refused: {detail}"[:MESSAGE_LIMIT]
            status, error = StepStatus.FAILED, step.last_error.model_copy(update={"message": message})
        else:
            status, error = StepStatus.REFUSED, ErrorInfo(code=Outcome.REFUSED, message=detail[:MESSAGE_LIMIT])
        self._state.say(f"{step.step.id} refused: {detail}")
        result = self._falling.fall(step, status, error, Outcome.REFUSED, admission.why)
        if result is not None:
            self._state.finish(step, result)

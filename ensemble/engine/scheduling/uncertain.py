"""Steps that were under way when an earlier engine of the run died: done again, given up, or asked after."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ensemble.agents.port import Agent, Call, CallScope, Reconcilable, Reply
from ensemble.contract.exchange import Uncertain
from ensemble.contract.outcomes import Outcome
from ensemble.engine.state import RunState
from ensemble.engine.steps import NOW, Phase, StepRun

__all__ = ["RECONCILE", "Reconciling", "UncertainSteps", "cautious"]

RETRY, RECONCILE = "retry", "reconcile"
AGAIN = "{}: an earlier call died while its agent worked; it was run again."


def cautious(state: RunState) -> bool:
    """Return whether some step must not be done again before it is known whether it is uncertain."""
    plan = state.request.plan
    return state.request.run_key is not None and any(
        step.group is not None or plan.on_uncertain(step) != RETRY for step in plan.steps
    )


class Reconciling:
    """Stands where the agent stands, and asks what became of the earlier call in place of calling."""

    def __init__(self, agent: Agent, uncertain: Uncertain) -> None:
        """Ask *agent* about *uncertain*."""
        self._agent = agent
        self._uncertain = uncertain
        self.identity, self.host = agent.identity, agent.host

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Return how the earlier call ended."""
        remote = self._uncertain.remote
        if remote is None or not isinstance(self._agent, Reconcilable):
            return Reply(outcome=Outcome.UNCERTAIN, message=WORDS)
        return self._agent.reconcile(remote, call, scope)


WORDS = (
    "An earlier call of this run died while the agent worked: it may have done its work, and nobody knows how it ended. "
    "Look at the app's log in Dify; a repeated call of the tool runs the step again."
)


class UncertainSteps:
    """Those of one run that wait to be dealt with."""

    def __init__(self, state: RunState) -> None:
        """Begin with none."""
        self._state = state
        self._waiting: dict[str, Uncertain] = {}

    def take(self, found: Iterable[Uncertain]) -> None:
        """Take in what the ledger says after opening; what may be done again is said once."""
        plan = self._state.request.plan
        for each in found:
            step = self._state.steps.get(each.step)
            if step is not None and step.phase is Phase.DONE:
                continue
            if step is not None and plan.on_uncertain(step.step) == RETRY:
                self._state.warn(AGAIN.format(each.step))
            else:
                self._waiting[each.step] = each

    def settle(self, give_up: Callable[[StepRun, str], None], ask_after: Callable[[StepRun, Uncertain], bool]) -> bool:
        """Deal with those whose turn has come, before anything is asked for them; say whether one wants another place.

        *ask_after* says whether it has asked.
        """
        postponed = False
        for step in list(self._state.in_phase(Phase.ASKING)) if self._waiting else ():
            uncertain = self._waiting.pop(step.step.id, None)
            if uncertain is None:
                continue
            match self._state.request.plan.on_uncertain(step.step):
                case "retry":
                    self._state.warn(AGAIN.format(step.step.id))
                case "fail":
                    give_up(step, WORDS)
                case _ if step.given_in == NOW:  # what became of the call would answer another question
                    self._state.warn(AGAIN.format(step.step.id))
                case _ if not ask_after(step, uncertain):
                    self._waiting[step.step.id] = uncertain
                    postponed = True
                case _:
                    pass
        return postponed

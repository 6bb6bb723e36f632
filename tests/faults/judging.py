"""What must hold once everything is over: every run's record beside the agents' own log of who called them."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass, field, fields

from ensemble.client.sidecar import SidecarLedger
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import RunView
from sidecar.store.connection import connect
from tests.processes import until, until_zero
from tests.standin.apps import App, Usage
from tests.standin.service_api import StandIn

__all__ = ["STEPS", "Count", "judge", "team"]

STEPS = ("one", "two", "three")
TOKENS = 30
_MARK = re.compile(r"round \d+ [a-z0-9= ]+")
"""What a run's task and run_key are; its first agent is asked with it."""


@dataclass
class Count:
    """What went wrong in how many runs; only *runs* may be anything but zero, and what is said to be harmless."""

    runs: int = 0
    again_unflagged: int = 0
    """Steps called more often than the record admits."""
    finished_again: int = 0
    """Steps with a result on record that were worked on again."""
    stuck: int = 0
    """Runs that are not closed in the end."""
    halted: int = 0
    """Calls of the tool that failed though the plugin lived and nobody took their run."""
    wrong_budgets: int = 0
    leases: int = 0
    """Leases left when all runs were over."""
    again: int = 0
    """Harmless, for it is flagged: calls beyond one for each step, because nobody could know how the first had ended."""
    seen: list[str] = field(default_factory=list)
    """What to look at."""

    def add(self, other: Count) -> None:
        """Add up."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    @property
    def faults(self) -> int:
        """Everything that must be zero."""
        wrong = self.again_unflagged + self.finished_again + self.stuck + self.halted + self.wrong_budgets
        return wrong + self.leases


def team() -> list[App]:
    """Return the agents; the one in the middle takes long enough for things to happen while it works."""
    usage = Usage(prompt_tokens=TOKENS - 10, completion_tokens=10)
    latency = {"one": 0.02, "two": 0.2, "three": 0.02}
    return [App(name=name, latency_s=latency[name], answer=f"{name} is done", usage=usage) for name in STEPS]


def judge(run_ids: list[str], ledger: SidecarLedger, dify: StandIn, store_url: str, count: Count) -> None:
    """Wait until the runs are closed on record, and count what is wrong with them."""
    views = [_closed(run_id, ledger) for run_id in run_ids]
    called = Counter(
        (mark.group().strip(), call.app) for call in dify.log().calls if (mark := _MARK.match(call.query)) is not None
    )
    for view in views:
        if view.status is not RunStatus.SUCCEEDED:
            count.stuck += 1
            count.seen.append(f"{view.run_key} ({view.run_id}) is {view.status}")
        _judge_steps(view, called, count)
        _judge_budget(view, called, count)
    redis = connect(store_url)
    try:
        count.leases += until_zero(lambda: redis.zcard("ens:{default}:leases"))
    finally:
        redis.close()


def _closed(run_id: str, ledger: SidecarLedger) -> RunView:
    with contextlib.suppress(TimeoutError):
        until(lambda: ledger.run(run_id).status is not RunStatus.RUNNING, "the run to be closed on record")
    return ledger.run(run_id)


def _judge_steps(view: RunView, called: Counter[tuple[str, str]], count: Count) -> None:
    for step in STEPS:
        attempts = [each for each in view.attempts if each.step == step]
        calls, succeeded = called[view.run_key, step], [a for a in attempts if a.outcome is Outcome.SUCCEEDED]
        # Whoever takes a run over is told which steps were under way; late news of those may make them succeed twice.
        flagged = [a for a in attempts if a.outcome is not Outcome.SUCCEEDED or a.epoch < view.epoch]
        count.again += max(0, calls - 1)
        if calls > 1 and calls - 1 > len(flagged):
            count.again_unflagged += 1
            count.seen.append(f"{view.run_key}: {step} was called {calls} times, {len(flagged)} flagged")
        ended_ms = min((a.settled_ms for a in succeeded if a.settled_ms is not None), default=None)
        later = [a for a in attempts if ended_ms is not None and a.admitted_ms > ended_ms and not a.late]
        if later or len({a.epoch for a in succeeded}) < len(succeeded):
            count.finished_again += 1
            count.seen.append(f"{view.run_key}: {step} was worked on again: {attempts}")


def _judge_budget(view: RunView, called: Counter[tuple[str, str]], count: Count) -> None:
    """Every call is booked; beyond that only attempts that are flagged, each at its reservation of one call."""
    made = sum(called[view.run_key, step] for step in STEPS)
    flagged = sum(each.outcome is not Outcome.SUCCEEDED for each in view.attempts)
    budget = view.budget
    known = sum(each.outcome is Outcome.SUCCEEDED for each in view.attempts) * TOKENS
    exact = made <= budget.calls_committed <= made + flagged and budget.tokens_committed >= known
    if not exact or budget.calls_reserved or budget.tokens_reserved or budget.ms_reserved:
        count.wrong_budgets += 1
        count.seen.append(f"{view.run_key}: {made} calls, {flagged} flagged, {budget!r}")

"""One kill amid patterns: a run of each, the plugin killed once some of their parts are done, all resumed and counted."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.runs import AttemptView, RunsParams, RunView
from sidecar.store.connection import connect
from tests.faults.holding import sidecar_env
from tests.faults.judging import Count
from tests.processes import WAIT_S, until, until_zero
from tests.standin.daemon import PluginProcess
from tests.standin.invocation import Invocation, PluginDied, Result
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT, StandIn, process
from tests.standin.world import SidecarProcess, World
from tests.together.groups import ANSWERS, PLANS, SLOW, several
from tests.together.team import Team, team

__all__ = ["Patterns", "patterns"]

PARTS = 20
"""How many parts may be done when the plugin is killed; all runs of a round together have a few more."""
DIVIDED = {**SLOW, "tech": {"latency_s": 0.4}, "market": {"latency_s": 0.9}}
"""Where all are asked at once some are done before the others, so that there is a midway."""


class Patterns:
    """A world in which runs of every pattern are killed midway."""

    def __init__(self, sidecar: SidecarProcess, dify: StandIn) -> None:
        """Begin with a plugin of its own."""
        self._sidecar = sidecar
        self._dify = dify
        self._plugin = PluginProcess(ROOT).__enter__()
        self._ledger = SidecarLedger(sidecar.url, sidecar.token, connections())
        self._round = 0

    def close(self) -> None:
        """End the plugin."""
        self._plugin.__exit__(None, None, None)

    def round(self) -> Count:
        """Begin a run of each pattern, kill the plugin at some moment, call them all again, and count."""
        self._round += 1
        self._dify.reset()
        teams = {pattern: self._team(pattern) for pattern in PLANS}
        done = random.Random(self._round).randrange(PARTS)
        for pattern, each in teams.items():
            self._call(pattern, each)
        until(lambda: len(views := self._views()) == len(PLANS) and _done(views) >= done, f"{done} parts to be done")
        self._plugin.kill()
        killed = {view.run_key for view in self._views() if view.status is RunStatus.RUNNING}
        self._plugin.__exit__(None, None, None)
        self._plugin = PluginProcess(ROOT).__enter__()
        calls = {pattern: self._call(pattern, each) for pattern, each in teams.items()}
        count = Count(runs=len(killed))
        for pattern, call in calls.items():
            try:
                _judge_answer(pattern, call.result(WAIT_S), count)
            except PluginDied as died:
                count.halted += 1
                count.seen.append(f"{pattern}: {died}")
        self._judge(teams, count)
        return count

    def _team(self, pattern: str) -> Team:
        """Return apps of its own for a run, so that its calls are known from those of others."""
        changes = DIVIDED if pattern in ("vote", "race") else SLOW
        return team(World(self._sidecar, self._plugin, self._dify, {}), *several(**changes))

    def _key(self, pattern: str) -> str:
        return f"round {self._round} {pattern}"

    def _call(self, pattern: str, apps: Team) -> Invocation:
        saved = apps.credentials(host_parallel="64", max_parallel="64")
        plan = variable(PLANS[pattern])
        return apps.start("go", plugin=self._plugin, saved=saved, plan=plan, run_key=self._key(pattern))

    def _views(self) -> list[RunView]:
        """Return the runs of this round that are on record."""
        keys = {self._key(pattern) for pattern in PLANS}
        runs = self._ledger.list_runs(RunsParams(limit=len(PLANS))).runs
        return [self._ledger.run(run.run_id) for run in runs if run.run_key in keys]

    def _judge(self, teams: dict[str, Team], count: Count) -> None:
        with contextlib.suppress(TimeoutError):
            until(lambda: all(view.status is not RunStatus.RUNNING for view in self._views()), "all runs to be closed")
        views = {view.run_key: view for view in self._views()}
        counts = self._dify.log().counts
        for pattern, apps in teams.items():
            view = views[self._key(pattern)]
            if view.status is not RunStatus.SUCCEEDED:
                count.stuck += 1
                count.seen.append(f"{view.run_key} ({view.run_id}) is {view.status}: {view.warnings}")
            called = Counter({name: counts.get(app.name, 0) for name, app in apps.apps.items()})
            _judge_calls(view, called, count)
            _judge_budget(view, called.total(), count)
        redis = connect(f"unix://{self._sidecar.folder / 'store' / 'valkey.sock'}")
        try:
            count.leases += until_zero(lambda: redis.zcard("ens:{default}:leases"))
        finally:
            redis.close()


def _done(views: list[RunView]) -> int:
    return sum(each.outcome is Outcome.SUCCEEDED for view in views for each in view.attempts)


def _judge_answer(pattern: str, result: Result, count: Count) -> None:
    """A resumed run comes to the answer of one that nobody disturbed."""
    expected = ANSWERS.get(pattern, result.text)
    if result.error is not None or result.text != expected:
        count.halted += 1
        count.seen.append(f"{pattern}: {result.error or result.text!r}, expected {expected!r}")


def _judge_calls(view: RunView, called: Counter[str], count: Count) -> None:
    """Nobody is called more often than the record admits, and no part is worked on again that has its result."""
    for name, calls in called.items():
        attempts = [each for each in view.attempts if each.agent == name]
        parts = len({each.step for each in attempts})
        flagged = sum(each.outcome is not Outcome.SUCCEEDED for each in attempts)
        count.again += max(0, calls - parts)
        if calls > parts + flagged:
            count.again_unflagged += 1
            count.seen.append(f"{view.run_key}: {name} was called {calls} times for {parts} parts, {flagged} flagged")
    for step in {each.step for each in view.attempts}:
        of_step = [each for each in view.attempts if each.step == step]
        if _finished_again(of_step):
            count.finished_again += 1
            count.seen.append(f"{view.run_key}: {step} was worked on again: {of_step}")


def _finished_again(attempts: list[AttemptView]) -> bool:
    succeeded = [each for each in attempts if each.outcome is Outcome.SUCCEEDED]
    return len(succeeded) > 1 or any(
        each.epoch > first.epoch or each.attempt > first.attempt for first in succeeded for each in attempts
    )


def _judge_budget(view: RunView, made: int, count: Count) -> None:
    """Every call is booked; beyond that only attempts that are flagged, each at its reservation of one call."""
    flagged = sum(each.outcome is not Outcome.SUCCEEDED for each in view.attempts)
    budget = view.budget
    known = sum(each.usage.tokens or 0 for each in view.attempts if each.outcome is Outcome.SUCCEEDED)
    exact = made <= budget.calls_committed <= made + flagged and budget.tokens_committed >= known
    if not exact or budget.calls_reserved or budget.tokens_reserved or budget.ms_reserved:
        count.wrong_budgets += 1
        count.seen.append(f"{view.run_key}: {made} calls, {flagged} flagged, {budget!r}")


@contextlib.contextmanager
def patterns(store: str = "everysec") -> Iterator[Patterns]:
    """Start such a world on a store of this durability, until the block ends."""
    with (
        tempfile.TemporaryDirectory(prefix="ens-") as folder,
        contextlib.ExitStack() as stack,
    ):
        log = Path(folder) / "sidecar.log"
        sidecar = stack.enter_context(SidecarProcess(Path(folder), env=sidecar_env(store), log=log))
        dify = stack.enter_context(process())
        world = Patterns(sidecar, dify)
        stack.callback(world.close)
        yield world

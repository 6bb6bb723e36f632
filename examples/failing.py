"""An agent dies: it is isolated and named, its breaker opens, probes and closes, and nothing is paid for twice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.breakers import BreakerParams
from tests.standin.apps import App
from tests.standin.failures import always
from tests.standin.invocation import Result
from tests.standin.world import World

__all__ = ["show_failing"]

DEAD = "competitor_research"
RECOVERY_S = 1
PLAN: Mapping[str, Any] = {
    "pattern": "parallel",
    "agents": {
        "data_analysis": {},
        DEAD: {"breaker": {"failure_threshold": 2, "recovery_timeout": RECOVERY_S, "success_threshold": 1}},
        "improvement_suggestion": {},
    },
}
RUN_KEY = "the third quarter"


def show_failing(scene: World, task: str, apps: list[App]) -> None:
    """Let one of *apps* die and come back, and tell what each call of the tool makes of it."""
    print("\n── an agent dies, and comes back " + "─" * 44)
    play = _Play(scene, task, apps)
    play.let(dead=True)
    play.call("It is dead: its part is missing and named, the others' work is there", run_key=RUN_KEY)
    play.call("A second failure opens its breaker", run_key="another run")
    play.call("Now it is not even called: refused in no time", run_key="a third run")
    play.let(dead=False)
    time.sleep(RECOVERY_S)
    play.call("It is back: the first run's key again. One probe goes through", run_key=RUN_KEY)
    play.call("The same key once more: the answer is on record", run_key=RUN_KEY)


class _Play:
    """The scene, and who was called in it."""

    def __init__(self, scene: World, task: str, apps: list[App]) -> None:
        self._scene = scene
        self._task = task
        self._apps = apps
        self._sidecar = SidecarLedger(scene.sidecar.url, scene.sidecar.token, connections())

    def let(self, *, dead: bool) -> None:
        """Let the agent be dead, or well again."""
        failing = always("node_failed", "the price database is down")
        self._scene.dify.put(
            *(app.model_copy(update={"failures": failing}) if dead and app.name == DEAD else app for app in self._apps)
        )

    def call(self, title: str, *, run_key: str) -> None:
        """Call the tool and tell what came of it."""
        before = self._calls()
        result = self._scene.orchestrate(self._task, plan=PLAN, run_key=run_key).result()
        called = [name for name, calls in self._calls().items() if calls > before[name]]
        print(f"\n  {title}.")
        print(f"    run      {_run(result)}")
        print(f"    called   {', '.join(called) or 'nobody'}")
        for error in result.variables.get("errors", ()):
            if error["step"] == DEAD:
                print(f"    error    {error['agent']}: {error['code']}: {error['message']}")
        print(f"    breaker  {self._breaker(result)}")

    def _calls(self) -> Mapping[str, int]:
        counts = self._scene.dify.log().counts
        return {name: counts.get(name, 0) for name in PLAN["agents"]}

    def _breaker(self, result: Result) -> str:
        run = self._sidecar.run(result.variables["run_id"])
        identity = next(step.identity for step in run.steps if step.id == DEAD and step.identity)
        view = self._sidecar.get_breaker(BreakerParams(identity=identity))
        return f"{view.state} ({view.failures} failures in a row, {view.generation} changes of state)"


def _run(result: Result) -> str:
    told: Mapping[str, Any] = result.variables
    return f"{told['status']} after {result.took_s:.2f} s, {told['usage']['tokens']} tokens in all its results"

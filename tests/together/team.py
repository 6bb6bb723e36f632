"""A team of apps that belongs to one test, in a world that all tests share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

from tests.standin.apps import App, key_of
from tests.standin.calllog import Call
from tests.standin.daemon import PluginProcess
from tests.standin.invocation import Invocation, Result
from tests.standin.world import World

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Team:
    """Apps under names and keys nobody else has, and the credentials that know them."""

    scene: World
    apps: Mapping[str, App]
    """By the agent's name; the app's own name at Dify is longer."""

    @property
    def names(self) -> str:
        """The agents as one would type them."""
        return ", ".join(self.apps)

    def credentials(self, **changes: Any) -> dict[str, Any]:
        """Return what a builder would have saved for this team; *changes* replace single fields."""
        keys = ", ".join(f"{name} = {app.key}" for name, app in self.apps.items())
        return self.scene.credentials(**{"app_keys": keys, **changes})

    def start(
        self, task: str, *, plugin: PluginProcess | None = None, saved: Mapping[str, Any] | None = None, **fields: Any
    ) -> Invocation:
        """Call the orchestrator; the agents are the whole team where neither they nor a plan are given."""
        if not {"agents", "plan"} & fields.keys():
            fields["agents"] = self.names
        given = {"task": task, **fields}
        return (plugin or self.scene.plugin).invoke("orchestrator", given, saved or self.credentials())

    def run(self, task: str, **given: Any) -> Result:
        """Call it and wait for the end."""
        return self.start(task, **given).result()

    def run_at_once(self, *calls: Mapping[str, Any]) -> list[Result]:
        """Make several calls at one instant, each from a thread of its own; `calls` hold what `run` takes."""
        barrier = Barrier(len(calls))

        def call(given: Mapping[str, Any]) -> Result:
            barrier.wait()
            return self.run(**given)

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(call, calls))

    def calls(self, name: str) -> list[Call]:
        """The calls Dify saw of one agent."""
        return self.scene.dify.log().of(self.apps[name].name)


def team(scene: World, *apps: App) -> Team:
    """Put copies of *apps* into the scene's Dify, and return them under the names they were given."""
    number = next(_numbers)
    own = {}
    for app in apps:
        name = f"{app.name} of team {number}"
        own[app.name] = app.model_copy(update={"name": name, "key": key_of(name)})
    scene.dify.put(*own.values())
    return Team(scene, own)


def soon(run: Callable[[], Result], within_s: float) -> Result:
    """Return what *run* gives once it takes less than *within_s*; it is given three tries.

    Others may keep the machine busy through one of them; what is wrong here would slow down every one.
    """
    took: list[float] = []
    while len(took) < 3:
        result = run()
        if result.took_s < within_s:
            return result
        took.append(result.took_s)
    raise AssertionError(f"within {within_s:g} s was meant, and it took {took}")


def entry(result: Result, step: str) -> dict[str, Any]:
    """One entry of a result's *results*."""
    found: dict[str, Any] = next(each for each in result.variables["results"] if each["step"] == step)
    return found

"""One storm: runs go on while the cable between two parts delays, swallows, cuts or resets what goes through it."""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit, urlunsplit

from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.runs import RunsParams
from sidecar.launch.embedded import EmbeddedStore
from sidecar.settings import Durability
from tests.faults.holding import LEASE_MS, wait_for
from tests.faults.judging import STEPS, Count, judge, team
from tests.processes import until
from tests.standin.cable import Cable, Kind, Piece, Trouble, calm
from tests.standin.daemon import PluginProcess
from tests.standin.invocation import Invocation
from tests.standin.service_api import ROOT, StandIn, process
from tests.standin.world import SidecarProcess, World

__all__ = ["BETWEEN", "KINDS", "Storms", "storms"]

BETWEEN = ("plugin and sidecar", "sidecar and store", "plugin and agents")
KINDS: tuple[Kind, ...] = get_args(Kind.__value__)
RUNS = 12
STORM_S = 6.0
"""How long there is trouble at most: longer than the plugin waits for the sidecar, twice. It ends when the runs do."""
SHARE = 0.15
"""Of the pieces that go through, those that run into trouble."""
DELAYS_S = (0.05, 0.4, 2.5)
"""The last one is longer than the plugin waits for the sidecar, and that for its store."""
STEP_TIMEOUT_S = 3
BREAKER = {"failure_threshold": 1000}
"""Its opening is another story."""


class Weather:
    """A script for a cable: trouble of one kind, or of any, for some of the pieces; the same for the same seed."""

    def __init__(self, kinds: tuple[Kind, ...], seed: int) -> None:
        self._kinds = kinds
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self.troubles = 0

    def __call__(self, piece: Piece) -> Trouble | None:
        with self._lock:
            if self._chance.random() >= SHARE:
                return None
            self.troubles += 1
            kind = self._chance.choice(self._kinds)
            after = self._chance.randrange(piece.length)
            return Trouble(kind, delay_s=self._chance.choice(DELAYS_S), after_bytes=after)


class Storms:
    """A world some of whose connections are bad cables."""

    def __init__(self, cables: Mapping[str, Cable], sidecar: SidecarProcess, dify: StandIn, store_url: str) -> None:
        """Begin with a plugin of its own, and *cables* by whom they stand between."""
        self._cables = cables
        self._sidecar = sidecar
        self._dify = dify
        self._store_url = store_url
        self._plugin = PluginProcess(ROOT).__enter__()
        self._client = SidecarLedger(sidecar.url, sidecar.token, connections())
        self._round = 0

    def close(self) -> None:
        """End the plugin."""
        self._plugin.__exit__(None, None, None)

    def round(self, *kinds: Kind, storm_s: float = STORM_S) -> Count:
        """Let runs go on through trouble of these kinds, which ends, and count once everything has come to its end."""
        self._round += 1
        self._dify.reset()
        weather = Weather(kinds, self._round)
        for cable in self._cables.values():
            cable.script = weather
        calls = {mark: self._call(mark) for mark in (f"round {self._round} run={n}" for n in range(RUNS))}
        end = time.monotonic() + storm_s
        while time.monotonic() < end and not all(call.over for call in calls.values()):
            time.sleep(0.01)
        for cable in self._cables.values():
            cable.script = calm
        count = Count(runs=RUNS)
        wait_for(calls, count)
        if not weather.troubles:
            count.seen.append(f"round {self._round}: no trouble was met")
        with contextlib.suppress(TimeoutError):
            until(lambda: len(self._of_this_round()) == RUNS, "every run to be on record")
        run_ids = self._of_this_round()
        if len(run_ids) != RUNS:
            count.stuck += RUNS - len(run_ids)
            count.seen.append(f"round {self._round}: {len(run_ids)} of {RUNS} runs are on record")
        judge(run_ids, self._client, self._dify, self._store_url, count)
        return count

    def _call(self, mark: str) -> Invocation:
        world = World(self._sidecar, self._plugin, self._dify, {app.name: app for app in team()})
        saved = world.credentials(host_parallel="64", max_parallel="64", **self._urls())
        steps = [{"id": name, "agent": name, "query": "{{ task }}"} for name in STEPS]
        for before, step in zip(STEPS, steps[1:], strict=False):
            step["depends_on"] = before
        # Trouble on an agent's line is the agent's: it is for the plan to say how often that is worth another try.
        plan = {"defaults": {"retry_times": 8, "timeout": STEP_TIMEOUT_S, "breaker": BREAKER}, "steps": steps}
        return world.orchestrate(mark, credentials=saved, plan=plan, run_key=mark)

    def _urls(self) -> dict[str, str]:
        """Return the addresses that lead through a cable, by the field of the credentials they go into."""
        urls = {
            "plugin and sidecar": ("sidecar_url", self._sidecar.url),
            "plugin and agents": ("dify_base_url", self._dify.url),
        }
        return {
            name: urlunsplit(urlsplit(url)._replace(netloc=f"127.0.0.1:{self._cables[between].port}"))
            for between, (name, url) in urls.items()
            if between in self._cables
        }

    def _of_this_round(self) -> list[str]:
        runs = self._client.list_runs(RunsParams(limit=2 * RUNS)).runs
        return [run.run_id for run in runs if run.run_key.startswith(f"round {self._round} ")]


@contextlib.contextmanager
def storms(*between: str) -> Iterator[Storms]:
    """Start a world with bad cables *between* some of its parts, until the block ends."""
    env = {"ENSEMBLE_LEASE_MS": str(LEASE_MS), "ENSEMBLE_LOG_LEVEL": "error", "ENSEMBLE_THREADS": "32"}
    with tempfile.TemporaryDirectory(prefix="ens-") as folder, contextlib.ExitStack() as stack:
        cables = {each: stack.enter_context(Cable(("", 0))) for each in between}
        store_url = f"unix://{Path(folder) / 'store' / 'valkey.sock'}"
        if "sidecar and store" in cables:
            store = EmbeddedStore(Path(folder) / "own", Durability.EVERYSEC)
            store.start()
            stack.callback(store.stop)
            store_url, cables["sidecar and store"].target = store.url, str(store.socket)
            env["ENSEMBLE_REDIS_URL"] = f"redis://127.0.0.1:{cables['sidecar and store'].port}/0"
        log = Path(folder) / "sidecar.log"
        sidecar = stack.enter_context(SidecarProcess(Path(folder), env=env, log=log))
        dify = stack.enter_context(process(*team()))
        for each, url in (("plugin and sidecar", sidecar.url), ("plugin and agents", dify.url)):
            if each in cables:
                cables[each].target = ("127.0.0.1", int(str(urlsplit(url).port)))
        world = Storms(cables, sidecar, dify, store_url)
        stack.callback(world.close)
        yield world

"""Read by every Python that is started with this folder on PYTHONPATH: holds chosen exchanges at chosen points.

The product knows nothing of this. Where ENSEMBLE_TEST_HOLD names a folder, three functions are wrapped as their modules
are loaded: the plugin's exchange, the sidecar's exchange, and its commit. A run whose task ends with ``hold=<point>``
stops there once, tells so by the file ``<run id>.held`` (its process id), and goes on when ``<run id>.go`` is there.
"""

import importlib.abc
import importlib.machinery
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(os.environ.get("ENSEMBLE_TEST_HOLD", ""))
STEP = "two"
LONGEST_S = 60.0


def reached(run_id: str, *points: str) -> None:
    """Stop here if this run is to be held at one of *points* and has not been yet."""
    told, held, go = (FOLDER / f"{run_id}{end}" for end in (".point", ".held", ".go"))
    if not told.exists() or told.read_text() not in points or held.exists():
        return
    draft = FOLDER / f"{run_id}.draft"
    draft.write_text(str(os.getpid()))
    draft.replace(held)
    until = time.monotonic() + LONGEST_S
    while not go.exists() and time.monotonic() < until:
        time.sleep(0.005)


def kind(ask: Any) -> str:
    """Return what *ask* does for the step that is watched, or for the run's end."""
    if any(each.step == STEP for each in ask.settle):
        return "settle"
    if any(each.step == STEP for each in ask.admit):
        return "admit"
    return "close" if ask.close is not None and STEP else ""


def in_plugin(module: ModuleType) -> None:
    """Hold the plugin before and after an exchange."""
    original = module.SidecarLedger.exchange

    def exchange(self: Any, ask: Any) -> Any:
        if ask.open is not None and "hold=" in ask.open.task:
            told = FOLDER / f"{ask.run_id}.point"
            if not told.exists():
                told.write_text(ask.open.task.partition("hold=")[2].strip())
        what = kind(ask)
        reached(ask.run_id, f"plugin before {what}")
        answer = original(self, ask)
        reached(ask.run_id, f"plugin after {what}", f"call after {what}")
        return answer

    module.SidecarLedger.exchange = exchange


asked = threading.local()


def in_runs(module: ModuleType) -> None:
    """Hold the sidecar after an exchange was committed, before it is answered."""
    original = module.Runs.exchange

    def exchange(self: Any, tenant: str, ask: Any) -> Any:
        asked.ask = ask
        answer = original(self, tenant, ask)
        reached(ask.run_id, f"sidecar after {kind(ask)}")
        return answer

    module.Runs.exchange = exchange


def in_store(module: ModuleType) -> None:
    """Hold the sidecar after an exchange was decided, before it is committed."""
    original = module._COMMIT.run

    def run(*given: Any) -> Any:
        ask = getattr(asked, "ask", None)
        if ask is not None:
            reached(ask.run_id, f"sidecar before {kind(ask)}")
        return original(*given)

    module._COMMIT.run = run


WRAPPED: dict[str, Callable[[ModuleType], None]] = {
    "ensemble.client.sidecar": in_plugin,
    "sidecar.runs.service": in_runs,
    "sidecar.store.store": in_store,
}


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules to wrap as everybody else does, and wraps them once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in WRAPPED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        loader, load = spec.loader, spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            WRAPPED[name](module)

        loader.exec_module = exec_module  # type: ignore[method-assign]  # that is the trick
        return spec


if os.environ.get("ENSEMBLE_TEST_HOLD"):
    sys.meta_path.insert(0, Finder())

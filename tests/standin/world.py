"""Everything at once, each part a real process: the sidecar with its store, the plugin, and a stand-in for Dify."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.processes import store_in
from tests.standin.apps import App
from tests.standin.daemon import PluginProcess
from tests.standin.invocation import Invocation
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT, StandIn, process

TOKEN = "a-token-for-this-machine-only"
PUBLIC_URL = "https://sidecar.example/ensemble"
"""Where nobody listens: whoever opens a run's link takes what follows it, and asks the sidecar itself."""
STOP_S = 10.0


class SidecarProcess:
    """A sidecar with an embedded store, on a free port, with its data in *folder*."""

    def __init__(
        self,
        folder: Path,
        *,
        python: str = sys.executable,
        module: str = "sidecar",
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        """Say where; entering the block starts it. *module* is what runs: the sidecar, or something around it.

        What it logs goes to *log*, else to this process's stderr.
        """
        self.folder = folder
        self.token = TOKEN
        self.url = ""
        self._python = python
        self._module = module
        self._env = dict(env or {})
        self._log = log
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it; it listens when this returns."""
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End it, and the store that a killed one leaves for the next one to take over."""
        self.stop()
        left = store_in(self.folder)
        if left is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)

    def start(self, port: int = 0) -> None:
        """Start it; it listens when this returns."""
        env = {
            **os.environ,
            "ENSEMBLE_PORT": str(port),
            "ENSEMBLE_DATA_DIR": str(self.folder),
            "ENSEMBLE_TOKENS": f"default={self.token}",
            "ENSEMBLE_LOG_LEVEL": "warning",
            "ENSEMBLE_PUBLIC_URL": PUBLIC_URL,
            **self._env,
        }
        with contextlib.ExitStack() as stack:
            log = None if self._log is None else stack.enter_context(self._log.open("a"))
            self._child = subprocess.Popen(
                [self._python, "-m", self._module],
                cwd=ROOT,
                env=env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._child.stdout
        line = self._child.stdout.readline()
        found = re.search(r"http://\S+", line)
        if found is None:
            raise RuntimeError(f"the sidecar ended with status {self._child.wait()} before it listened: {line!r}")
        self.url = found.group()

    @property
    def pid(self) -> int:
        """The launcher's process id; its workers and its store are its children. 0: it does not run."""
        return self._child.pid if self._child else 0

    @property
    def port(self) -> int:
        """The port it listens at."""
        return int(self.url.rsplit(":", 1)[1])

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            assert self._child.stdout
            self._child.stdout.close()
            self._child = None

    def kill(self) -> None:
        """Kill it and its workers at once; its store ends by itself, or is ended by the next start."""
        if self._child is not None:
            os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            assert self._child.stdout
            self._child.stdout.close()

    def pause(self) -> None:
        """Stop all its processes where they stand."""
        if self._child is not None:
            os.killpg(self._child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        if self._child is not None:
            os.killpg(self._child.pid, signal.SIGCONT)


@dataclass(frozen=True)
class World:
    """A sidecar, a plugin and a Dify with apps, wired to each other."""

    sidecar: SidecarProcess
    plugin: PluginProcess
    dify: StandIn
    apps: Mapping[str, App]

    def credentials(self, **changes: Any) -> dict[str, Any]:
        """Return what a builder would have saved; *changes* replace single fields."""
        keys = " ".join(f"{app.name} = {app.key}" for app in self.apps.values())
        return {
            "sidecar_url": self.sidecar.url,
            "sidecar_token": self.sidecar.token,
            "dify_base_url": self.dify.url,
            "app_keys": keys,
            **changes,
        }

    def orchestrate(self, task: str, *, credentials: Mapping[str, Any] | None = None, **parameters: Any) -> Invocation:
        """Call the orchestrator as a workflow does; texts pass Dify's template rule, everything else is a variable."""
        given = {
            name: value if isinstance(value, str) or hasattr(value, "value") else variable(value)
            for name, value in {"task": task, **parameters}.items()
        }
        return self.plugin.invoke("orchestrator", given, credentials or self.credentials())


@contextlib.contextmanager
def world(*apps: App, env: Mapping[str, str] | None = None, root: Path = ROOT, **options: Any) -> Iterator[World]:
    """Start everything, with *apps* in Dify, until the block ends.

    Args:
        *apps: what Dify serves; each is an agent by its name.
        env: more environment for the sidecar.
        root: where the plugin's sources are.
        **options: fields of the stand-in's ``Config``.

    """
    with contextlib.ExitStack() as stack:
        # Begun first, waited for last: it takes longer to import the SDK than everything else takes to start.
        starting = PluginProcess(root)
        stack.callback(starting.kill)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ensemble-"))
        sidecar = stack.enter_context(SidecarProcess(Path(folder), env=env))
        dify = stack.enter_context(process(*apps, **options))
        plugin = stack.enter_context(starting)
        yield World(sidecar, plugin, dify, {app.name: app for app in apps})

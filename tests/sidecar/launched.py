"""A sidecar that was started as a process of its own, as `python -m sidecar` is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3

from sidecar.store.connection import connect
from tests.processes import children_of

__all__ = ["PATIENCE_S", "ROOT", "Sidecar", "Start"]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20

type Start = Callable[..., Sidecar]


class Sidecar:
    """A started sidecar."""

    def __init__(self, data: Path, **variables: str) -> None:
        """Start it on *data* and wait until it says where it listens."""
        self.data = data
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ENSEMBLE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sidecar"],
            cwd=ROOT,
            env=clean | {"ENSEMBLE_DATA_DIR": str(data), "ENSEMBLE_PORT": "0"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()

    @property
    def url(self) -> str:
        """Where it listens, as it wrote to its data directory."""
        return (self.data / "address").read_text().strip()

    def ask(self, method: str, path: str, body: str | None = None) -> Any:
        """Ask with the token of the data directory."""
        headers = {"Authorization": f"Bearer {(self.data / 'token').read_text().strip()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return urllib3.request(method, self.url + path, body=body, headers=headers, retries=False, timeout=PATIENCE_S)

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it; return its exit status and what it logged."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        _, logged = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, logged

    def children(self) -> set[int]:
        """Return the process ids of its workers and its store."""
        return set(children_of(self.process.pid))

    def store_pid(self) -> int:
        """Return the process id of its embedded store."""
        client = connect(f"unix://{self.data / 'store' / 'valkey.sock'}")
        pid = client.info("server")["process_id"]
        client.close()
        return int(pid)

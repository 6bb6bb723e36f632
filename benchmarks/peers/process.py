"""Our side of the conversation with a peer: its process, one line out, one line back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["PEERS_PYTHON", "Peer", "peer", "peers_installed"]

ROOT = Path(__file__).parent.parent.parent
PEERS_PYTHON = ROOT / "build" / "peers-venv" / "bin" / "python"
STOP_S = 10.0


def peers_installed() -> bool:
    """Whether the environment with other people's engines is there; `make bench` makes it."""
    return PEERS_PYTHON.exists()


class Peer:
    """A worker that answers."""

    def __init__(self, module: str, child: subprocess.Popen[str]) -> None:
        """Wrap *child*; made by :func:`peer`."""
        self._module = module
        self._child = child

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask and wait for the answer. Raises RuntimeError if the worker ended instead."""
        assert self._child.stdin is not None and self._child.stdout is not None  # noqa: PT018, S101 - opened as pipes
        self._child.stdin.write(json.dumps(question) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended with status {self._child.wait()} instead of an answer")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def peer(module: str, *arguments: str, foreign: bool = False) -> Iterator[Peer]:
    """Start ``benchmarks.peers.<module>`` until the block ends; *foreign*: in the peers' own environment."""
    python = str(PEERS_PYTHON) if foreign else sys.executable
    child = subprocess.Popen(
        [python, "-m", f"benchmarks.peers.{module}", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Peer(module, child)
    finally:
        # It ends with its stdin; one that hangs is killed.
        assert child.stdin is not None and child.stdout is not None  # noqa: PT018, S101 - opened as pipes
        child.stdin.close()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()

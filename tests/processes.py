"""Looking at processes and waiting for what they do."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["WAIT_S", "alive", "children_of", "store_in", "store_of", "until", "until_zero", "workers_of"]

WAIT_S = 30.0


def children_of(pid: int) -> dict[int, str]:
    """Return the processes that *pid* has started, with their command lines, also those it has not heard the end of yet."""
    return {child: line for child, (parent, _, line) in _processes().items() if parent == pid}


def workers_of(launcher: int) -> set[int]:
    """Return the worker processes of a sidecar's launcher."""
    return {child for child, line in children_of(launcher).items() if "valkey" not in line}


def store_of(launcher: int) -> int:
    """Return the embedded store of a sidecar's launcher. Raises StopIteration where it has none."""
    return next(child for child, line in children_of(launcher).items() if "valkey" in line)


def store_in(folder: Path) -> int | None:
    """Return the embedded store whose data are in *folder*, if it runs, also where nobody started it that still runs."""
    socket = str(folder / "store" / "valkey.sock")
    return next((pid for pid, (*_, line) in _processes().items() if socket in line), None)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has heard of doesn't."""
    _, state, _ = _processes().get(pid, (0, "Z", ""))
    return not state.startswith("Z")


def _processes() -> dict[int, tuple[int, str, str]]:
    """Return parent, state and command line of every process; what this needs of `ps` Linux and macOS have."""
    listed = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = [line.split(maxsplit=3) for line in listed.stdout.splitlines()]
    return {int(row[0]): (int(row[1]), row[2], row[3]) for row in rows if len(row) == 4}


def until(done: Callable[[], bool], what: str, tell: Callable[[], Any] = lambda: "") -> None:
    """Look until *done*. Raises TimeoutError."""
    end = time.monotonic() + WAIT_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {WAIT_S:g} s for {what}: {tell()}")
        time.sleep(0.01)


def until_zero(number: Callable[[], int]) -> int:
    """Return 0 as soon as *number* is, else what it is in the end."""
    with contextlib.suppress(TimeoutError):
        until(lambda: number() == 0, "nothing to be left")
    return number()

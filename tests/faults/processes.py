"""Looking at processes and waiting for what they do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["WAIT_S", "alive", "children", "until", "until_zero", "valkey_of"]

WAIT_S = 30.0


def children(pid: int) -> set[int]:
    """Return the gunicorn workers of a launcher."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in listed if "valkey" not in command(int(child))}


def valkey_of(pid: int) -> int:
    """Return the store of a launcher."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(child) for child in listed if "valkey" in command(int(child)))


def command(pid: int) -> str:
    """Return the command line of a process, empty if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    return ""


def alive(pid: int) -> bool:
    """Whether a process runs."""
    return command(pid) != ""


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

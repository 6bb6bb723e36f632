"""The runner for ordinary Python processes: a thread a call. A thread can't be killed; its call's socket is shut."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["ThreadRunner"]


class _ThreadJob:
    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread

    def cancel(self) -> None:
        """Do nothing: cancelling the call's scope has shut its socket."""

    def ended(self) -> bool:
        return not self._thread.is_alive()


class ThreadRunner:
    """Runs each call in a daemon thread of its own."""

    def start(self, name: str, work: Callable[[], None]) -> _ThreadJob:
        """Run *work* in a thread called *name*."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return _ThreadJob(thread)

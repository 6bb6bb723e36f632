"""One piece of work beside the engine: what it would otherwise wait for while it has things to say."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Self

from ensemble.engine.ports import Runner

__all__ = ["Beside"]


class Beside[T]:
    """Runs *work* for the length of a block, whose end waits for it; nothing of it is left behind."""

    def __init__(self, runner: Runner, name: str, work: Callable[[], T]) -> None:
        """Take what is to be done; entering the block starts it."""
        self._runner = runner
        self._name = name
        self._work = work
        self._ended: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()
        self._outcome: tuple[T, None] | tuple[None, BaseException] | None = None

    def __enter__(self) -> Self:
        """Start it, and let it come as far as its first wait."""
        self._runner.start(self._name, self._run)
        time.sleep(0)
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until it has ended, however the block did."""
        self._outcome = self._outcome or self._ended.get()

    def result(self) -> T:
        """Return what it returned, or raise what it raised; waits for either."""
        self._outcome = self._outcome or self._ended.get()
        match self._outcome:
            case (_, BaseException() as error):
                raise error
            case (value, _):
                return value

    def _run(self) -> None:
        try:
            self._ended.put((self._work(), None))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self._ended.put((None, error))

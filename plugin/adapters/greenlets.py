"""The engine's runner inside the plugin: a greenlet a call, and a cancelled one is killed.

Not a thread pool: the SDK makes threads into greenlets, but a pool's can't be killed, and its workers outlive the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import gevent
from gevent.lock import BoundedSemaphore

__all__ = ["GreenletRunner", "in_parallel"]


class _GreenletJob:
    def __init__(self, greenlet: gevent.Greenlet[[], None]) -> None:
        self._greenlet = greenlet

    def cancel(self) -> None:
        self._greenlet.kill(block=False)

    def ended(self) -> bool:
        return bool(self._greenlet.ready())


class GreenletRunner:
    """Runs each call in a greenlet of its own."""

    def start(self, name: str, work: Callable[[], None]) -> _GreenletJob:
        """Run *work* in a greenlet called *name*."""
        greenlet = gevent.spawn(work)
        greenlet.name = name
        return _GreenletJob(greenlet)


def in_parallel[T](works: Mapping[str, Callable[[], T]], *, within_s: float, at_most: int) -> dict[str, T]:
    """Return by name what each of *works* returned, at most *at_most* of them running at one time.

    What has not ended *within_s* seconds from now is killed and absent from the answer.

    Raises:
        Exception: what one of them raised.

    """
    places = BoundedSemaphore(at_most)

    def placed(work: Callable[[], T]) -> T:
        with places:
            return work()

    greenlets = {name: gevent.spawn(placed, work) for name, work in works.items()}
    gevent.joinall(list(greenlets.values()), timeout=within_s)
    ended = {name: greenlet for name, greenlet in greenlets.items() if greenlet.ready()}
    gevent.killall(list(greenlets.values()), block=False)
    return {name: greenlet.get() for name, greenlet in ended.items()}

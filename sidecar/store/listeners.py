"""Who hears what decisions came to; none of them may break, or hold up, what they hear of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from ensemble.rules.happenings import Happening

__all__ = ["Listener", "Listeners"]

type Listener = Callable[[str, tuple[Happening, ...]], None]
"""Takes the tenant and what has happened, in order, once it is written; called by whoever serves, so it must not wait."""

log = logging.getLogger("sidecar.listeners")


class Listeners:
    """Those who hear what decisions came to."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = tuple(listeners)
        self._faulty: set[Listener] = set()

    def tell(self, tenant: str, news: tuple[Happening, ...]) -> None:
        """Let each hear *news*. One that fails is told of once, since it may fail at every exchange."""
        for listener in self._listeners if news else ():
            try:
                listener(tenant, news)
            except Exception:
                if listener not in self._faulty:
                    self._faulty.add(listener)
                    log.exception("A listener failed. What it fails at again is not told.", extra={"tenant": tenant})

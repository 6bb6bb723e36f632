"""What an endpoint answers that tells things as they happen: server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ensemble.contract.base import Answer

__all__ = ["Events"]

RETRY_MS = 500
"""After how long a reader asks again when the stream ends."""


class Events:
    """Events with their ids, None for a sign of life between them; *on_close* is called when the reader is gone."""

    def __init__(self, events: Iterator[tuple[int, Answer] | None], on_close: Callable[[], None]) -> None:
        self._events = events
        self.on_close = on_close

    def lines(self) -> Iterator[str]:
        """Yield the stream as it is sent."""
        yield f"retry: {RETRY_MS}\n\n"
        for event in self._events:
            if event is None:
                yield ": \n\n"
            else:
                event_id, answer = event
                yield f"id: {event_id}\nevent: message\ndata: {answer.model_dump_json()}\n\n"

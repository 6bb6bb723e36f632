"""Counts tokens exactly: the encodings of the models, loaded once and shared.

The tables take about 80 MB for both encodings. The launcher loads them before gunicorn forks, so that all workers share
one copy; loaded at first use, every worker would have its own. Counting lets other threads of a worker run meanwhile.
"""

from __future__ import annotations

from typing import Literal

import toktok

from ensemble.contract.context import Encoding

__all__ = ["COUNTERS", "ExactCounter", "load_encodings"]

_NAMES = {Encoding.O200K: "o200k_base", Encoding.CL100K: "cl100k_base"}


class ExactCounter:
    """Counts by one encoding."""

    def __init__(self, encoding: Encoding) -> None:
        """Count by *encoding*, which is loaded when something is counted for the first time."""
        self.name = str(encoding)
        self._table = _NAMES[encoding]

    @property
    def exact(self) -> Literal[True]:
        """It is the models' own count."""
        return True

    def count(self, text: str) -> int:
        """Return how many tokens *text* has; a special token's name in it is ordinary text."""
        # Truncating tells the count of the whole text, in the caller's thread; the batch call starts threads each time.
        return int(toktok.truncate(text, 0, self._table)[1])

    def size(self, text: str) -> int:
        """Return the same."""
        return self.count(text)


COUNTERS = {encoding: ExactCounter(encoding) for encoding in Encoding}


def load_encodings() -> None:
    """Load every encoding now; takes about half a second."""
    for counter in COUNTERS.values():
        counter.count("now")

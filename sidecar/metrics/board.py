"""Numbers that several processes count in, in memory they share; whoever of them is killed leaves what it has counted.

prometheus_client has such memory too, in files that grow under the processes' feet: on a full disk the next number would
end a worker by SIGBUS, worker after worker. This memory belongs to no file. The launcher makes it before it forks, so
there is nothing to sweep up, and sidecars beside each other have nothing to do with each other.

Each process has a place of its own, which nobody else writes to; one that starts where another has ended goes on with
its place. A place begins with how much of its text is used. The text is one JSON list a line, the name of a number and
the values of its labels; the number of the first line is the first of the numbers. A line is there once all of it is.
"""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Container, Iterable, Iterator

__all__ = ["Board", "Series", "Sheet"]

type Series = tuple[str, ...]
"""The name of a number, and the values of its labels."""

MOST_SERIES = 16_384
"""Of one process. Untouched memory costs nothing."""
TEXT_BYTES = 2 * 2**20
_HEAD_BYTES = 64
_VALUES_END = _HEAD_BYTES + 8 * MOST_SERIES
PLACE_BYTES = _VALUES_END + TEXT_BYTES
_USED, _LIVE = 0, 1
"""In the head: bytes of text; whether a process has the place."""


class _Place:
    """Head, numbers and text of one place."""

    def __init__(self, memory: memoryview) -> None:
        self.head = memory[:_HEAD_BYTES].cast("q")
        self.values = memory[_HEAD_BYTES:_VALUES_END].cast("d")
        self.text = memory[_VALUES_END:]

    def series(self) -> Iterator[Series | None]:
        """Yield what each number is; None where a line can't be read, which is none of ours then."""
        for line in bytes(self.text[: self.head[_USED]]).splitlines():
            try:
                yield tuple(json.loads(line))
            except ValueError:
                yield None


class Board:
    """The places of all processes."""

    def __init__(self, places: int, *, passing: Container[str] = (), overflow: Series = ("overflow",)) -> None:
        """Have *places* places; to be made before the processes are.

        Args:
            places: How many processes may count at one time.
            passing: Names of numbers that go with their process; all others stay.
            overflow: What counts that there was no room for a number.

        """
        self.places = places
        self._passing = passing
        self._overflow = overflow
        memory = memoryview(mmap.mmap(-1, places * PLACE_BYTES))
        self._places = [_Place(memory[n * PLACE_BYTES : (n + 1) * PLACE_BYTES]) for n in range(places)]

    def take(self, number: int) -> Sheet:
        """Let this process count in a place nobody has, where whoever had it before has left off."""
        place = self._places[number]
        sheet = Sheet(place, self._overflow)
        for series, at in sheet.known():
            if series[0] in self._passing:
                place.values[at] = 0.0
        place.head[_LIVE] = 1
        return sheet

    def leave(self, number: int) -> None:
        """Take note that the process in a place has ended."""
        self._places[number].head[_LIVE] = 0

    def total(self) -> dict[Series, float]:
        """Return the sum of each number over all places."""
        sums: dict[Series, float] = {}
        for place in self._places:
            live = bool(place.head[_LIVE])
            for series, value in zip(place.series(), place.values, strict=False):
                if series and (live or series[0] not in self._passing):
                    sums[series] = sums.get(series, 0.0) + value
        return sums


class Sheet:
    """What one process counts; its threads may all do so at once."""

    def __init__(self, place: _Place, overflow: Series) -> None:
        """Go on where *place* was left; what finds no room is counted as *overflow*."""
        self._place = place
        self._values = place.values
        self._lock = threading.Lock()
        lines = list(place.series())
        self._lines = len(lines)
        self._at = {series: at for at, series in enumerate(lines) if series}
        self._overflow = 0  # the first one there is, whose place always has room for it
        if not lines:
            self._begin(overflow)

    def known(self) -> Iterable[tuple[Series, int]]:
        """Return the numbers there are, and where."""
        return self._at.items()

    def add(self, amounts: Iterable[tuple[Series, float]]) -> None:
        """Add to several numbers. Each is written at once, so that nobody ever reads half of it."""
        values, places = self._values, self._at
        with self._lock:
            for series, amount in amounts:
                at = places.get(series)
                if at is None:
                    at = self._begin(series)
                if at is None:
                    values[self._overflow] += 1
                else:
                    values[at] += amount

    def put(self, series: Series, value: float) -> None:
        """Let a number be *value*."""
        with self._lock:
            at = self._at.get(series)
            if at is None:
                at = self._begin(series)
            if at is not None:
                self._values[at] = value

    def _begin(self, series: Series) -> int | None:
        """Return where a new number stands, None where there is no room."""
        line = json.dumps(series).encode() + b"\n"
        place, at = self._place, self._lines
        used = place.head[_USED]
        if at >= MOST_SERIES or used + len(line) > TEXT_BYTES:
            return None
        place.text[used : used + len(line)] = line
        place.head[_USED] = used + len(line)
        self._at[series] = at
        self._lines += 1
        return at

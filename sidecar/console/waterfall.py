"""Where the bars of a run's attempts stand on one scale of time. Pure geometry, in per cent of the drawing's width.

A run that waited an hour between two engines would show nothing but that hour, so stretches in which nothing went on are
folded to a sliver.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Fold", "Scale", "Tick", "placed", "scale_of", "ticks"]

FOLD_FROM_MS = 5_000
"""Shorter stretches are never folded."""
FOLD_SHARE = 0.25
"""Nor are those shorter than this part of the time in which something went on."""
FOLDED = 3.0
"""How wide a folded stretch is drawn, per cent."""
MOST_FOLDS = 8
"""The longest ones; what is left is drawn as long as it was."""
THINNEST = 0.4
"""How wide a bar is drawn at least, so that it is seen."""
_SECONDS: tuple[int, ...] = tuple(nice * 10**power for power in range(4) for nice in (1, 2, 5))
_STEPS_MS: tuple[int, ...] = (
    *_SECONDS,
    *(each * 1000 for each in (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21_600, 43_200, 86_400)),
)
"""Steps between marks that people can add up, milliseconds."""

type Span = tuple[int, int]
"""From when to when, milliseconds since the run's beginning."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A stretch that is drawn shorter than it was."""

    x: float
    width: float
    ms: int
    """How long it was."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on the scale."""

    x: float
    ms: int


@dataclass(frozen=True, slots=True)
class Scale:
    """From milliseconds to per cent: straight between its corners."""

    at_ms: tuple[int, ...]
    at_x: tuple[float, ...]
    folds: tuple[Fold, ...] = ()

    def x(self, ms: float) -> float:
        """Return where a moment stands, 0 to 100."""
        if ms <= self.at_ms[0]:
            return self.at_x[0]
        if ms >= self.at_ms[-1]:
            return self.at_x[-1]
        after = bisect_right(self.at_ms, ms)
        left, right = self.at_ms[after - 1], self.at_ms[after]
        part = (ms - left) / (right - left)
        return self.at_x[after - 1] + part * (self.at_x[after] - self.at_x[after - 1])


def scale_of(spans: Iterable[Span], end_ms: int) -> Scale:
    """Return the scale on which *spans* are drawn, from 0 to *end_ms* or as far as they reach."""
    spans = sorted((max(0, start), max(0, start, end)) for start, end in spans)
    end_ms = max(1, end_ms, *(end for _, end in spans)) if spans else max(1, end_ms)
    gaps = _gaps(spans, end_ms)
    busy_ms = end_ms - sum(end - start for start, end in gaps)
    long = [gap for gap in gaps if gap[1] - gap[0] > max(FOLD_FROM_MS, FOLD_SHARE * busy_ms)]
    folded = sorted(sorted(long, key=lambda gap: gap[0] - gap[1])[:MOST_FOLDS])
    drawn_ms = end_ms - sum(end - start for start, end in folded)
    if drawn_ms <= 0:
        return Scale((0, end_ms), (0.0, 100.0))
    per_ms = (100.0 - FOLDED * len(folded)) / drawn_ms
    at_ms, at_x, folds = [0], [0.0], []
    for start, end in folded:
        x = at_x[-1] + (start - at_ms[-1]) * per_ms
        folds.append(Fold(x, FOLDED, end - start))
        for ms, place in ((start, x), (end, x + FOLDED)):
            if ms > at_ms[-1]:
                at_ms.append(ms)
                at_x.append(place)
            else:
                at_x[-1] = place
    if end_ms > at_ms[-1]:
        at_ms.append(end_ms)
        at_x.append(100.0)
    return Scale(tuple(at_ms), tuple(min(100.0, x) for x in at_x), tuple(folds))


def placed(scale: Scale, span: Span) -> tuple[float, float]:
    """Return where a bar begins and how wide it is; it never leaves the drawing."""
    x = min(scale.x(span[0]), 100.0 - THINNEST)
    width = max(THINNEST, scale.x(max(span)) - x)
    return round(x, 3), round(min(width, 100.0 - x), 3)


def ticks(scale: Scale, most: int = 6) -> tuple[Tick, ...]:
    """Return marks at round times, none inside a fold and none too near to the one before."""
    end_ms = scale.at_ms[-1]
    drawn_ms = max(1, end_ms - sum(fold.ms for fold in scale.folds))
    step = _round_step(drawn_ms / most)
    found: list[Tick] = []
    ms = 0
    for _ in range(10 * most):
        x = scale.x(ms)
        folded = next((fold for fold in scale.folds if fold.x < x < fold.x + fold.width), None)
        if folded is None and (not found or x - found[-1].x >= 50 / most):
            found.append(Tick(round(x, 3), ms))
        if folded is not None:
            # Steps inside what is folded would be walked through one by one.
            ms = (_end_of(scale, folded) // step) * step
        ms += step
        if ms > end_ms:
            break
    return tuple(found)


def _end_of(scale: Scale, fold: Fold) -> int:
    return next(ms for ms, x in zip(scale.at_ms, scale.at_x, strict=True) if x >= fold.x + fold.width - 1e-9)


def _gaps(spans: Sequence[Span], end_ms: int) -> list[Span]:
    """Return the stretches in which nothing went on, but for the one before the first span."""
    found: list[Span] = []
    reached: int | None = None
    for start, end in spans:
        if reached is not None and start > reached:
            found.append((reached, start))
        reached = end if reached is None else max(reached, end)
    if reached is not None and reached < end_ms:
        found.append((reached, end_ms))
    return found


def _round_step(ms: float) -> int:
    """Return the least step between marks that is not below *ms*."""
    return next((step for step in _STEPS_MS if step >= ms), -(-int(ms) // _STEPS_MS[-1]) * _STEPS_MS[-1])

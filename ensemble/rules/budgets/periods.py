"""The windows of named budgets: which slot a moment falls into, and when the window moves on.

Calendar windows are counted in the window's own time zone, so that a day in spring may have 23 hours; hours are UTC's. A
rolling window moves by twentieths and is held a twentieth longer than asked for: in no stretch of its length is more
spent than allowed.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from ensemble.contract.budgets import BudgetWindow

__all__ = ["moves_ms", "slot_at", "slots_of"]

ROLLING_SLOTS = 20
HOUR_MS = 3_600_000


def slots_of(window: BudgetWindow) -> int:
    """Return how many slots are in the window at one time."""
    return ROLLING_SLOTS + 1 if window.kind == "rolling" else 1


def slot_at(window: BudgetWindow, now_ms: int) -> int:
    """Return the number of the slot *now_ms* falls into."""
    if window.kind == "total":
        return 0
    if window.kind == "rolling":
        return now_ms // _rolling_ms(window)
    if window.kind == "hour":
        return now_ms // HOUR_MS
    day = _day(window, now_ms)
    if window.kind == "month":
        return day.year * 12 + day.month - 1
    # The first day of the calendar was a Monday.
    return (day.toordinal() - 1) // 7 if window.kind == "week" else day.toordinal()


def moves_ms(window: BudgetWindow, now_ms: int) -> int | None:
    """Return when the next slot begins, unix milliseconds; None: never."""
    slot = slot_at(window, now_ms)
    if window.kind == "total":
        return None
    if window.kind in {"rolling", "hour"}:
        return (slot + 1) * (HOUR_MS if window.kind == "hour" else _rolling_ms(window))
    if window.kind == "month":
        first = date((slot + 1) // 12, (slot + 1) % 12 + 1, 1)
    elif window.kind == "week":
        first = date.fromordinal((slot + 1) * 7 + 1)
    else:
        first = date.fromordinal(slot) + timedelta(days=1)
    return _begins_ms(window, first, now_ms)


def _begins_ms(window: BudgetWindow, first: date, now_ms: int) -> int:
    """Return the first moment of a day. Where its midnight is skipped or comes twice, that is not what a clock says."""
    begins = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(window.timezone))
    guess = int(begins.timestamp() * 1000)
    # Clocks are put by whole quarters of an hour, hardly ever by more than two hours.
    quarters = range(guess - 12 * HOUR_MS // 4, guess + 12 * HOUR_MS // 4, HOUR_MS // 4)
    return next((at for at in quarters if at > now_ms and _day(window, at) >= first), guess)


def _day(window: BudgetWindow, at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms // 1000, ZoneInfo(window.timezone)).date()


def _rolling_ms(window: BudgetWindow) -> int:
    return (window.seconds or 0) * 1000 // ROLLING_SLOTS

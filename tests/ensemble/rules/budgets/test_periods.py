"""The windows of named budgets: where they begin and end, month ends and daylight saving included, without drift."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import ValidationError

from ensemble.contract.budgets import BudgetWindow
from ensemble.rules.budgets.periods import moves_ms, slot_at, slots_of
from tests.ensemble.rules.tables import holds, table


def ms(text: str) -> int:
    """Return a moment, UTC unless it says otherwise, in unix milliseconds."""
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


EDGES = [
    ("hour", "UTC", "2026-03-29T00:59:59.999", "2026-03-29T01:00"),
    ("day", "UTC", "2026-02-28T23:59:59.999", "2026-03-01T00:00"),
    ("day", "UTC", "2028-02-28T12:00", "2028-02-29T00:00"),
    ("day", "Europe/Berlin", "2026-03-28T23:00", "2026-03-29T22:00"),
    ("day", "Europe/Berlin", "2026-10-24T22:00", "2026-10-25T23:00"),
    ("day", "America/Sao_Paulo", "2018-11-03T12:00", "2018-11-04T03:00"),
    ("day", "Asia/Kathmandu", "2026-05-01T18:14", "2026-05-01T18:15"),
    ("week", "UTC", "2026-11-22T23:59", "2026-11-23T00:00"),
    ("week", "America/New_York", "2026-11-01T12:00", "2026-11-02T05:00"),
    ("month", "UTC", "2026-01-31T23:59:59.999", "2026-02-01T00:00"),
    ("month", "UTC", "2026-12-31T23:00", "2027-01-01T00:00"),
    ("month", "Europe/Berlin", "2026-03-15T12:00", "2026-03-31T22:00"),
]
"""Kind, zone, a moment, and when its window ends; both UTC."""


@pytest.mark.parametrize(("kind", "zone", "at", "ends"), EDGES)
def test_a_window_ends_where_its_zone_says(kind: Any, zone: str, at: str, ends: str) -> None:
    """In spring a day of Berlin has 23 hours, in autumn 25; where midnight is skipped, the day begins after it."""
    window = BudgetWindow(kind=kind, timezone=zone)
    assert moves_ms(window, ms(at)) == ms(ends)
    assert slot_at(window, ms(ends) - 1) == slot_at(window, ms(at)) == slot_at(window, ms(ends)) - 1


def test_the_page_shows_these_windows() -> None:
    """The table above."""
    rows = [(kind, zone, at.replace("T", " "), ends.replace("T", " ")) for kind, zone, at, ends in EDGES]
    holds("budgets.md", table(("window", "timezone", "a moment (UTC)", "its window ends (UTC)"), rows))


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]


@given(
    kind=st.sampled_from(["hour", "day", "week", "month"]),
    zone=st.sampled_from(ZONES),
    at=st.integers(ms("2010-01-01"), ms("2040-01-01")),
)
def test_windows_follow_each_other_without_gap_or_overlap(kind: Any, zone: str, at: int) -> None:
    """A hundred of them: the slot's number grows by one at each end, and not between."""
    window = BudgetWindow(kind=kind, timezone=zone)
    for _ in range(30):
        ends = moves_ms(window, at)
        assert ends is not None
        assert ends > at
        assert slot_at(window, ends - 1) == slot_at(window, at)
        # A zone that moves over the date line skips a day of the calendar.
        assert slot_at(window, ends) - slot_at(window, at) in ({1, 2} if zone == "Pacific/Apia" else {1})
        at = ends


def test_a_rolling_window_moves_by_twentieths_and_holds_one_more() -> None:
    window = BudgetWindow(kind="rolling", seconds=100)
    assert slots_of(window) == 21
    assert [slot_at(window, at) for at in (0, 4_999, 5_000, 100_000)] == [0, 0, 1, 20]
    assert moves_ms(window, 5_001) == 10_000


@pytest.mark.parametrize(
    "fields", [{"kind": "rolling"}, {"kind": "day", "seconds": 60}, {"timezone": "Europe/Atlantis"}, {"timezone": "/x"}]
)
def test_a_window_that_means_nothing_is_refused(fields: Any) -> None:
    with pytest.raises(ValidationError):
        BudgetWindow(**fields)

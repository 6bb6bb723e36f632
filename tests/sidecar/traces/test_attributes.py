"""The page about traces tells the attributes the code has."""

from __future__ import annotations

from sidecar.traces.attributes import MEANINGS, Name
from sidecar.traces.collector import MOST_TRIES, TRY_S
from sidecar.traces.tracer import MOST_NOTES
from tests.pages import page, rows


def test_the_page_has_every_attribute_with_what_it_means() -> None:
    """In the same order."""
    told = [(code.strip("`"), where, meaning) for code, where, meaning in rows(page("tracing.md"), "Attribute", "On")]

    assert told == [(str(name), *said) for name, said in MEANINGS.items()]
    assert set(MEANINGS) == set(Name)


def test_the_page_has_the_numbers_of_the_code() -> None:
    """Tries, seconds, and how many may wait."""
    assert (MOST_TRIES, TRY_S, MOST_NOTES) == (3, 5.0, 1_000)
    assert "tried three times" in page("tracing.md")
    assert "answer in 5 s" in page("tracing.md")
    assert "| 1,000 runs wait" in page("tracing.md")

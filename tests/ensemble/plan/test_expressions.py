"""Patterns of routes: what is taken means what it means elsewhere, and no pattern can take long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.plan.expressions import BadPattern, read_pattern


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        (r"INV-\d{3,}", ["see inv-20931"], ["INV-1", "INV"]),
        (r"^refund", ["Refund me"], ["a refund"]),
        (r"(invoice|bill|receipt)s?\s*#?\d+", ["bills #12", "invoice 7"], ["invoice seven"]),
        (r"\b[A-Z]{2}\d{2}[ -]?\d{4}\b", ["iban de12 3456"], ["de123 456"]),
        (r"[^a-c]x", ["dx"], ["ax"]),
        (r"[\]a-]", ["]", "-"], ["b"]),
        ("退(款|货)", ["我要退货"], ["退"]),
        (r"a.*?b", ["a-b"], ["b-a"]),
        (r"1\+1", ["is 1+1 two"], ["11"]),
        (r"x{0}y", ["y"], ["x"]),
        (r"a{,2}$", ["b"], []),
        (r"a{b", ["a{b"], ["ab"]),
    ],
)
def test_patterns_mean_what_they_say(pattern: str, hits: list[str], misses: list[str]) -> None:
    """Case does not count."""
    compiled, ways = read_pattern(pattern)

    assert ways >= 1
    assert all(compiled.search(text) for text in hits)
    assert not any(compiled.search(text) for text in misses)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a*)*b", "(a|aa)+$", "(.*)(.*)(.*)x", "a*a*a*b", r"(\w+\s?)*$", "(a?){32}a{32}", "((a{1,32}){1,32}){1,32}",
        r"(a)\1", "(?=a)", "(?P<n>a)", "(?i)a", r"\p{L}", r"\x41", "a**", "*a", "(", ")", "[a", "a{5,2}", "a{99}",
        "x" * 301, "(" * 200 + ")" * 200 + "*",
    ],
)  # fmt: skip
def test_what_could_take_long_or_is_not_known_is_refused(pattern: str) -> None:
    """Repeats inside repeats above all."""
    with pytest.raises(BadPattern):
        read_pattern(pattern)


@settings(deadline=5000)
@given(st.text(alphabet="ab(|)*+?{}1,[]^-.\\dw$ ", max_size=20))
def test_whatever_is_taken_is_done_soon(pattern: str) -> None:
    """Against a text made to be tried in every way; the deadline is ten times what the slowest one needs."""
    try:
        compiled, _ = read_pattern(pattern)
    except BadPattern:
        return

    assert not compiled.search("a" * 500) or compiled.search("a" * 500 + "!") or "$" in pattern


@given(st.text(alphabet="ab|()?.[]^$", max_size=10), st.text(alphabet="abc", max_size=8))
def test_what_is_taken_is_what_python_means(pattern: str, text: str) -> None:
    """Where there is no repeat to cap, the rewritten pattern finds just what the original does."""
    try:
        compiled, _ = read_pattern(pattern)
        original = re.compile(pattern, re.IGNORECASE)
    except (BadPattern, re.error, FutureWarning):
        return

    assert bool(compiled.search(text)) == bool(original.search(text))

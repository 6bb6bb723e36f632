"""What goes along to an agent never passes the limits, and what was cut is named."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ensemble.engine import carrying
from ensemble.engine.carrying import CUT_MARK, carry, fit
from ensemble.engine.estimate import estimate_tokens


def test_short_results_go_along_whole() -> None:
    carried = carry("The task", [("market", "up"), ("tech", "down")])

    assert carried.text == "The task\n\n### market\nup\n\n### tech\ndown"
    assert carried.cut == ()


def test_a_long_result_keeps_its_head_and_its_tail() -> None:
    text = "begin " + "word " * 5000 + "end"

    fitted = fit(text, 500)

    assert fitted.startswith("begin word")
    assert fitted.endswith("word end")
    assert CUT_MARK in fitted


def test_one_long_result_does_not_starve_the_short_ones() -> None:
    carried = carry("t", [("short", "brief"), ("long", "word " * 100_000)], total=1000, each=900)

    assert "### short\nbrief" in carried.text
    assert carried.cut == ("long",)


def test_a_huge_text_without_words_is_cut_too() -> None:
    assert estimate_tokens(fit(" " * 5_000_000 + "x" * 5_000_000, 100)) <= 100


@given(text=st.text(max_size=3000), tokens=st.integers(0, 400))
def test_nothing_fitted_is_estimated_over_its_share(text: str, tokens: int) -> None:
    assert estimate_tokens(fit(text, tokens)) <= tokens


@given(st.lists(st.integers(0, 500), max_size=8), st.integers(0, 2000))
def test_shares_are_fair(wanted: list[int], total: int) -> None:
    """Nobody gets more than they want, all together no more than there is; who is cut got as much as anybody."""
    shares = carrying._fair_shares(wanted, total)

    assert all(share <= want for share, want in zip(shares, wanted, strict=True))
    assert sum(shares) <= total
    for share, want in zip(shares, wanted, strict=True):
        assert share == want or share + 1 >= max(shares)
    if sum(wanted) <= total:
        assert shares == wanted


@given(st.text(max_size=500))
def test_only_no_text_is_no_tokens(text: str) -> None:
    assert (estimate_tokens(text) == 0) == (text == "")

"""Results too long for the ledger are recorded by their beginning; the run itself has them whole."""

from __future__ import annotations

from ensemble.engine.ledger.book import Book
from ensemble.engine.recording import RECORDED_BYTES
from tests.ensemble.engine.kit import Scripted, chain, good, play


def test_a_result_too_long_for_the_record_is_whole_in_the_run_and_cut_in_the_record() -> None:
    """With a warning, for a repeated call gets what is recorded."""
    book = Book()
    text = "x" * (RECORDED_BYTES + 1)

    report = play(chain("a"), {"a": Scripted("a", [good(text)])}, ledger=book).report

    assert (text, text) == (report.answer, report.results[0].text)
    kept = book.run(report.run_id).results[0].text
    assert 65_536 < len(kept) < 66_000
    assert kept.endswith(f"{len(text):,} characters in all]")
    assert "a gave more than is recorded" in report.warnings[0]


def test_any_other_result_is_recorded_as_it_is() -> None:
    book = Book()

    report = play(chain("a"), {"a": Scripted("a", [good("y" * 1_000_000)])}, ledger=book).report

    assert "y" * 1_000_000 == book.run(report.run_id).results[0].text
    assert () == report.warnings


def test_a_group_whose_result_is_cut_in_the_record_says_so() -> None:
    plan = {"steps": [{"id": "each", "for_each": [1, 2], "agent": "a"}]}

    report = play(plan, {"a": Scripted("a", [good("x" * (RECORDED_BYTES // 3))])}).report

    assert [warning for warning in report.warnings if "each gave more than is recorded" in warning]

"""Which answers are kept for when their agent fails, and for which question, plan and age one is found again."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.contract.caching import MAX_CACHED_BYTES
from ensemble.contract.outcomes import Outcome, Source
from ensemble.engine.attempts.wording import age
from tests.ensemble.engine.falls import HOUR_MS, Shelf, failing, one, result
from tests.ensemble.engine.kit import Scripted, bad, good


def test_what_stood_in_is_never_kept() -> None:
    """Neither a backup's answer, nor a value, nor a kept answer again: it would live for ever."""
    book, agents = Shelf(), {"a": Scripted("a", [bad()]), "b": Scripted("b", [good("from b")])}
    one(agents, book=book, cache=60, fallback="b")
    one(agents, book=book, cache=60, fallback={"default": "value"})
    assert result(one(agents, book=book, cache=60)).source is None

    agents["a"], kept = Scripted("a", failing(Outcome.AGENT_FAILED)), {"fresh": 0, "stale": 7000}
    one(agents, book=book, cache=kept)
    sources = []
    for _ in range(2):
        book.ahead_ms += HOUR_MS
        sources.append(result(one(agents, book=book, cache=kept)).source)
    assert sources == [Source.CACHE, None]


@pytest.mark.parametrize(
    "other",
    [{"task": "else"}, {"run_user": "eve"}, {"run_inputs": {"x": 1}}, {"inputs": {"q": 1}}, {"query": "what?"}],
)
def test_another_question_finds_no_answer(other: dict[str, Any]) -> None:
    book, agents = Shelf(), {"a": Scripted("a", failing(Outcome.REJECTED))}
    one(agents, book=book, cache=True)

    assert result(one(agents, book=book, cache=True, **other)).source is None
    assert result(one(agents, book=book, cache=True)).source is Source.CACHE


def test_a_file_counts_by_its_id_whatever_its_url() -> None:
    book, agents = Shelf(), {"a": Scripted("a", failing(Outcome.REJECTED))}

    def played(name: str, sign: str) -> Source | None:
        file = {"transfer_method": "local_file", "upload_file_id": name, "url": f"http://dify/f?sign={sign}"}
        return result(one(agents, book=book, cache=True, run_files=(file,))).source

    assert [played("1", "x"), played("1", "y"), played("2", "x")] == [Source.AGENT, Source.CACHE, None]


def test_the_plan_that_asks_judges_the_age() -> None:
    book, agents = Shelf(), {"a": Scripted("a", failing(Outcome.REJECTED))}
    one(agents, book=book, cache={"fresh": 60, "stale": 86_400})
    book.ahead_ms += HOUR_MS

    told = [
        (got.source, got.stale)
        for cache in ({"fresh": 7200, "stale": 0}, {"fresh": 60, "stale": 7200}, {"fresh": 60, "stale": 60})
        for got in [result(one(agents, book=book, cache=cache))]
    ]

    assert told == [(Source.CACHE, False), (Source.CACHE, True), (None, False)]


def test_the_cache_is_read_only_when_the_agent_has_failed() -> None:
    """Also with retries: it is asked for once, at the very end."""
    book, agents = Shelf(), {"a": Scripted("a", [good("one"), bad(), bad(), bad(), good("two")])}
    one(agents, book=book, cache=True, retry_times=2)
    assert book.looked == 0

    assert result(one(agents, book=book, cache=True, retry_times=2)).attempts == 3
    assert book.looked == 1
    assert result(one(agents, book=book, cache=True)).text == "two"
    assert book.looked == 1


def test_a_ledger_that_is_away_has_no_kept_answer() -> None:
    book, agents = Shelf(), {"a": Scripted("a", failing(Outcome.UNAVAILABLE))}
    one(agents, book=book, cache=True)
    book.away = True

    assert result(one(agents, book=book, cache=True, fallback={"default": "x"})).source is Source.DEFAULT


def test_too_long_an_answer_is_not_kept_and_that_is_said() -> None:
    book, agents = Shelf(), {"a": Scripted("a", [good("x" * MAX_CACHED_BYTES), bad()])}

    first = one(agents, book=book, cache=True)

    assert first.report.warnings == ("a: its answer is too long to be kept in the cache, which takes 256 KiB.",)
    assert result(one(agents, book=book, cache=True)).source is None


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0, "0 s"), (119_999, "119 s"), (120_000, "2 min"), (7_199_000, "119 min"), (3 * HOUR_MS, "3 h"), (72 * HOUR_MS, "3 d")],
)  # fmt: skip
def test_ages_are_told_in_words(ms: int, words: str) -> None:
    assert age(ms) == words

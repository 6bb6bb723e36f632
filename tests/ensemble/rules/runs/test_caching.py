"""Which answers the ledger keeps, since when they count, and what is found under a key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.caching import MAX_CACHED_BYTES, CacheOrder, CacheParams, CacheView
from ensemble.contract.exchange import AdmissionAsk, Exchange, Settlement
from ensemble.contract.outcomes import Outcome, Source, StepStatus
from ensemble.engine.ledger import book as books
from ensemble.engine.ledger.book import Book
from ensemble.rules.addresses import attempt_at, cached_at
from ensemble.rules.records import Attempt
from ensemble.rules.runs.caching import cache_view, cache_wants
from ensemble.rules.snapshot import Changes
from tests.ensemble.rules.asks import admission, first, hex_id, later, settlement
from tests.ensemble.rules.store import StrictStore

KEY = "c" * 64
OTHER = "d" * 64


def order(keep_ms: int = 10_000, key: str = KEY) -> CacheOrder:
    """Return the order to keep an answer."""
    return CacheOrder(key=key, keep_ms=keep_ms)


def changed(news: Settlement, **result: Any) -> Settlement:
    """Return *news* with another result."""
    assert news.result is not None
    return news.model_copy(update={"result": news.result.model_copy(update=result)})


def settle(store: StrictStore, news: Settlement, *, after_ms: int = 1_000, run: int = 1) -> AdmissionAsk:
    """Open a run, admit one attempt, and settle it with *news* *after_ms* later; *news* is made for that attempt."""
    store.exchange(first(run, run + 100, f"key {run}", admit=(admission(run + 500),)))
    store.now_ms += after_ms
    store.exchange(later(run, run + 100, settle=(news,)))
    return admission(run + 500)


def news(run: int = 1, outcome: Outcome = Outcome.SUCCEEDED, **more: Any) -> Settlement:
    """Return how the attempt of *run* ended."""
    return settlement(admission(run + 500), outcome, **{"cache": order(), **more})


def look(store: StrictStore, key: str = KEY) -> CacheView:
    """Look a key up."""

    def found(snapshot: Any) -> tuple[CacheView, Changes]:
        return cache_view(CacheParams(key=key), snapshot), Changes()

    return store.apply(found, cache_wants(CacheParams(key=key)))


def test_an_agents_answer_is_found_as_it_was() -> None:
    store = StrictStore()
    settle(store, news())
    store.now_ms += 300

    view = look(store)

    assert view.result is not None
    assert (view.result.text, view.result.source, view.age_ms) == (news().result.text, Source.AGENT, 300)  # type: ignore[union-attr]
    assert look(store, OTHER) == CacheView(key=OTHER)


@pytest.mark.parametrize("source", [Source.CACHE, Source.BACKUP, Source.DEFAULT, None])
def test_what_stood_in_is_not_kept(source: Source | None) -> None:
    """Whatever an engine asks for."""
    store = StrictStore()
    settle(store, changed(news(), source=source))

    assert look(store).result is None


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.SUCCEEDED}))
def test_failures_are_not_kept(outcome: Outcome) -> None:
    store = StrictStore()
    settle(store, news(outcome=outcome))

    assert look(store).result is None


def test_nothing_is_kept_unasked_or_too_long() -> None:
    store = StrictStore()
    settle(store, news(cache=None))
    settle(store, changed(news(2), text="x" * MAX_CACHED_BYTES), run=2)

    assert look(store).result is None


def test_a_result_that_is_not_taken_is_not_kept() -> None:
    """A second answer of the same step comes late: the record has the first one, and so has the cache."""
    store = StrictStore()
    one, two = admission(501), admission(502)
    store.exchange(first(1, 101, admit=(one, two)))
    store.exchange(later(1, 101, settle=(settlement(one, cache=order()),)))
    store.now_ms += 5_000
    store.exchange(later(1, 101, settle=(settlement(two, cache=order()),)))

    view = look(store)
    assert view.result is not None
    assert view.result.text == f"one by {hex_id(501)}"


def test_an_answer_is_as_old_as_the_call_that_brought_it() -> None:
    """However late the ledger hears of it, as after an outage."""
    store = StrictStore()
    settle(store, news(took_ms=1_000), after_ms=7_000)

    assert look(store).age_ms == 6_000
    settle(store, news(2, took_ms=1_000, cache=order(5_000, OTHER)), after_ms=7_000, run=2)
    assert look(store, OTHER).result is None


def test_an_answer_of_unknown_age_is_not_kept() -> None:
    """Its call went out while the ledger did not answer."""
    store = StrictStore()
    ask = admission(501)
    store.exchange(first(1, 101, late=(ask,), settle=(news(),)))

    assert look(store).result is None


def test_it_is_forgotten_in_time() -> None:
    store = StrictStore()
    settle(store, news(took_ms=1_000, cache=order(10_000)))
    assert store.changes.expiries[cached_at(KEY).key] == 10_000

    store.now_ms += 9_999
    assert look(store).age_ms == 9_999
    store.now_ms += 1
    assert look(store) == CacheView(key=KEY)


def test_telling_it_twice_writes_it_once() -> None:
    store = StrictStore()
    settle(store, news())
    written = store.versions[cached_at(KEY)]
    store.now_ms += 1_000
    store.exchange(later(1, 101, settle=(news(),)))

    assert store.versions[cached_at(KEY)] == written
    assert look(store).age_ms == 1_000


def test_the_attempts_record_does_not_hold_the_key() -> None:
    store = StrictStore()
    settle(store, news())

    kept = Attempt.model_validate_json(store.hashes["run:" + hex_id(1)][attempt_at(hex_id(1), hex_id(501)).field])
    assert kept.settlement is not None
    assert kept.settlement.cache is None


@given(
    st.lists(
        st.tuples(st.integers(1_000, 60_000), st.integers(1, 60_000), st.booleans(), st.integers(1_000, 120_000)),
        min_size=1,
        max_size=5,
    )
)
def test_the_newest_answer_that_is_not_over_is_the_one(told: list[tuple[int, int, bool, int]]) -> None:
    """In whatever order the ledger hears of calls, and however long each answer may be kept."""
    store = StrictStore()
    best: tuple[int, int] | None = None
    for run, (waited_ms, took_ms, succeeded, keep_ms) in enumerate(told, 1):
        outcome = Outcome.SUCCEEDED if succeeded else Outcome.REJECTED
        admitted_ms = store.now_ms
        settle(store, news(run, outcome, took_ms=took_ms, cache=order(keep_ms)), after_ms=waited_ms, run=run)
        best = best if best is None or best[1] > store.now_ms else None
        since_ms = min(store.now_ms, admitted_ms + took_ms)
        if succeeded and since_ms + keep_ms > store.now_ms and (best is None or since_ms > best[0]):
            best = since_ms, since_ms + keep_ms

    view = look(store)
    if best is None or best[1] <= store.now_ms:
        assert view == CacheView(key=KEY)
    else:
        assert view.age_ms == store.now_ms - best[0]


def test_a_book_keeps_the_newest_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "CACHED_KEPT", 3)
    book = Book()
    keys = [f"{number:064x}" for number in range(5)]
    for number, key in enumerate((*keys, keys[2]), 1):
        ask = admission(number + 500)
        book.exchange(first(number, 101, f"key {number}", admit=(ask,)))
        book.exchange(later(number, 101, settle=(settlement(ask, took_ms=number, cache=order(60_000, key)),)))

    assert [key for key in keys if book.cached(key).result is not None] == [keys[2], keys[3], keys[4]]
    again: Exchange = first(9, 101, "key 9")
    book.exchange(again)
    assert book.cached(keys[2]).result is not None


def test_a_result_of_another_status_is_not_kept() -> None:
    store = StrictStore()
    settle(store, changed(news(), status=StepStatus.FAILED))

    assert look(store).result is None

"""Who listens to the store: told once what was written, never what was not, and never in anybody's way."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ensemble.contract.exchange import Decision
from ensemble.rules.happenings import AttemptTurnedAway, Happening
from ensemble.rules.snapshot import Address, Changes, Snapshot
from sidecar.errors import Contended
from sidecar.store.connection import Client
from sidecar.store.store import Store
from tests.ensemble.rules.asks import admission, hex_id

DOCUMENT = Address("thing:1", "document")
NEWS: tuple[Happening, ...] = (AttemptTurnedAway(hex_id(1), admission(1), Decision.WAIT, None),)


def write(snapshot: Snapshot) -> tuple[str, Changes]:
    """Write a document and tell of it."""
    snapshot.text(DOCUMENT)
    return "written", Changes(puts={DOCUMENT: str(snapshot.now_ms)}, news=NEWS)


def test_it_is_told_once_it_is_written(redis: Client, tenant: str) -> None:
    """By then whoever listens may read it."""
    heard: list[Any] = []

    def listen(whose: str, news: tuple[Happening, ...]) -> None:
        heard.append((whose, news, Store(redis).look(tenant, lambda snapshot: snapshot.text(DOCUMENT))))

    Store(redis, [listen]).decide(tenant, write)

    ((whose, news, text),) = heard
    assert (whose, news) == (tenant, NEWS)
    assert text is not None


def test_news_that_writes_nothing_is_told_too(redis: Client, tenant: str) -> None:
    heard: list[Any] = []
    store = Store(redis, [lambda *told: heard.append(told)])

    store.decide(tenant, lambda _snapshot: ("no", Changes(news=NEWS)))
    store.decide(tenant, lambda _snapshot: ("nothing", Changes()))

    assert heard == [(tenant, NEWS)]


def test_lost_races_and_failed_decisions_tell_nothing(redis: Client, tenant: str) -> None:
    """What somebody was faster with is decided anew, and told with what is written at last."""
    heard: list[Any] = []
    store, other = Store(redis, [lambda *told: heard.append(told)]), Store(redis)
    races = iter([True, True, False])

    def raced(snapshot: Snapshot) -> tuple[str, Changes]:
        answer = write(snapshot)
        if next(races, True):
            other.decide(tenant, write)
        return answer

    store.decide(tenant, raced)
    assert heard == [(tenant, NEWS)]
    with pytest.raises(Contended):
        store.decide(tenant, raced)
    assert heard == [(tenant, NEWS)]


def test_a_listener_that_fails_breaks_nothing(redis: Client, tenant: str, caplog: pytest.LogCaptureFixture) -> None:
    """The others hear, the caller is answered, and the log tells of it once."""
    heard: list[Any] = []

    def fail(_tenant: str, _news: tuple[Happening, ...]) -> None:
        raise RuntimeError("deaf")

    store = Store(redis, [fail, lambda *told: heard.append(told)])
    with caplog.at_level(logging.ERROR):
        assert [store.decide(tenant, write) for _ in range(3)] == ["written"] * 3

    assert len(heard) == 3
    assert [record.exc_info is not None for record in caplog.records if record.name == "sidecar.listeners"] == [True]

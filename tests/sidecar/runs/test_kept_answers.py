"""Answers kept for when their agent fails, over HTTP on a real store: written with the settlement, gone in time."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from ensemble.contract.caching import LONGEST_KEPT_S, CacheOrder, CacheView
from ensemble.contract.exchange import AdmissionAsk, Exchange, ExchangeAnswer, OpenRun, PlannedStep, Settlement
from ensemble.contract.outcomes import Outcome, Source, StepStatus
from ensemble.contract.results import StepResult
from sidecar.store.keys import full_key

type Ask = Callable[..., Any]
KEY = "c" * 64
URL = f"/v1/cache/{KEY}"


def _answered(text: str, *, keep_ms: int = 60_000, source: Source = Source.AGENT) -> tuple[Exchange, Exchange]:
    """Return the two exchanges of a run whose one attempt brings *text*."""
    run_id, owner, ticket = (uuid.uuid4().hex for _ in range(3))
    opened = OpenRun(
        run_key=run_id,
        fingerprint="f" * 64,
        trace_id="t",
        steps=(PlannedStep(id="one", agent="market", identity="app:market"),),
    )
    wish = AdmissionAsk(ticket=ticket, step="one", agent="market", identity="app:market", timeout_ms=1000)
    result = StepResult(step="one", agent="market", status=StepStatus.SUCCEEDED, text=text, source=source)
    news = Settlement(
        ticket=ticket,
        step="one",
        identity="app:market",
        outcome=Outcome.SUCCEEDED,
        took_ms=0,
        result=result,
        cache=CacheOrder(key=KEY, keep_ms=keep_ms),
    )
    return (
        Exchange(run_id=run_id, owner=owner, open=opened, admit=(wish,)),
        Exchange(run_id=run_id, owner=owner, epoch=1, settle=(news,)),
    )


def _told(ask: Ask, *exchanges: Exchange) -> None:
    for each in exchanges:
        answer = ask("POST", "/v1/exchange", each.model_dump_json())
        assert answer.status_code == 200, answer.text


def _found(ask: Ask, **more: Any) -> CacheView:
    answer = ask("GET", URL, **more)
    assert answer.status_code == 200, answer.text
    return CacheView.model_validate_json(answer.data)


def test_an_answer_is_found_by_its_tenant_alone(ask: Ask) -> None:
    """That there is none is an answer, too."""
    assert _found(ask) == CacheView(key=KEY)

    _told(ask, *_answered("facts"))

    found = _found(ask)
    assert found.result is not None
    assert (found.result.text, found.result.source) == ("facts", Source.AGENT)
    assert found.age_ms is not None
    assert found.age_ms < 10_000
    assert _found(ask, other=True) == CacheView(key=KEY)


def test_the_store_forgets_it_by_itself(ask: Ask, redis: Any, tenant: str) -> None:
    """As long after the agent gave it as was asked for, and never later."""
    _told(ask, *_answered("facts", keep_ms=50_000))

    assert 40_000 < redis.pttl(full_key(tenant, f"cache:{KEY}")) <= 50_000


def test_what_stood_in_is_not_kept(ask: Ask, redis: Any, tenant: str) -> None:
    """Nothing is written for it."""
    _told(ask, *_answered("spare", source=Source.BACKUP))

    assert redis.exists(full_key(tenant, f"cache:{KEY}")) == 0


def test_a_key_that_is_none_is_refused(ask: Ask) -> None:
    """By its field."""
    answer = ask("GET", "/v1/cache/market")

    assert answer.status_code == 422
    assert [each["field"] for each in answer.json["errors"]] == ["key"]
    opening, settling = _answered("facts")
    news = settling.settle[0].model_dump(mode="json") | {"cache": {"key": KEY, "keep_ms": LONGEST_KEPT_S * 1000 + 1}}
    _told(ask, opening)
    refused = ask("POST", "/v1/exchange", settling.model_dump(mode="json") | {"settle": [news]})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "settle.0.cache.keep_ms"


def test_many_runs_that_keep_one_answer_at_once_are_all_settled(app: Flask, ask: Ask) -> None:
    """They meet at one document; none is turned away, and one of their answers is the one that is kept."""
    runs = [_answered(f"answer {number}") for number in range(40)]
    _told(ask, *(opening for opening, _ in runs))
    barrier = threading.Barrier(8)

    def settle(mine: list[Exchange]) -> list[int]:
        client = app.test_client()
        barrier.wait()
        headers = {"Authorization": "Bearer token-of-the-tenant", "Content-Type": "application/json"}
        posted = [client.post("/v1/exchange", data=each.model_dump_json(), headers=headers) for each in mine]
        assert all(ExchangeAnswer.model_validate_json(each.data).run.epoch == 1 for each in posted)
        return [each.status_code for each in posted]

    settling = [each for _, each in runs]
    with ThreadPoolExecutor(8) as pool:
        codes = [code for some in pool.map(settle, [settling[lane::8] for lane in range(8)]) for code in some]

    assert codes == [200] * 40
    found = _found(ask)
    assert found.result is not None
    assert found.result.text in {f"answer {number}" for number in range(40)}

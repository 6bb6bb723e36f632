"""Exchanges over HTTP on a real store: sent twice, answered twice the same, reserved once; lists, pages and logs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Flask

from ensemble.client.journal import Journal
from ensemble.contract.exchange import (
    AdmissionAsk,
    CloseRun,
    Decision,
    Exchange,
    ExchangeAnswer,
    OpenRun,
    PlannedStep,
    Role,
    Settlement,
)
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import Usage
from ensemble.contract.runs import RunList, RunLog, RunParams, RunView
from sidecar.runs.service import Runs
from sidecar.store.store import Store
from tests.ensemble.rules.asks import admission, closing, first, hex_id, later, settlement

type Ask = Callable[..., Any]
IDENTITY = "api:http://dify.example/v1#0123456789abcdef"


def _new_id() -> str:
    return uuid.uuid4().hex


def _opening(run_key: str, trace_id: str = "trace-1", **more: Any) -> Exchange:
    """Return an exchange that opens a run of one step under new ids."""
    step = PlannedStep(id="one", agent="market", identity=IDENTITY)
    opened = OpenRun(run_key=run_key, fingerprint="f" * 64, trace_id=trace_id, task="the task", steps=(step,))
    return Exchange(run_id=_new_id(), owner=_new_id(), open=opened, **more)


def _wish(ticket: str) -> AdmissionAsk:
    return AdmissionAsk(ticket=ticket, step="one", agent="market", identity=IDENTITY, timeout_ms=1000, max_tokens=100)


def _exchange(ask: Ask, said: Exchange) -> ExchangeAnswer:
    answer = ask("POST", "/v1/exchange", said.model_dump_json())
    assert answer.status_code == 200, answer.text
    return ExchangeAnswer.model_validate_json(answer.data)


def _run(ask: Ask, run_id: str) -> RunView:
    return RunView.model_validate_json(ask("GET", f"/v1/runs/{run_id}").data)


def test_an_exchange_sent_twice_is_answered_twice_the_same_and_reserved_once(ask: Ask) -> None:
    """As after an answer lost on the wire."""
    opening = _opening("key", admit=(_wish(_new_id()),))
    first, second = _exchange(ask, opening), _exchange(ask, opening)

    assert first.admissions[0].decision is Decision.ADMITTED
    assert first.admissions == second.admissions
    assert (first.run.run_id, first.run.epoch, first.run.role) == (second.run.run_id, second.run.epoch, second.run.role)
    budget = _run(ask, opening.run_id).budget
    assert (budget.tokens_reserved, budget.calls_reserved) == (100, 1)


def test_an_exchange_sent_many_times_at_once_is_reserved_once(app: Flask, ask: Ask) -> None:
    """Ten rounds of four senders of the same exchange, let go together."""
    barrier = threading.Barrier(4)

    def send(said: Exchange) -> ExchangeAnswer:
        client = app.test_client()
        barrier.wait()
        headers = {"Authorization": "Bearer token-of-the-tenant", "Content-Type": "application/json"}
        return ExchangeAnswer.model_validate_json(
            client.post("/v1/exchange", data=said.model_dump_json(), headers=headers).data
        )

    with ThreadPoolExecutor(4) as pool:
        for number in range(10):
            opening = _opening(f"key {number}", admit=(_wish(_new_id()),))
            answers = list(pool.map(send, [opening] * 4))

            assert {Decision.ADMITTED} == {answer.admissions[0].decision for answer in answers}
            assert _run(ask, opening.run_id).budget.calls_reserved == 1


def test_of_many_callers_of_one_run_key_exactly_one_owns_the_run(app: Flask) -> None:
    """Twenty rounds of four engines that open at the same instant; the rest follow the same run."""
    barrier = threading.Barrier(4)

    def send(said: Exchange) -> ExchangeAnswer:
        client = app.test_client()
        barrier.wait()
        headers = {"Authorization": "Bearer token-of-the-tenant", "Content-Type": "application/json"}
        return ExchangeAnswer.model_validate_json(
            client.post("/v1/exchange", data=said.model_dump_json(), headers=headers).data
        )

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            answers = list(pool.map(send, [_opening(f"one key {number}") for _ in range(4)]))

            assert [answer.run.role for answer in answers].count(Role.OWNER) == 1
            assert [answer.run.role for answer in answers].count(Role.FOLLOWER) == 3
            assert len({answer.run.run_id for answer in answers}) == 1


def test_a_run_is_opened_settled_closed_and_can_be_looked_at(ask: Ask, redis: Any, tenant: str) -> None:
    """View, list and log tell what happened; everything of the run has a time to live."""
    ticket = _new_id()
    opening = _opening("key", admit=(_wish(ticket),))
    epoch = _exchange(ask, opening).run.epoch
    news = Settlement(ticket=ticket, step="one", outcome=Outcome.SUCCEEDED, usage=Usage(tokens=40), took_ms=20)
    close = CloseRun(status=RunStatus.SUCCEEDED, answer="done")
    closing = Exchange(run_id=opening.run_id, owner=opening.owner, epoch=epoch, settle=(news,), close=close)
    _exchange(ask, closing)

    view = _run(ask, opening.run_id)
    assert (view.status, view.answer, view.budget.tokens_committed) == (RunStatus.SUCCEEDED, "done", 40)
    assert view.budget.tokens_reserved == 0
    listed = RunList.model_validate_json(ask("GET", "/v1/runs").data)
    assert [opening.run_id] == [line.run_id for line in listed.runs]
    log = RunLog.model_validate_json(ask("GET", f"/v1/runs/{opening.run_id}/messages").data)
    assert len(log.messages) >= 3
    assert {"trace-1"} == {message.trace_id for message in log.messages}
    assert all(redis.pttl(key) > 0 for key in redis.keys(f"ens:{{{tenant}}}:run*:*"))


def test_a_ticket_with_another_body_is_a_conflict_that_names_it_and_writes_nothing(ask: Ask) -> None:
    """409, as the contract says."""
    ticket = _new_id()
    opening = _opening("key", admit=(_wish(ticket),))
    epoch = _exchange(ask, opening).run.epoch
    before = _run(ask, opening.run_id)
    other = _wish(ticket).model_copy(update={"max_tokens": 7})
    said = ask(
        "POST",
        "/v1/exchange",
        Exchange(run_id=opening.run_id, owner=opening.owner, epoch=epoch, admit=(other,)).model_dump_json(),
    )

    assert (said.status_code, said.json["code"]) == (409, "conflict")
    assert said.json["errors"][0]["field"].startswith("admit.0")
    assert before.budget == _run(ask, opening.run_id).budget


def test_more_tokens_than_counters_hold_are_refused_before_anything_is_written(ask: Ask) -> None:
    """The counters would fail in the middle of a commit, and leave an attempt on record that nothing is reserved for."""
    opening = _opening("key", admit=(_wish(_new_id()).model_copy(update={"max_tokens": 10**19}),))

    answer = ask("POST", "/v1/exchange", opening.model_dump_json())

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "admit.0.max_tokens")
    assert ask("GET", f"/v1/runs/{opening.run_id}").status_code == 404


def test_an_exchange_with_a_run_nobody_opened_is_not_found(ask: Ask) -> None:
    """404, with what to do."""
    said = ask("POST", "/v1/exchange", Exchange(run_id=_new_id(), owner=_new_id(), epoch=1).model_dump_json())

    assert (said.status_code, said.json["errors"][0]["field"]) == (404, "run_id")


def test_pages_of_runs_lose_none_and_repeat_none_even_within_one_millisecond(ask: Ask, redis: Any, tenant: str) -> None:
    """Nine runs, opened in three milliseconds, read two at a time; by trace as well."""
    opened = []
    for number in range(9):
        opening = _opening(f"key {number}", trace_id=f"trace-{number % 2}")
        _exchange(ask, opening)
        redis.zadd(f"ens:{{{tenant}}}:runs", {opening.run_id: 1000 + number // 3})
        opened.append(opening.run_id)

    def walk(query: str) -> list[str]:
        seen: list[str] = []
        more = ""
        for _ in range(20):
            page = RunList.model_validate_json(ask("GET", f"/v1/runs?limit=2{query}{more}").data)
            seen += [line.run_id for line in page.runs]
            if page.next_before_ms is None:
                return seen
            more = f"&before_ms={page.next_before_ms}"
        raise AssertionError("the pages do not end")

    assert sorted(opened) == sorted(walk(""))
    assert sorted(opened[::2]) == sorted(walk("&trace_id=trace-0"))


def test_runs_are_found_by_how_they_stand_and_tell_what_they_used(ask: Ask) -> None:
    """Also among those of one trace; where a page passes many over, the next one goes on."""
    for number in range(7):
        ticket = _new_id()
        opening = _opening(f"key {number}", trace_id=f"trace-{number % 2}", admit=(_wish(ticket),))
        epoch = _exchange(ask, opening).run.epoch
        said: dict[str, Any] = {"run_id": opening.run_id, "owner": opening.owner, "epoch": epoch}
        news = Settlement(
            ticket=ticket, step="one", outcome=Outcome.SUCCEEDED, took_ms=1, usage=Usage(tokens=10 + number)
        )
        _exchange(ask, Exchange(**said, settle=(news,)))
        if number % 3:
            _exchange(ask, Exchange(**said, close=CloseRun(status=RunStatus.FAILED, answer="")))

    def found(query: str) -> list[tuple[int, int]]:
        page = RunList.model_validate_json(ask("GET", f"/v1/runs?{query}").data)
        return [(line.tokens, line.calls) for line in page.runs]

    assert found("status=running") == [(16, 1), (13, 1), (10, 1)]
    assert found("status=failed") == [(15, 1), (14, 1), (12, 1), (11, 1)]
    assert found("status=running&trace_id=trace-0") == [(16, 1), (10, 1)]
    assert found("status=succeeded") == []


def test_runs_no_longer_kept_leave_the_list(ask: Ask, redis: Any, tenant: str) -> None:
    """Their ids are taken out of the index when they are met."""
    kept, gone = _opening("kept"), _opening("gone")
    for opening in (kept, gone):
        _exchange(ask, opening)
    redis.delete(f"ens:{{{tenant}}}:run:{gone.run_id}")

    assert [kept.run_id] == [line["run_id"] for line in ask("GET", "/v1/runs").json["runs"]]
    assert [kept.run_id] == redis.zrange(f"ens:{{{tenant}}}:runs", 0, -1)


def test_breakers_are_listed_once_something_failed(ask: Ask) -> None:
    """The breaker of the agent that failed, with its count."""
    ticket = _new_id()
    opening = _opening("key", admit=(_wish(ticket),))
    epoch = _exchange(ask, opening).run.epoch
    news = Settlement(ticket=ticket, step="one", outcome=Outcome.UNAVAILABLE, took_ms=20)
    _exchange(ask, Exchange(run_id=opening.run_id, owner=opening.owner, epoch=epoch, settle=(news,)))

    (breaker,) = ask("GET", "/v1/breakers").json["breakers"]
    assert (breaker["identity"], breaker["state"], breaker["failures"]) == (IDENTITY, "closed", 1)
    assert breaker == ask("GET", "/v1/breakers/one", query_string={"identity": IDENTITY}).json


def test_the_book_of_20_000_attempts_is_handed_in(store: Store, tenant: str) -> None:
    """What a run did without its sidecar, in parts none of which keeps the store for long."""
    journal = Journal()
    journal.tell(first(1, 2))
    wishes = [admission(10 + number) for number in range(20_000)]
    journal._admitted = {wish.ticket: wish for wish in wishes}
    journal.tell(later(1, 2, settle=tuple(settlement(wish, Outcome.UNAVAILABLE, ends=False) for wish in wishes)))
    runs = Runs(store)

    roles = {runs.exchange(tenant, ask).run.role for ask in journal.hand_in(closing())}

    assert roles == {Role.OWNER}
    view = runs.get(tenant, RunParams(run_id=hex_id(1)))
    assert (view.status, len(view.attempts)) == (RunStatus.SUCCEEDED, 20_000)
    assert (view.budget.calls_committed, view.budget.calls_reserved) == (20_000, 0)

"""What the metrics tell: to whom, in which form, and that it is what happened."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ensemble.contract.breakers import BreakerCause, BreakerChange, BreakerState
from ensemble.contract.budgets import BudgetDefinition, Limits, Money
from ensemble.contract.exchange import Exchange
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.problems import Problem
from ensemble.contract.results import Usage
from ensemble.rules.happenings import BreakerChanged
from sidecar.app import create_app
from sidecar.edge.shortcut import SHORTCUT, Shortcut
from sidecar.metrics import meters as module
from sidecar.metrics import standing
from sidecar.metrics.catalogue import M
from sidecar.settings import Settings
from sidecar.store.connection import Client, connect
from tests.ensemble.rules.asks import admission, closing, first, hex_id, later, settlement
from tests.sidecar.metrics.reading import Told
from tests.sidecar.runs.opening import IDENTITY, a_finished_run

type Ask = Callable[..., Any]

SECRET = "token-of-prometheus"
AWKWARD = 'app:"quoted" back\\slash\nline\r\x85\u2028 {brace="x"} 市 é \x00'


@pytest.fixture
def app(redis: Client, tenant: str) -> Flask:
    """The app with two tenants, and its metrics open."""
    tokens = {"token-of-the-tenant": tenant, "token-of-the-other-one": f"{tenant}-other"}
    return create_app(Settings.from_environment({"ENSEMBLE_METRICS_TOKEN": SECRET}), redis, tokens)


@pytest.fixture
def scrape(client: FlaskClient) -> Callable[[], Told]:
    """What Prometheus does every few seconds."""

    def read() -> Told:
        said = client.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"})
        assert (said.status_code, said.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        return Told(said.text)

    return read


def exchange(ask: Ask, said: Exchange) -> None:
    answer = ask("POST", "/v1/exchange", said.model_dump_json())
    assert answer.status_code == 200, answer.text


# --- to whom


@pytest.mark.parametrize("token", [None, "", "Bearer", "token-of-the-tenant", "token-of-prometheus2", "\xff"])
def test_nobody_but_who_has_their_token_reads_them(client: FlaskClient, token: str | None) -> None:
    """A tenant's token does not open them, and no token is told."""
    said = client.get("/metrics", headers={} if token is None else {"Authorization": f"Bearer {token}"})

    assert (said.status_code, said.mimetype) == (401, "application/problem+json")
    assert "ENSEMBLE_METRICS_TOKEN" in Problem.model_validate_json(said.data).detail
    assert SECRET not in said.text
    assert said.headers["WWW-Authenticate"].startswith("Bearer")


def test_their_token_opens_nothing_else(client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {SECRET}"}

    assert client.get("/v1/runs", headers=headers).status_code == 401
    assert client.post("/metrics", headers=headers).status_code == 401


def test_without_their_token_set_it_is_said_what_opens_them(redis: Client) -> None:
    """To whoever asks, tenant or not."""
    app = create_app(Settings.from_environment({}), redis, {"token-of-the-tenant": "t"})
    for headers in ({}, {"Authorization": "Bearer token-of-the-tenant"}):
        said = app.test_client().get("/metrics", headers=headers)

        problem = Problem.model_validate_json(said.data)
        assert (said.status_code, problem.code) == (404, "not_found")
        assert problem.errors[0].field == "ENSEMBLE_METRICS_TOKEN"


# --- requests


def test_requests_are_counted_by_endpoint_and_end(
    ask: Ask, client: FlaskClient, scrape: Callable[[], Told], tenant: str
) -> None:
    """Those that were refused, too, and paths that are not there under one name."""
    for _ in range(3):
        ask("GET", "/v1/runs")
    ask("GET", "/v1/runs?limit=none")
    client.get("/v1/runs")
    for path in ("/v1/nope", "/v1/nope/again"):
        ask("GET", path)

    seen = scrape()

    assert seen.sum("ensemble_requests_total", endpoint="list_runs", status="200", tenant=tenant) == 3
    assert seen.sum("ensemble_requests_total", endpoint="list_runs", status="422", code="invalid") == 1
    assert seen.sum("ensemble_requests_total", endpoint="list_runs", status="401", code="unauthorized", tenant="") == 1
    assert seen.sum("ensemble_requests_total", endpoint="none", status="404", code="not_found") == 2
    assert seen.sum("ensemble_request_duration_seconds_count", endpoint="list_runs") == 5
    assert seen.sum("ensemble_request_duration_seconds_bucket", endpoint="list_runs", le="+Inf") == 5
    assert seen.sum("ensemble_request_duration_seconds_sum", endpoint="list_runs") > 0


def test_exchanges_past_flask_are_counted_like_all_others(
    app: Flask, ask: Ask, scrape: Callable[[], Told], tenant: str
) -> None:
    """What the short way answers, a refusal too; what it leaves to the long way is counted there."""
    short: Shortcut = app.extensions[SHORTCUT]
    mine = "Bearer token-of-the-tenant"

    assert short(mine, first(1, 11).model_dump_json().encode()) is not None
    assert short(mine, later(2, 11).model_dump_json().encode()) is not None
    assert short("Bearer nobody's", later(2, 11).model_dump_json().encode()) is None
    assert short(mine, b"{}") is None
    assert ask("POST", "/v1/exchange", "{}").status_code == 422

    seen = scrape()
    ended = {
        (of["status"], of["code"], of["tenant"]): value
        for of, value in ((dict(of), value) for of, value in seen.each("ensemble_requests_total").items())
        if of["endpoint"] == "exchange"
    }
    assert ended == {("200", "", tenant): 1, ("404", "not_found", tenant): 1, ("422", "invalid", tenant): 1}
    assert seen.sum("ensemble_request_duration_seconds_count", endpoint="exchange") == 3


# --- what happened


def test_a_run_is_counted_from_its_opening_to_its_end(ask: Ask, scrape: Callable[[], Told], tenant: str) -> None:
    """Under its tenant; the other one's page is the same page, and shows both."""
    a_finished_run(ask, "trace-1")
    a_finished_run(ask, "trace-2")

    seen = scrape()

    assert seen.each("ensemble_runs_opened_total", tenant=tenant) == {
        frozenset({("tenant", tenant), ("resumed", "false")}): 2
    }
    assert seen.sum("ensemble_runs_closed_total", tenant=tenant, status="succeeded") == 2
    assert seen.sum("ensemble_run_duration_seconds_count", tenant=tenant) == 2
    for name in ("ensemble_attempts_admitted_total", "ensemble_attempts_settled_total"):
        assert seen.sum(name, tenant=tenant, agent=IDENTITY) == 2
    assert seen.sum("ensemble_tokens_total", agent=IDENTITY, estimated="true") == 200
    assert seen.kinds["ensemble_attempt_duration_seconds"] == "histogram"
    assert seen.sum("ensemble_agent_info", tenant=tenant, agent=IDENTITY, name="market") == 1
    assert seen.sum("ensemble_info", store="embedded") == 1


def test_an_exchange_that_is_sent_twice_is_counted_once(ask: Ask, scrape: Callable[[], Told], tenant: str) -> None:
    """As a request it is counted twice."""
    one, two = admission(1), admission(2, "two")
    usage = Usage(tokens=70, price=Decimal("0.25"), currency="USD")
    for said in (
        first(1, 11, admit=(one,)),
        later(1, 11, settle=(settlement(one, usage=usage),), admit=(two,)),
        later(1, 11, settle=(settlement(two, Outcome.UNAVAILABLE),), close=closing(RunStatus.FAILED)),
    ):
        exchange(ask, said)
        exchange(ask, said)

    seen = scrape()

    assert seen.sum("ensemble_requests_total", endpoint="exchange") == 6
    assert seen.sum("ensemble_runs_opened_total", tenant=tenant) == 1
    assert seen.sum("ensemble_runs_closed_total", tenant=tenant) == 1
    assert seen.sum("ensemble_attempts_admitted_total", tenant=tenant) == 2
    assert seen.sum("ensemble_attempts_settled_total", outcome="succeeded") == 1
    assert seen.sum("ensemble_attempts_settled_total", outcome="unavailable") == 1
    assert seen.sum("ensemble_tokens_total", estimated="false") == 170
    assert seen.each("ensemble_money_total") == {
        frozenset({("tenant", tenant), ("agent", "app:left"), ("currency", "USD"), ("estimated", "false")}): 0.25
    }
    assert seen.sum("ensemble_attempt_duration_seconds_bucket", le="1.0") == 2
    assert seen.sum("ensemble_attempt_duration_seconds_bucket", le="0.5") == 0


def test_a_breaker_that_opens_and_who_it_turns_away(ask: Ask, scrape: Callable[[], Told], tenant: str) -> None:
    """Counted when it happens, and shown as it stands."""
    asks = admission(1), admission(2)
    exchange(ask, first(1, 11, admit=asks))
    exchange(ask, later(1, 11, settle=tuple(settlement(a, Outcome.UNAVAILABLE, ends=False) for a in asks)))
    for _ in range(2):
        exchange(ask, later(1, 11, admit=(admission(3),)))

    seen = scrape()

    assert seen.sum("ensemble_breaker_changes_total", tenant=tenant, agent="app:left", to="open") == 1
    refused = {"decision": "refused", "why": "breaker_open"}
    assert seen.sum("ensemble_attempts_turned_away_total", tenant=tenant, agent="app:left", **refused) == 2
    assert seen.labels("ensemble_breaker_state", "state") == {"open"}


def test_whatever_stands_in_an_identity_the_page_can_be_read(
    ask: Ask, app: Flask, scrape: Callable[[], Told], tenant: str
) -> None:
    """And tells it as it is, but for halves of surrogate pairs, which UTF-8 can't hold and no request can bring."""
    wish = admission(1).model_copy(update={"identity": AWKWARD})
    exchange(ask, first(1, 11, admit=(wish,)))
    app.extensions["ensemble.meters"].race_lost("half\ud800")

    seen = scrape()

    assert seen.sum("ensemble_attempts_admitted_total", tenant=tenant, agent=AWKWARD) == 1
    assert seen.sum("ensemble_races_lost_total", tenant="half\\ud800") == 1


def test_more_agents_than_are_told_apart_are_told_together(
    redis: Client, monkeypatch: pytest.MonkeyPatch, tenant: str
) -> None:
    """Nothing is lost of the sum."""
    monkeypatch.setattr(module, "MOST_AGENTS", 3)
    tokens = {"token-of-the-tenant": tenant}
    app = create_app(Settings.from_environment({"ENSEMBLE_METRICS_TOKEN": SECRET}), redis, tokens)
    wishes = [admission(n).model_copy(update={"identity": f"app:{n}"}) for n in range(1, 6)]
    body = first(1, 11, admit=tuple(wishes)).model_dump_json()
    headers = {"Authorization": "Bearer token-of-the-tenant"}
    app.test_client().post("/v1/exchange", data=body, headers=headers, content_type="application/json")

    seen = Told(app.test_client().get("/metrics", headers={"Authorization": f"Bearer {SECRET}"}).text)

    assert seen.labels("ensemble_attempts_admitted_total", "agent") == {"app:1", "app:2", "app:3", "other"}
    assert seen.sum("ensemble_attempts_admitted_total", agent="other") == 2


def test_a_process_that_goes_on_in_a_place_tells_no_more_agents_apart_than_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often it is started anew: else the place would be full in the end, and hold nothing that is new."""
    monkeypatch.setattr(module, "MOST_AGENTS", 3)
    board = module.new_board(1)
    opened = {"before": BreakerState.CLOSED, "after": BreakerState.OPEN, "cause": BreakerCause.FAILURES}
    change = BreakerChange.model_validate({"at_ms": 1, "generation": 2, **opened})
    for start in range(4):
        meters = module.Meters(board)
        for number in range(2):
            meters.heard("t", (BreakerChanged(f"app:{start}.{number}", change), BreakerChanged("app:again", change)))

    told = {labels[1]: value for (name, *labels), value in board.total().items() if name == M.BREAKER_CHANGES}
    assert told == {"app:0.0": 1, "app:again": 8, "app:0.1": 1, "other": 6}


def test_threads_that_race_are_counted_exactly(app: Flask, scrape: Callable[[], Told], tenant: str) -> None:
    """Eight engines on runs of their own, and two that send the same exchanges; one agent for all."""
    runs, attempts = 8, 5
    barrier = threading.Barrier(2 * runs)
    failures: list[Any] = []

    def said(number: int) -> Iterator[Exchange]:
        wishes = [admission(100 * number + n, again=True) for n in range(attempts + 1)]
        yield first(number, number, f"key-{number}", admit=(wishes[0],))
        for before, wish in pairwise(wishes):
            yield later(number, number, settle=(settlement(before),), admit=(wish,))
        yield later(number, number, settle=(settlement(wishes[-1]),), close=closing())

    def engine(number: int) -> None:
        client = app.test_client()
        barrier.wait()
        for each in said(number):
            headers = {"Authorization": "Bearer token-of-the-tenant"}
            answer = client.post(
                "/v1/exchange", data=each.model_dump_json(), headers=headers, content_type="application/json"
            )
            while answer.status_code == 503:
                answer = client.post(
                    "/v1/exchange", data=each.model_dump_json(), headers=headers, content_type="application/json"
                )
            if answer.status_code != 200:
                failures.append(answer.text)

    threads = [threading.Thread(target=engine, args=(1 + number % runs,)) for number in range(2 * runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    seen = scrape()
    assert failures == []
    assert seen.sum("ensemble_runs_opened_total", tenant=tenant) == runs
    assert seen.sum("ensemble_runs_closed_total", tenant=tenant) == runs
    assert seen.sum("ensemble_attempts_admitted_total", tenant=tenant) == runs * (attempts + 1)
    assert seen.sum("ensemble_attempts_settled_total", tenant=tenant) == runs * (attempts + 1)
    assert seen.sum("ensemble_tokens_total", tenant=tenant) == runs * (attempts + 1) * 100


# --- what stands in the store


def test_budgets_and_slots_are_shown_as_they_stand(ask: Ask, scrape: Callable[[], Told], tenant: str) -> None:
    """Limits, what is committed and what is reserved, each in its unit."""
    limits = Limits(tokens=10_000, seconds=90, money=Money(amount=Decimal(5), currency="EUR"))
    definition = BudgetDefinition(limits=limits)
    assert ask("PUT", "/v1/budgets/one?name=team", definition.model_dump_json()).status_code == 200
    wish = admission(1, host="dify.example", host_parallel=3, max_tokens=2_000)
    exchange(ask, first(1, 11, admit=(wish,), budgets=("team",)))

    seen = scrape()

    assert seen.sum("ensemble_budget_limit", tenant=tenant, budget="team", unit="tokens") == 10_000
    assert seen.sum("ensemble_budget_limit", tenant=tenant, budget="team", unit="seconds") == 90
    assert seen.sum("ensemble_budget_limit", tenant=tenant, budget="team", unit="EUR") == 5
    assert seen.sum("ensemble_budget_used", budget="team", unit="tokens", kind="reserved") == 2_000
    assert seen.sum("ensemble_budget_used", budget="team", unit="seconds", kind="reserved") == 5
    assert seen.sum("ensemble_slots_in_use", tenant=tenant, scope="host:dify.example") == 1
    assert seen.sum("ensemble_slots_waiting", tenant=tenant) == 0
    assert seen.sum("ensemble_runs_open", tenant=tenant) == 1
    assert seen.sum("ensemble_store_up") == 1


def test_what_can_not_be_understood_in_the_store_keeps_nothing_else_back(
    ask: Ask, redis: Client, scrape: Callable[[], Told], tenant: str
) -> None:
    """A key of another type, a document that is none."""
    exchange(ask, first(1, 11))
    redis.set(f"ens:{{{tenant}}}:budgets", "not a sorted set", nx=False, px=60_000)
    redis.eval(
        "redis.call('ZADD', KEYS[1], 1, 'app:x') redis.call('HSET', KEYS[2], 'breaker', '1\\n{nonsense')",
        2,
        f"ens:{{{tenant}}}:breakers",
        f"ens:{{{tenant}}}:breaker:app:x",
    )

    seen = scrape()

    assert seen.sum("ensemble_runs_open", tenant=tenant) == 1
    assert seen.sum("ensemble_store_up") == 1
    assert seen.each("ensemble_budget_limit") == seen.each("ensemble_breaker_state") == {}


def test_a_store_too_slow_for_all_tenants_is_told_as_such(
    scrape: Callable[[], Told], tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose turn comes after the time is up are left out: here all."""
    assert set(scrape().labels("ensemble_runs_open", "tenant")) == {tenant, f"{tenant}-other"}
    monkeypatch.setattr(standing, "LONGEST_S", -1.0)

    seen = scrape()

    assert seen.each("ensemble_runs_open") == {}
    assert seen.each("ensemble_store_up") == {frozenset(): 0}


def test_without_its_store_a_sidecar_still_tells_what_it_counted() -> None:
    """Of the store only that it is away."""
    app = create_app(
        Settings.from_environment({"ENSEMBLE_METRICS_TOKEN": SECRET, "ENSEMBLE_REDIS_URL": "redis://127.0.0.1:1"}),
        connect("redis://127.0.0.1:1"),
        {"token-of-the-tenant": "t", "token-of-the-other-one": "o"},
    )
    client = app.test_client()
    run = uuid.uuid4().hex
    body = Exchange(run_id=run, owner=hex_id(1), epoch=1).model_dump_json()
    headers = {"Authorization": "Bearer token-of-the-tenant"}
    assert client.post("/v1/exchange", data=body, headers=headers, content_type="application/json").status_code == 503

    seen = Told(client.get("/metrics", headers={"Authorization": f"Bearer {SECRET}"}).text)

    assert seen.sum("ensemble_requests_total", status="503", code="store_unavailable") == 1
    assert seen.each("ensemble_store_up") == {frozenset(): 0}
    assert seen.each("ensemble_runs_open") == {}
    assert seen.sum("ensemble_info", store="external") == 1

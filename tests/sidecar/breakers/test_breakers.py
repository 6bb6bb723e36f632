"""Breakers over HTTP on a real store: guarded calls, windows, an operator's hand, and that nothing of it is lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ensemble.contract.breakers import (
    BreakerForce,
    BreakerParams,
    BreakerPolicy,
    BreakerPolicyAsk,
    BreakerState,
    Forced,
)
from ensemble.contract.exchange import Decision
from ensemble.contract.guarding import CallAsk, CallNews
from ensemble.contract.outcomes import Outcome
from sidecar.breakers.service import Breakers
from sidecar.errors import NotFound
from sidecar.store.connection import connect
from sidecar.store.store import Store

type Ask = Callable[..., Any]
IDENTITY = "http:weather"
ONE = {"identity": IDENTITY}
RATES = BreakerPolicy(
    failure_threshold=1000, sliding_window_size=20, minimum_number_of_calls=10, failure_rate_threshold=50
)
QUICK = BreakerPolicy(failure_threshold=1, recovery_timeout=1, success_threshold=1)


@pytest.fixture
def breakers(store: Store) -> Breakers:
    return Breakers(store)


def call(
    breakers: Breakers, tenant: str, outcome: Outcome | None, policy: BreakerPolicy = RATES, *, took_ms: int = 0
) -> Decision:
    """Ask, and if admitted tell *outcome*."""
    answer = breakers.admit(tenant, CallAsk(identity=IDENTITY, breaker=policy))
    if answer.admitted and outcome is not None:
        news = CallNews(identity=IDENTITY, ticket=answer.ticket, outcome=outcome, took_ms=took_ms)
        breakers.settle(tenant, news)
    return answer.decision


def age(redis: Any, tenant: str, **fields: int) -> None:
    """Let time pass for the breaker by moving its record back, *fields* by so many milliseconds each."""
    key = f"ens:{{{tenant}}}:breaker:{IDENTITY}"
    version, _, text = redis.hget(key, "breaker").partition("\n")
    for name, ms in fields.items():
        start = text.index(f'"{name}":') + len(name) + 3
        digits = text[start:].split(",")[0].rstrip("}")
        text = text[:start] + str(int(digits) - ms) + text[start + len(digits) :]
    redis.hset(key, "breaker", f"{int(version) + 1}\n{text}")


def test_a_client_guards_its_calls_over_http(ask: Ask, redis: Any, tenant: str) -> None:
    """Admit, settle, refused, a probe, closed again: all a workflow's HTTP node needs."""
    body = {**ONE, "ticket": "workflow-run-1", "breaker": {"failure_threshold": 1, "success_threshold": 1}}
    first = ask("POST", "/v1/breakers/admissions", body).json
    assert (first["admitted"], first["decision"], first["state"]) == (True, "admitted", "closed")
    assert ask("POST", "/v1/breakers/admissions", body).json == first
    news = {**ONE, "ticket": "workflow-run-1", "outcome": "unavailable"}
    settled = ask("POST", "/v1/breakers/settlements", news).json
    assert (settled["state"], settled["outcome"]) == ("open", "unavailable")
    again = ask("POST", "/v1/breakers/settlements", {**news, "outcome": "succeeded"}).json
    assert (again["state"], again["outcome"]) == ("open", "unavailable")

    refused = ask("POST", "/v1/breakers/admissions", {**body, "ticket": "workflow-run-2"}).json
    assert (refused["admitted"], refused["why"]) == (False, "breaker_open")
    assert 59_000 < refused["retry_after_ms"] <= 60_000
    assert "isolated" in refused["detail"]

    age(redis, tenant, opened_ms=60_000)
    probe = ask("POST", "/v1/breakers/admissions", {**ONE, "breaker": body["breaker"]}).json
    assert (probe["admitted"], probe["state"]) == (True, "half_open")
    news = {**ONE, "ticket": probe["ticket"], "outcome": "succeeded"}
    assert ask("POST", "/v1/breakers/settlements", news).json["state"] == "closed"
    view = ask("GET", "/v1/breakers/one", query_string=ONE).json
    assert [change["cause"] for change in view["changes"]] == ["failures", "recovery", "healed"]
    assert ask("GET", "/v1/breakers").json["breakers"][0]["changes"] == []


def test_a_ticket_belongs_to_one_body_and_one_identity(ask: Ask) -> None:
    """The same run id may guard two calls; another body under it is a conflict; an unknown one is not found."""
    assert ask("POST", "/v1/breakers/admissions", {**ONE, "ticket": "t"}).json["admitted"]
    assert ask("POST", "/v1/breakers/admissions", {"identity": "http:maps", "ticket": "t"}).json["admitted"]
    answer = ask("POST", "/v1/breakers/admissions", {**ONE, "ticket": "t", "lease_s": 5})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (409, "ticket")
    answer = ask("POST", "/v1/breakers/settlements", {**ONE, "ticket": "u", "outcome": "succeeded"})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (404, "ticket")


def test_a_probe_nobody_settles_gives_its_place_back_with_its_lease(
    breakers: Breakers, redis: Any, tenant: str
) -> None:
    """The next one gets in; what the lost one tells later is not heard."""
    call(breakers, tenant, Outcome.UNAVAILABLE, QUICK)
    age(redis, tenant, opened_ms=1_000)
    lost = breakers.admit(tenant, CallAsk(identity=IDENTITY, breaker=QUICK, lease_s=1))
    assert lost.admitted
    assert call(breakers, tenant, None, QUICK) is Decision.REFUSED
    key = f"ens:{{{tenant}}}:breaker:{IDENTITY}"
    version, _, text = redis.hget(key, "breaker").partition("\n")
    until = text.split(f'"{lost.ticket}":"')[1].split('"')[0]
    redis.hset(key, "breaker", f"{int(version) + 1}\n{text.replace(until, str(int(until) - 1_000))}")

    assert call(breakers, tenant, None, QUICK) is Decision.ADMITTED
    late = breakers.settle(tenant, CallNews(identity=IDENTITY, ticket=lost.ticket, outcome=Outcome.UNAVAILABLE))
    assert late.state is BreakerState.HALF_OPEN


def test_a_failure_rate_opens_it_and_the_window_begins_anew_when_it_closes(
    breakers: Breakers, redis: Any, tenant: str
) -> None:
    """Five of ten."""
    policy = RATES.model_copy(update={"success_threshold": 1})
    for number in range(9):
        call(breakers, tenant, Outcome.UNAVAILABLE if number % 2 else Outcome.SUCCEEDED, policy)
    assert breakers.get(tenant, BreakerParams(identity=IDENTITY)).state is BreakerState.CLOSED
    call(breakers, tenant, Outcome.UNAVAILABLE, policy)
    view = breakers.get(tenant, BreakerParams(identity=IDENTITY))
    assert (view.state, view.cause) == (BreakerState.OPEN, "failure_rate")
    age(redis, tenant, opened_ms=60_000)
    call(breakers, tenant, Outcome.SUCCEEDED, policy)
    for _ in range(9):
        call(breakers, tenant, Outcome.UNAVAILABLE, policy)
    assert breakers.get(tenant, BreakerParams(identity=IDENTITY)).state is BreakerState.CLOSED
    call(breakers, tenant, Outcome.UNAVAILABLE, policy)
    assert breakers.get(tenant, BreakerParams(identity=IDENTITY)).state is BreakerState.OPEN


def test_slow_calls_open_it(breakers: Breakers, tenant: str) -> None:
    """Though all of them succeeded."""
    policy = BreakerPolicy(
        slow_call_rate_threshold=100, slow_call_duration_threshold=2, minimum_number_of_calls=3, sliding_window_size=5
    )
    for _ in range(3):
        call(breakers, tenant, Outcome.SUCCEEDED, policy, took_ms=2_500)
    assert breakers.get(tenant, BreakerParams(identity=IDENTITY)).cause == "slow_calls"


def test_a_healthy_agents_window_is_counted_without_writing_its_breaker(
    breakers: Breakers, redis: Any, tenant: str
) -> None:
    """So that its callers do not collide; the counters add up to what was told, up to the window's size."""
    for _ in range(60):
        call(breakers, tenant, Outcome.SUCCEEDED)
    assert not redis.exists(f"ens:{{{tenant}}}:breaker:{IDENTITY}")
    key = f"ens:{{{tenant}}}:window:count_based:20:{IDENTITY}"
    counts = [int(n) for field, n in redis.hgetall(key).items() if field.endswith(".calls")]
    assert sum(counts) == 20


def test_of_many_settling_at_once_none_is_lost_and_the_tenth_bad_one_opens_it(valkey: Any, tenant: str) -> None:
    """Ten rounds of five good and five bad calls at once: whatever their order, the rate is judged over all ten."""
    breakers = Breakers(Store(connect(valkey.url)))

    def settle(where: tuple[str, str, Outcome]) -> None:
        identity, ticket, outcome = where
        breakers.settle(tenant, CallNews(identity=identity, ticket=ticket, outcome=outcome))

    with ThreadPoolExecutor(5) as pool:
        for number in range(10):
            identity = f"http:{number}"
            tickets = [breakers.admit(tenant, CallAsk(identity=identity, breaker=RATES)).ticket for _ in range(10)]
            outcomes = [Outcome.SUCCEEDED, Outcome.UNAVAILABLE] * 5
            list(pool.map(settle, [(identity, t, o) for t, o in zip(tickets, outcomes, strict=True)]))
            assert breakers.get(tenant, BreakerParams(identity=identity)).state is BreakerState.OPEN


def test_what_an_operator_sets_beats_what_is_asked_by_and_stays(breakers: Breakers, redis: Any, tenant: str) -> None:
    """Also for an agent nobody has called yet."""
    one = BreakerParams(identity=IDENTITY)
    view = breakers.set_policy(tenant, one, BreakerPolicyAsk(policy=QUICK))
    assert (view.policy, view.state) == (QUICK, BreakerState.CLOSED)
    assert redis.ttl(f"ens:{{{tenant}}}:breaker:{IDENTITY}") == -1
    call(breakers, tenant, Outcome.UNAVAILABLE, BreakerPolicy(failure_threshold=1000))
    assert breakers.get(tenant, one).state is BreakerState.OPEN
    assert [each.identity for each in breakers.all(tenant).breakers] == [IDENTITY]
    breakers.set_policy(tenant, one, BreakerPolicyAsk(policy=None))
    assert breakers.get(tenant, one).policy is None
    assert redis.ttl(f"ens:{{{tenant}}}:breaker:{IDENTITY}") > 0


def test_an_operator_holds_it_open_closed_disabled_and_lets_it_go(ask: Ask) -> None:
    """The refusal tells the reason; without a time nobody knows when."""

    def hold(body: dict[str, Any]) -> Any:
        return ask("PUT", "/v1/breakers/force", body, query_string=ONE).json

    def admission() -> Any:
        return ask("POST", "/v1/breakers/admissions", ONE).json

    view = hold({"state": "open", "reason": "migrating"})
    assert (view["state"], view["forced"]["state"], view["changes"][0]["cause"]) == ("open", "open", "operator")
    refused = admission()
    assert (refused["admitted"], refused["retry_after_ms"]) == (False, None)
    assert "migrating" in refused["detail"]
    hold({"state": "open", "seconds": 30})
    assert 0 < admission()["retry_after_ms"] <= 30_000
    for state in ("closed", "disabled"):
        hold({"state": state})
        ticket = admission()["ticket"]
        news = {**ONE, "ticket": ticket, "outcome": "unavailable"}
        assert ask("POST", "/v1/breakers/settlements", news).json["state"] == "closed"
    view = hold({"state": None})
    assert (view["state"], view["forced"], view["failures"]) == ("closed", None, 0)
    answer = ask("PUT", "/v1/breakers/force", {"state": None, "seconds": 3}, query_string=ONE)
    assert answer.status_code == 422


def test_of_many_that_ask_a_recovered_breaker_at_once_exactly_one_probes(valkey: Any, redis: Any, tenant: str) -> None:
    """Twenty rounds of eight."""
    breakers = Breakers(Store(connect(valkey.url)))
    call(breakers, tenant, Outcome.UNAVAILABLE, QUICK)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            age(redis, tenant, opened_ms=1_000)
            asks = [CallAsk(identity=IDENTITY, ticket=uuid.uuid4().hex, breaker=QUICK) for _ in range(8)]
            answers = list(pool.map(lambda one: breakers.admit(tenant, one), asks))
            (probe,) = [answer for answer in answers if answer.admitted]
            news = CallNews(identity=IDENTITY, ticket=probe.ticket, outcome=Outcome.UNAVAILABLE)
            assert breakers.settle(tenant, news).state is BreakerState.OPEN


def test_a_breaker_nobody_moved_is_not_found_and_the_changes_kept_are_bounded(breakers: Breakers, tenant: str) -> None:
    """Fifty of them, the last."""
    one = BreakerParams(identity=IDENTITY)
    with pytest.raises(NotFound):
        breakers.get(tenant, one)
    for number in range(60):
        breakers.force(tenant, one, BreakerForce(state=Forced.OPEN if number % 2 else None, reason=str(number)))
    changes = breakers.get(tenant, one).changes
    assert [each.generation for each in changes] == list(range(11, 61))

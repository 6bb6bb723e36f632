"""Named budgets over HTTP on a real store: all or none, windows, money, races, and what is never settled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from ensemble.contract.budgets import (
    BudgetDefinition,
    BudgetParams,
    BudgetWindow,
    Limits,
    Money,
    ReservationAsk,
    ReservationNews,
    ReservationSettled,
    ReserveOutcome,
)
from ensemble.contract.exchange import AdmissionAsk, CloseRun, Decision, Exchange, OpenRun, PlannedStep, Settlement
from ensemble.contract.outcomes import Outcome, RunStatus
from ensemble.contract.results import Usage
from ensemble.contract.runs import RunParams
from ensemble.rules.addresses import budget_hash
from ensemble.rules.budgets.reserving import settle
from ensemble.rules.snapshot import Changes, Snapshot
from sidecar.budgets.service import Budgets
from sidecar.errors import Conflict
from sidecar.runs.service import Runs
from sidecar.runs.sweep import Sweeper
from sidecar.store.connection import connect
from sidecar.store.store import Store

type Ask = Callable[..., Any]
ONE = {"name": "workspace"}


@pytest.fixture
def budgets(store: Store) -> Budgets:
    return Budgets(store)


def define(budgets: Budgets, tenant: str, name: str = "workspace", **more: Any) -> None:
    window = BudgetWindow(**more.pop("window", {}))
    warn_at = more.pop("warn_at", 80)
    budgets.define(
        tenant, BudgetParams(name=name), BudgetDefinition(limits=Limits(**more), window=window, warn_at=warn_at)
    )


def used(budgets: Budgets, tenant: str, name: str = "workspace") -> Any:
    return budgets.get(tenant, BudgetParams(name=name)).used


def test_a_client_reserves_and_settles_over_http(ask: Ask) -> None:
    """Define, reserve, warn, refused, settle, look, forget."""
    body = {"limits": {"tokens": 1000, "money": {"amount": "2.50", "currency": "USD"}}, "window": {"kind": "month"}}
    state = ask("PUT", "/v1/budgets/one", body, query_string=ONE).json
    assert state["used"]["tokens_committed"] == 0
    wish = {"budgets": ["workspace"], "ticket": "run-1", "tokens": 700, "money": {"amount": 1, "currency": "USD"}}
    first = ask("POST", "/v1/budgets/reservations", wish).json
    assert (first["admitted"], first["outcome"], first["warnings"]) == (True, "admitted", [])
    assert ask("POST", "/v1/budgets/reservations", wish).json == first
    more = ask("POST", "/v1/budgets/reservations", {**wish, "ticket": "run-2", "tokens": 300}).json
    assert more["outcome"] == "warn"
    assert more["warnings"] == [
        "budget 'workspace': 100 % of its tokens are spent or reserved",
        "budget 'workspace': 80 % of its USD are spent or reserved",
    ]
    wait = ask("POST", "/v1/budgets/reservations", {**wish, "ticket": "run-3", "tokens": 1}).json
    assert (wait["outcome"], wait["retry_after_ms"]) == ("wait", 200)
    never = ask("POST", "/v1/budgets/reservations", {**wish, "ticket": "run-3", "tokens": 1001}).json
    assert (never["admitted"], never["outcome"]) == (False, "refused")
    assert 0 < never["retry_after_ms"] <= 31 * 86_400_000
    assert never["detail"] == "1001 tokens are needed, 1000 of budget 'workspace''s 1000 are left"

    news = {"ticket": "run-1", "tokens": 450, "money": {"amount": "0.1234567891"[:11], "currency": "USD"}}
    settled = ask("POST", "/v1/budgets/settlements", news).json
    assert (settled["spent"]["tokens"], settled["spent"]["nano"], settled["estimated"]) == (450, 123_456_789, False)
    assert ask("POST", "/v1/budgets/settlements", {**news, "tokens": 1}).json == settled
    state = ask("GET", "/v1/budgets/one", query_string=ONE).json
    assert (state["used"]["tokens_committed"], state["used"]["tokens_reserved"]) == (450, 300)
    assert state["used"]["nano_committed"] == 123_456_789
    assert [each["name"] for each in ask("GET", "/v1/budgets").json["budgets"]] == ["workspace"]
    assert ask("DELETE", "/v1/budgets/one", query_string=ONE).status_code == 200
    for verb in ("GET", "DELETE"):
        assert ask(verb, "/v1/budgets/one", query_string=ONE).status_code == 404
    assert ask("POST", "/v1/budgets/reservations", wish | {"ticket": "run-9"}).status_code == 404
    assert ask("POST", "/v1/budgets/settlements", {"ticket": "run-9"}).status_code == 404
    assert ask("POST", "/v1/budgets/settlements", {"ticket": "run-2"}).status_code == 200


def test_of_several_budgets_all_are_charged_or_none(budgets: Budgets, tenant: str) -> None:
    """The tightest decides; an estimate is cut to what the tightest has left."""
    define(budgets, tenant, tokens=10_000)
    define(budgets, tenant, "user:1", tokens=3_000)
    both = ("workspace", "user:1")
    answer = budgets.reserve(tenant, ReservationAsk(budgets=both, tokens=3_001))
    assert answer.outcome is ReserveOutcome.REFUSED
    assert (used(budgets, tenant).tokens_reserved, used(budgets, tenant, "user:1").tokens_reserved) == (0, 0)
    answer = budgets.reserve(tenant, ReservationAsk(budgets=both))
    assert (answer.reserved and answer.reserved.tokens, answer.outcome) == (3_000, ReserveOutcome.WARN)
    assert (used(budgets, tenant).tokens_reserved, used(budgets, tenant, "user:1").tokens_reserved) == (3_000, 3_000)
    with pytest.raises(Conflict):
        budgets.reserve(tenant, ReservationAsk(budgets=both, ticket=answer.ticket, tokens=1))


def test_money_of_another_currency_is_booked_as_reserved_and_flagged(budgets: Budgets, tenant: str) -> None:
    """It is never converted."""
    define(budgets, tenant, money=Money(amount=Decimal(5), currency="EUR"))
    ask = ReservationAsk(budgets=("workspace",), money=Money(amount=Decimal(2), currency="EUR"))
    ticket = budgets.reserve(tenant, ask).ticket
    told = ReservationNews(ticket=ticket, tokens=1, money=Money(amount=Decimal(9), currency="USD"))
    assert budgets.settle(tenant, told).estimated
    assert used(budgets, tenant).nano_committed == 2 * 10**9


def test_what_was_reserved_in_one_currency_is_not_booked_in_another(budgets: Budgets, tenant: str) -> None:
    """The budget counts another one by the time the call is over."""
    define(budgets, tenant, money=Money(amount=Decimal(5), currency="USD"))
    dollars = Money(amount=Decimal(2), currency="USD")
    ticket = budgets.reserve(tenant, ReservationAsk(budgets=("workspace",), money=dollars)).ticket
    define(budgets, tenant, money=Money(amount=Decimal(5), currency="EUR"))

    budgets.settle(tenant, ReservationNews(ticket=ticket, tokens=1, money=dollars))

    now = used(budgets, tenant)
    assert (now.nano_committed, now.nano_reserved, now.calls_committed, now.estimated) == (0, 0, 1, True)


def test_of_many_that_reserve_at_once_no_more_get_in_than_fit(valkey: Any, tenant: str) -> None:
    """Ten rounds of eight for three places in each of two budgets, with a rolling window."""
    budgets = Budgets(Store(connect(valkey.url)))
    barrier = threading.Barrier(8)

    def reserve(name: str) -> bool:
        barrier.wait()
        return budgets.reserve(tenant, ReservationAsk(budgets=(name, "all"), tokens=10)).admitted

    define(budgets, tenant, "all", calls=10**6)
    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            define(budgets, tenant, f"b{number}", calls=3, window={"kind": "rolling", "seconds": 3600})
            assert sum(pool.map(reserve, [f"b{number}"] * 8)) == 3
    assert used(budgets, tenant, "all").calls_reserved == 30


def test_what_is_never_settled_is_booked_as_reserved_once_its_lease_ends_and_late_news_corrects_it(
    budgets: Budgets, store: Store, redis: Any, tenant: str
) -> None:
    """By the sweep; nothing stays reserved."""
    define(budgets, tenant, tokens=1_000, seconds=100)
    ticket = budgets.reserve(tenant, ReservationAsk(budgets=("workspace",), tokens=400, seconds=9)).ticket
    sweeper = Sweeper(store, [tenant], 30_000)
    sweeper.sweep()
    assert used(budgets, tenant).tokens_reserved == 400
    key, index = f"ens:{{{tenant}}}:reservation:{ticket}", f"ens:{{{tenant}}}:reservations"
    version, _, text = redis.hget(key, "reservation").partition("\n")
    until = int(redis.zscore(index, ticket))
    redis.hset(key, "reservation", f"{int(version) + 1}\n{text.replace(str(until), str(until - 600_000))}")
    redis.zadd(index, {ticket: until - 600_000})
    for _ in range(2):
        sweeper.sweep()
        now = used(budgets, tenant)
        assert (now.tokens_reserved, now.tokens_committed, now.ms_committed, now.estimated) == (0, 400, 0, True)
    assert redis.zcard(index) == 0
    budgets.settle(tenant, ReservationNews(ticket=ticket, tokens=150, took_ms=2_000))
    now = used(budgets, tenant)
    assert (now.tokens_reserved, now.tokens_committed, now.ms_committed, now.estimated) == (0, 150, 2_000, False)


def test_another_window_or_currency_forgets_what_was_spent_and_another_limit_does_not(
    budgets: Budgets, tenant: str
) -> None:
    define(budgets, tenant, tokens=1_000)
    ticket = budgets.reserve(tenant, ReservationAsk(budgets=("workspace",), tokens=400)).ticket
    held = budgets.reserve(tenant, ReservationAsk(budgets=("workspace",), tokens=50)).ticket
    budgets.settle(tenant, ReservationNews(ticket=ticket, tokens=300))
    define(budgets, tenant, tokens=500)
    assert (used(budgets, tenant).tokens_committed, used(budgets, tenant).tokens_reserved) == (300, 50)
    define(budgets, tenant, tokens=500, window={"kind": "rolling", "seconds": 60})
    assert (used(budgets, tenant).tokens_committed, used(budgets, tenant).tokens_reserved) == (0, 50)
    budgets.settle(tenant, ReservationNews(ticket=held, tokens=60))
    assert (used(budgets, tenant).tokens_committed, used(budgets, tenant).tokens_reserved) == (60, 0)


def forget(budgets: Budgets, tenant: str) -> None:
    budgets.forget(tenant, BudgetParams(**ONE))


def key_of(tenant: str) -> str:
    return f"ens:{{{tenant}}}:{budget_hash('workspace')}"


def test_a_forgotten_budget_leaves_nothing_and_what_was_reserved_in_it_weighs_on_none_of_its_name(
    budgets: Budgets, redis: Any, tenant: str
) -> None:
    define(budgets, tenant, tokens=1_000)
    before, after = [budgets.reserve(tenant, ReservationAsk(budgets=("workspace",), tokens=400)).ticket for _ in "12"]
    forget(budgets, tenant)
    budgets.settle(tenant, ReservationNews(ticket=before, tokens=300))
    assert not redis.exists(key_of(tenant))

    define(budgets, tenant, tokens=1_000)
    budgets.settle(tenant, ReservationNews(ticket=after, tokens=300))

    assert (used(budgets, tenant).tokens_committed, used(budgets, tenant).tokens_reserved) == (300, 0)
    assert not budgets.reserve(tenant, ReservationAsk(budgets=("workspace",), tokens=701)).admitted


def test_a_budget_that_is_defined_anew_while_a_settlement_is_decided_is_not_bent_by_it(
    budgets: Budgets, store: Store, tenant: str
) -> None:
    define(budgets, tenant, tokens=1_000)
    ticket = budgets.reserve(tenant, ReservationAsk(budgets=("workspace",), tokens=400)).ticket
    tries = []

    def settling(snapshot: Snapshot) -> tuple[ReservationSettled, Changes]:
        decided = settle(ReservationNews(ticket=ticket, tokens=300), snapshot)
        tries.append(decided)
        if len(tries) == 1:
            forget(budgets, tenant)
            define(budgets, tenant, tokens=1_000)
        return decided

    store.decide(tenant, settling)

    assert len(tries) == 2
    assert (used(budgets, tenant).tokens_committed, used(budgets, tenant).tokens_reserved) == (300, 0)


def test_an_attempt_told_late_brings_back_no_forgotten_budget(
    budgets: Budgets, store: Store, redis: Any, tenant: str
) -> None:
    define(budgets, tenant, tokens=1_000)
    runs = Runs(store)
    runs.exchange(tenant, engine(1, budgets=("workspace",)))
    forget(budgets, tenant)
    told = Exchange(run_id=f"{1:032x}", owner=f"{101:032x}", epoch=1, late=(wish(5),))

    assert runs.exchange(tenant, told).run.epoch == 1
    assert not redis.exists(key_of(tenant))


@pytest.mark.parametrize("known", [True, False], ids=["a run on record", "a run that began without the sidecar"])
def test_a_run_is_handed_in_though_its_budget_was_forgotten_meanwhile(
    budgets: Budgets, store: Store, redis: Any, tenant: str, *, known: bool
) -> None:
    """It is over; what it gave must not be lost for want of something to charge it to."""
    runs, close = Runs(store), CloseRun(status=RunStatus.SUCCEEDED, answer="done")
    define(budgets, tenant, tokens=1_000)
    if known:
        runs.exchange(tenant, engine(1, budgets=("workspace",)))
    forget(budgets, tenant)
    news = Settlement(ticket=wish(5).ticket, step="one", outcome=Outcome.SUCCEEDED, usage=Usage(tokens=70), took_ms=5)

    runs.exchange(tenant, engine(1, budgets=("workspace",), late=(wish(5),), settle=(news,), close=close))

    told = runs.get(tenant, RunParams(run_id=f"{1:032x}"))
    assert (told.status, told.budget.tokens_committed) == (RunStatus.SUCCEEDED, 70)
    assert not redis.exists(key_of(tenant))


IDENTITY = "app:market"


def engine(number: int, **more: Any) -> Exchange:
    step = PlannedStep(id="one", agent="market", identity=IDENTITY)
    terms = {name: more.pop(name) for name in ("budgets", "limits", "on_lost") if name in more}
    opened = OpenRun(run_key=f"k{number}", fingerprint="f" * 64, trace_id="t", steps=(step,), **terms)
    return Exchange(run_id=f"{number:032x}", owner=f"{number + 100:032x}", open=opened, **more)


def wish(number: int, **more: Any) -> AdmissionAsk:
    return AdmissionAsk(
        ticket=f"{number:032x}", step="one", agent="market", identity=IDENTITY, timeout_ms=1_000, **more
    )


def test_runs_are_charged_to_named_budgets_too(budgets: Budgets, store: Store, tenant: str) -> None:
    """Two runs share one; the second is refused by what the first has spent, and told when the window ends."""
    runs = Runs(store)
    define(budgets, tenant, tokens=1_000, window={"kind": "day"}, warn_at=50)
    with pytest.raises(Conflict) as refused:
        runs.exchange(tenant, engine(9, budgets=("nobody",)))
    assert refused.value.faults[0].field == "open.budgets.0"
    first = engine(1, budgets=("workspace",), admit=(wish(1, max_tokens=600),))
    (admitted,) = runs.exchange(tenant, first).admissions
    assert admitted.decision is Decision.ADMITTED
    assert admitted.warnings == ("budget 'workspace': 60 % of its tokens are spent or reserved",)
    second = engine(2, budgets=("workspace",), admit=(wish(2, max_tokens=500),))
    assert runs.exchange(tenant, second).admissions[0].decision is Decision.WAIT
    news = Settlement(ticket=wish(1).ticket, step="one", outcome=Outcome.SUCCEEDED, usage=Usage(tokens=700), took_ms=5)
    runs.exchange(tenant, Exchange(run_id=first.run_id, owner=first.owner, epoch=1, settle=(news,)))
    assert (used(budgets, tenant).tokens_committed, used(budgets, tenant).tokens_reserved) == (700, 0)
    (late,) = runs.exchange(tenant, second).admissions
    assert (late.decision, late.why) == (Decision.REFUSED, "budget")
    assert 0 < (late.retry_after_ms or 0) <= 25 * 3_600_000


def test_what_attempts_told_late_cost_is_charged_as_well(budgets: Budgets, store: Store, tenant: str) -> None:
    """To the run and to its named budgets, each in its own currency; what no price is known of is flagged."""
    dollars = Money(amount=Decimal(5), currency="USD")
    define(budgets, tenant, money=dollars)
    define(budgets, tenant, "euros", money=Money(amount=Decimal(5), currency="EUR"))
    runs = Runs(store)
    runs.exchange(tenant, engine(1, budgets=("workspace", "euros"), limits=Limits(money=dollars)))
    usage = Usage(tokens=5, price=Decimal("0.5"), currency="USD")
    news = Settlement(ticket=wish(1).ticket, step="one", outcome=Outcome.SUCCEEDED, usage=usage, took_ms=5)

    told = Exchange(run_id=f"{1:032x}", owner=f"{101:032x}", epoch=1, late=(wish(1),), settle=(news,))
    runs.exchange(tenant, told)

    own = runs.get(tenant, RunParams(run_id=told.run_id)).budget
    kept = [own, used(budgets, tenant), used(budgets, tenant, "euros")]
    assert [(each.nano_committed, each.estimated) for each in kept] == [(5 * 10**8, False)] * 2 + [(0, True)]
    assert {each.nano_reserved for each in kept} == {0}


def test_a_run_has_a_limit_of_money_of_its_own(store: Store, tenant: str) -> None:
    """What agents say they cost is counted in its currency; once it is spent nothing is admitted."""
    runs = Runs(store)
    limits = Limits(money=Money(amount=Decimal("0.5"), currency="USD"))
    first = engine(1, limits=limits, admit=(wish(1),))
    assert runs.exchange(tenant, first).admissions[0].decision is Decision.ADMITTED
    usage = Usage(tokens=5, price=Decimal("0.5"), currency="USD")
    news = Settlement(ticket=wish(1).ticket, step="one", outcome=Outcome.AGENT_FAILED, usage=usage, took_ms=5)
    more = Exchange(run_id=first.run_id, owner=first.owner, epoch=1, settle=(news,), admit=(wish(2),))
    (refused,) = runs.exchange(tenant, more).admissions
    assert (refused.decision, refused.detail) == (Decision.REFUSED, "all of the run's 0.5 USD are spent")

"""Records of the right type that this sidecar can't understand: one is told as damaged, and hides no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ensemble.rules.snapshot import Address, Changes
from sidecar.errors import StoreDamaged
from sidecar.metrics.catalogue import M
from sidecar.metrics.standing import Standing
from sidecar.store.keys import full_key
from sidecar.store.store import Store
from tests.sidecar.runs.opening import IDENTITY, a_finished_run

type Ask = Callable[..., Any]

OTHER = f"{IDENTITY}f"
WRITTEN = {
    "words": b"1\nsomething else",
    "no text": b"1\n\xff\xfe",
    "another record": b"1\n[]",
    "no version": b"something else",
}


@pytest.fixture
def everything(ask: Ask) -> str:
    """A run, and two of everything else that there are lists of."""
    run_id = a_finished_run(ask, "t")
    for identity in (IDENTITY, OTHER):
        for url in ("/v1/agents/one", "/v1/breakers/force"):
            body = {"state": "open"} if "force" in url else {"name": "market"}
            assert ask("PUT", url, body, query_string={"identity": identity}).status_code == 200
    for name in ("a", "b"):
        defined = ask("PUT", "/v1/budgets/one", {"limits": {"tokens": 9}}, query_string={"name": name})
        assert defined.status_code == 200
    return run_id


def a_second_run(ask: Ask) -> str:
    """Run another one, with nobody's breaker in its way."""
    released = ask("PUT", "/v1/breakers/force", {"state": None}, query_string={"identity": IDENTITY})
    assert released.status_code == 200
    return a_finished_run(ask, "t")


def refused(said: Any, place: str) -> None:
    """It was told where, and what can be done about it."""
    assert (said.status_code, said.json["code"]) == (500, "store_damaged"), said.text
    assert place in said.json["detail"]
    assert "upgrade this one, or delete what stands there" in said.json["detail"]


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_a_run_is_told_as_damaged_and_hides_no_other(
    ask: Ask, redis: Any, tenant: str, everything: str, written: bytes
) -> None:
    """Whichever part of it. It stays in the index, so that it is there again once it can be understood."""
    other, key = a_second_run(ask), full_key(tenant, f"run:{everything}")
    for field in ("run", "about", "steps", "answer", "step:one", "tokens_committed"):
        before = redis.hget(key, field)
        assert before is not None
        redis.hset(key, field, written)

        refused(ask("GET", f"/v1/runs/{everything}"), f"run:{everything}")
        listed = ask("GET", "/v1/runs")
        assert listed.status_code == 200, listed.text
        assert other in {run["run_id"] for run in listed.json["runs"]}

        redis.hset(key, field, before)
        assert {run["run_id"] for run in ask("GET", "/v1/runs").json["runs"]} == {everything, other}
        assert ask("GET", f"/v1/runs/{everything}").status_code == 200


def test_a_word_of_a_newer_sidecar_is_not_understood(ask: Ask, redis: Any, tenant: str, everything: str) -> None:
    """While several are upgraded, one after the other, old ones go on with all other runs; a new field harms nothing."""
    key = full_key(tenant, f"run:{everything}")
    version, _, record = redis.hget(key, "run").partition("\n")

    redis.hset(key, "run", f"{version}\n{json.dumps({**json.loads(record), 'invented_later': 1})}")
    assert ask("GET", f"/v1/runs/{everything}").status_code == 200

    redis.hset(key, "run", f"{version}\n{json.dumps({**json.loads(record), 'status': 'paused'})}")
    refused(ask("GET", f"/v1/runs/{everything}"), f"run:{everything}")
    refused(ask("POST", f"/v1/runs/{everything}/cancel", {}), f"run:{everything}")
    assert ask("GET", "/v1/runs").json["runs"] == []


@pytest.mark.parametrize(
    ("relative", "field", "url", "params", "found"),
    [
        (f"agent:{IDENTITY}", "declared", "agents", {"identity": IDENTITY}, OTHER),
        (f"breaker:{IDENTITY}", "breaker", "breakers", {"identity": IDENTITY}, OTHER),
        ("budget:a", "definition", "budgets", {"name": "a"}, "b"),
    ],
)
@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_one_of_a_list_hides_no_other(
    *,
    ask: Ask,
    redis: Any,
    tenant: str,
    everything: str,
    relative: str,
    field: str,
    url: str,
    params: dict[str, str],
    found: str,
    written: bytes,
) -> None:
    """Asked for alone it is told as damaged; the list and the metrics go without it."""
    assert everything
    key = full_key(tenant, relative)
    assert redis.hexists(key, field), redis.hgetall(key)
    redis.hset(key, field, written)

    refused(ask("GET", f"/v1/{url}/one", query_string=params), relative)
    listed = ask("GET", f"/v1/{url}")
    assert listed.status_code == 200, listed.text
    (shown,) = (each for each in listed.json[url])
    assert found in shown.values()


def test_metrics_tell_of_the_others(redis: Any, store: Store, tenant: str, everything: str) -> None:
    """Of all that is in the store, one of each can't be understood."""
    assert everything
    for relative, field in (
        (f"agent:{IDENTITY}", "declared"),
        (f"breaker:{IDENTITY}", "breaker"),
        ("budget:a", "definition"),
    ):
        redis.hset(full_key(tenant, relative), field, WRITTEN["words"])

    told = dict(Standing(store, [tenant]).numbers())

    assert (M.AGENT_INFO, tenant, OTHER, "market") in told
    assert (M.BREAKER_STATE, tenant, OTHER, "open") in told
    assert (M.BUDGET_LIMIT, tenant, "b", "tokens") in told
    assert not [series for series in told if IDENTITY in series or "a" in series]


def test_nothing_is_written_where_a_counter_is_no_number(store: Store, redis: Any, tenant: str) -> None:
    """Also where nobody had read it before; and it is told."""
    redis.hset(full_key(tenant, "thing:2"), "x", "many")
    adds = {Address("thing:1", "x"): 1, Address("thing:2", "x"): 1}
    made = Changes(puts={Address("thing:1", "document"): "{}"}, increments=adds)

    with pytest.raises(StoreDamaged, match="'thing:1' or 'thing:2' holds what"):
        store.decide(tenant, lambda _: (None, made))

    assert not redis.exists(full_key(tenant, "thing:1"))
    assert redis.hget(full_key(tenant, "thing:2"), "x") == "many"

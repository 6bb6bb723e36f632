"""Shared state over HTTP: who may write what, versions, numbers, sizes, and how long it lives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble.contract.endpoints import GET_STATE
from ensemble.contract.state import Increment, StateParams, StatePut
from sidecar.state.service import State
from sidecar.store.connection import Client, connect

type Ask = Callable[..., Any]
URL = "/v1/traces/trace-1/state"


@pytest.mark.parametrize("key", ["a", "a/b", "/a//b/", "市 场", "a%2Fb?c#d", "{x}", "a" * 256, "ttl_ms"])
def test_a_value_is_read_back_under_any_key(ask: Ask, key: str) -> None:
    """Slashes, spaces and letters of any script belong to the key."""
    at = StateParams(trace_id="trace-1", namespace="Market 1.x", key=key)

    assert ask("PUT", GET_STATE.url(at), {"writer": "Market 1.x", "value": {"x": None}}).json == {
        "key": key,
        "version": 1,
    }
    assert ask("GET", GET_STATE.url(at)).json == {"key": key, "value": {"x": None}, "version": 1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=json_values)
def test_every_json_value_comes_back_as_it_was(redis: Client, tenant: str, value: Any) -> None:
    """Every digit, every letter, every null."""
    at = StateParams(trace_id="trace-1", namespace="a", key="k")
    state = State(redis)
    state.put(tenant, at, StatePut(writer="a", value=value))
    kept = state.get(tenant, at).value

    assert repr(value) == repr(kept)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_a_number_json_has_no_word_for_is_refused(ask: Ask, text: str) -> None:
    """It would come back as null."""
    said = ask("PUT", f"{URL}/a/k", f'{{"writer":"a","value":[{text}]}}')

    assert (said.status_code, said.json["errors"][0]["field"]) == (422, "value")
    assert ask("GET", f"{URL}/a/k").status_code == 404


def test_an_agent_writes_only_its_own_namespace_and_all_read_it(ask: Ask) -> None:
    """The refusal names the namespace and where to write instead."""
    ask("PUT", f"{URL}/market/k", {"writer": "market", "value": 1})
    refused = [
        ask("PUT", f"{URL}/market/k", {"writer": "tech", "value": 2}),
        ask("POST", f"{URL}/market/k", {"writer": "tech"}),
        ask("DELETE", f"{URL}/market/k", {"writer": "tech"}),
    ]

    assert [403, 403, 403] == [said.status_code for said in refused]
    assert all("'market'" in said.json["detail"] and "'tech'" in said.json["errors"][0]["fix"] for said in refused)
    assert ask("GET", f"{URL}/market/k").json["value"] == 1


def test_shared_takes_only_what_can_not_overwrite_others(ask: Ask) -> None:
    """Increment, or put and delete with the version that was read."""
    plain = ask("PUT", f"{URL}/shared/k", {"writer": "shared", "value": 1})
    assert (plain.status_code, plain.json["errors"][0]["field"]) == (403, "expected_version")
    assert ask("DELETE", f"{URL}/shared/k", {"writer": "a"}).status_code == 403

    assert ask("PUT", f"{URL}/shared/k", {"writer": "a", "value": 5, "expected_version": 0}).json["version"] == 1
    assert ask("POST", f"{URL}/shared/k", {"writer": "b", "by": 2}).json == {"key": "k", "value": 7, "version": 2}
    assert ask("DELETE", f"{URL}/shared/k", {"writer": "c", "expected_version": 1}).status_code == 409
    assert ask("DELETE", f"{URL}/shared/k", {"writer": "c", "expected_version": 2}).json == {"deleted": True}


def test_a_put_with_an_old_version_changes_nothing(ask: Ask) -> None:
    """The answer names the version that stands."""
    for value in (1, 2):
        ask("PUT", f"{URL}/a/k", {"writer": "a", "value": value})
    said = ask("PUT", f"{URL}/a/k", {"writer": "a", "value": 3, "expected_version": 1})

    assert said.status_code == 409
    assert "its version is 2" in said.json["detail"]
    assert ask("PUT", f"{URL}/a/new", {"writer": "a", "value": 3, "expected_version": 4}).status_code == 409
    assert ask("GET", f"{URL}/a/k").json["value"] == 2


def test_a_version_never_comes_back_after_a_delete(ask: Ask) -> None:
    """Who read before the delete can't overwrite what was written after it."""
    ask("PUT", f"{URL}/a/k", {"writer": "a", "value": "old"})
    ask("DELETE", f"{URL}/a/k", {"writer": "a"})

    assert ask("PUT", f"{URL}/a/k", {"writer": "a", "value": "new"}).json["version"] == 2
    assert ask("PUT", f"{URL}/a/k", {"writer": "a", "value": "x", "expected_version": 1}).status_code == 409


@pytest.mark.parametrize("value", ["5", 1.5, True, None, [1], {"a": 1}, 2**53 + 1, -(2**60), 10**400])
def test_only_a_whole_number_of_at_most_2_to_the_53_can_be_added_to(ask: Ask, value: Any) -> None:
    """Everything else stays as it is, and the answer says so."""
    ask("PUT", f"{URL}/a/k", {"writer": "a", "value": value})
    said = ask("POST", f"{URL}/a/k", {"writer": "a"})

    assert said.status_code == 409
    assert "whole number" in said.json["detail"]
    assert ask("GET", f"{URL}/a/k").json == {"key": "k", "value": value, "version": 1}


def test_numbers_are_exact_up_to_2_to_the_53_and_no_sum_passes_it(ask: Ask) -> None:
    """No digit is ever rounded away."""
    ask("PUT", f"{URL}/a/k", {"writer": "a", "value": 2**53 - 2})
    answers = [ask("POST", f"{URL}/a/k", {"writer": "a", "by": by}) for by in (1, 1, 1, -(2**53), -(2**53), -1)]

    assert [200, 200, 409, 200, 200, 409] == [said.status_code for said in answers]
    assert [2**53 - 1, 2**53, 0, -(2**53)] == [said.json["value"] for said in answers if said.status_code == 200]
    assert ask("POST", f"{URL}/a/k", {"writer": "a", "by": 2**53 + 1}).status_code == 422


def test_eight_threads_lose_no_increment(valkey: Any, tenant: str) -> None:
    """Each adds 100 times; the number and the version tell all of them."""
    state = State(connect(valkey.url))
    at = StateParams(trace_id="trace-1", namespace="shared", key="n")
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(100):
            state.increment(tenant, at, Increment(writer="a", by=3))

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work) for _ in range(8)]:
            future.result()

    entry = state.get(tenant, at)
    assert (2400, 800) == (entry.value, entry.version)


def test_a_list_is_sorted_and_says_when_it_was_cut(ask: Ask) -> None:
    """By prefix and by limit."""
    for key in ("b/2", "a", "b/10", "é"):
        ask("PUT", f"{URL}/a/{key}", {"writer": "a", "value": key})

    def keys(query: str) -> tuple[list[str], bool]:
        said = ask("GET", f"{URL}/a{query}").json
        return [entry["key"] for entry in said["entries"]], said["truncated"]

    assert keys("") == (["a", "b/10", "b/2", "é"], False)
    assert keys("?prefix=b/") == (["b/10", "b/2"], False)
    assert keys("?limit=2") == (["a", "b/10"], True)
    assert keys("?prefix=z") == ([], False)


def test_a_namespace_lives_as_long_as_its_longest_writer_asked_since_its_last_use(
    ask: Ask, redis: Any, tenant: str
) -> None:
    """Reading is using; a shorter wish takes nothing away."""
    key = f"ens:{{{tenant}}}:state:trace-1:a"
    ask("PUT", f"{URL}/a/k", {"writer": "a", "value": 1, "ttl_s": 500})
    ask("POST", f"{URL}/a/n", {"writer": "a", "ttl_s": 100})
    assert 499_000 < redis.pttl(key) <= 500_000

    for use in (("GET", f"{URL}/a/k"), ("GET", f"{URL}/a"), ("DELETE", f"{URL}/a/x", {"writer": "a"})):
        redis.pexpire(key, 5000)
        ask(*use)
        assert redis.pttl(key) > 499_000, use


def test_what_is_too_large_is_refused_naming_the_size(ask: Ask, app: Any) -> None:
    """A value beyond 1 MiB, and a namespace beyond its number of values."""
    app.config["MAX_CONTENT_LENGTH"] = 2**22
    said = ask("PUT", f"{URL}/a/k", {"writer": "a", "value": "x" * 2**20})
    assert (said.status_code, said.json["errors"][0]["field"]) == (413, "value")
    assert str(2**20 + 2) in said.json["detail"]
    assert ask("PUT", f"{URL}/a/k", {"writer": "a", "value": "x" * (2**20 - 2)}).status_code == 200


def test_a_full_namespace_takes_no_new_key_but_new_values(ask: Ask, redis: Any, tenant: str) -> None:
    """10,000 values are its limit."""
    ask("PUT", f"{URL}/a/k", {"writer": "a", "value": 1})
    redis.hset(f"ens:{{{tenant}}}:state:trace-1:a", mapping={f"k{number}": "1\n1" for number in range(9999)})

    assert ask("PUT", f"{URL}/a/new", {"writer": "a", "value": 1}).status_code == 413
    assert ask("POST", f"{URL}/a/new", {"writer": "a"}).status_code == 413
    assert ask("POST", f"{URL}/a/k", {"writer": "a"}).json["value"] == 2

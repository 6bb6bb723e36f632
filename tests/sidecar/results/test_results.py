"""Results too long for a variable: stored whole, for a day, for their tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ensemble.contract.whole import MAX_WHOLE_BYTES, WHOLE_TTL_S, WholeParams, WholePut
from sidecar.errors import NotFound, TooLarge
from sidecar.results.service import Results
from sidecar.store.connection import Client
from sidecar.store.keys import full_key

REF = "0123456789abcdef" * 2
URL = f"/v1/results/{REF}"


def test_what_was_stored_comes_back_whole(ask: Callable[..., Any]) -> None:
    """Whatever JSON it is; storing again replaces it."""
    value = {"results": [{"text": "x" * 50_000, "n": None}]}

    stored = ask("PUT", URL, {"value": value})
    ask("PUT", URL, {"value": value})

    assert (stored.status_code, stored.json["ttl_s"]) == (200, WHOLE_TTL_S)
    assert ask("GET", URL).json == {"ref": REF, "value": value}


def test_it_is_kept_for_a_day_and_no_longer(ask: Callable[..., Any], redis: Any, tenant: str) -> None:
    """The store forgets it by itself."""
    ask("PUT", URL, {"value": 1})

    assert WHOLE_TTL_S - 60 < redis.ttl(full_key(tenant, f"result:{REF}")) <= WHOLE_TTL_S


def test_nobody_else_sees_it(ask: Callable[..., Any], redis: Client) -> None:
    """Each tenant has its own; the answer says how long they are kept."""
    ask("PUT", URL, {"value": 1})

    missing = ask("GET", URL, other=True)

    assert missing.status_code == 404
    assert "24 hours" in missing.json["detail"]


def test_one_that_is_too_long_is_refused_and_nothing_is_written(redis: Client, tenant: str) -> None:
    """With the limit in words; one of that length is taken."""
    results, params = Results(redis), WholeParams(ref=REF)

    with pytest.raises(TooLarge, match=str(MAX_WHOLE_BYTES)):
        results.put(tenant, params, WholePut(value="x" * (MAX_WHOLE_BYTES - 1)))
    with pytest.raises(NotFound):
        results.get(tenant, params)
    assert results.put(tenant, params, WholePut(value="x" * (MAX_WHOLE_BYTES - 2))).size_bytes == MAX_WHOLE_BYTES


def test_a_reference_is_32_hex_digits(ask: Callable[..., Any]) -> None:
    """Nothing else reaches the store."""
    assert ask("GET", "/v1/results/../../x").status_code in {404, 422}
    assert ask("PUT", "/v1/results/nothex", {"value": 1}).status_code == 422

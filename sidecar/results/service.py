"""Stores results whole, each for a day. One value a key, written by one command: there is nothing to decide."""

from __future__ import annotations

from pydantic_core import from_json, to_json

from ensemble.contract.problems import Fault
from ensemble.contract.whole import MAX_WHOLE_BYTES, WHOLE_TTL_S, WholeParams, WholePut, WholeResult, WholeStored
from sidecar.errors import NotFound, TooLarge
from sidecar.store.connection import Client
from sidecar.store.faults import store_errors
from sidecar.store.keys import full_key

__all__ = ["Results"]


class Results:
    """The stored results of all tenants."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis

    def put(self, tenant: str, params: WholeParams, ask: WholePut) -> WholeStored:
        """Store a value under its reference. Raises TooLarge."""
        text = to_json(ask.value, inf_nan_mode="null")
        if len(text) > MAX_WHOLE_BYTES:
            raise TooLarge(
                f"A result may take {MAX_WHOLE_BYTES} bytes as JSON, and this takes {len(text)}.",
                Fault(field="value", problem="too large", fix="Keep it as a file."),
            )
        with store_errors():
            self._redis.set(_key(tenant, params), text.decode(), nx=False, px=WHOLE_TTL_S * 1000)
        return WholeStored(ref=params.ref, size_bytes=len(text), ttl_s=WHOLE_TTL_S)

    def get(self, tenant: str, params: WholeParams) -> WholeResult:
        """Return what is stored under the reference. Raises NotFound."""
        key = _key(tenant, params)
        with store_errors(self._redis, [key]):
            text = self._redis.get(key)
        if text is None:
            detail = f"No result is stored as {params.ref}; they are kept for {WHOLE_TTL_S // 3600} hours."
            fix = "Check the reference, or store the result again."
            raise NotFound(detail, Fault(field="ref", problem="not on record", fix=fix))
        return WholeResult(ref=params.ref, value=from_json(text))


def _key(tenant: str, params: WholeParams) -> str:
    return full_key(tenant, f"result:{params.ref}")

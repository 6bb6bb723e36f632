"""Which answer is kept under which key: who was asked, with what, for whom."""

from __future__ import annotations

from pydantic_core import to_json

from ensemble.agents.port import Call
from ensemble.contract.caching import MAX_CACHED_BYTES, CacheOrder
from ensemble.contract.results import StepResult
from ensemble.plan.fallbacks import Cache
from ensemble.plan.fingerprint import digest

__all__ = ["answer_key", "cache_order"]


def answer_key(call: Call, identity: str) -> str:
    """Return 64 hex digits, the same for the same question to the same agent for the same end user.

    The run's inputs count whether the app uses them or not; only its own declarations could tell, and they change.
    """
    return digest(
        {
            "identity": identity,
            "user": call.user,
            "query": call.query,
            "asked": call.asked,
            "inputs": call.inputs,
            "fixed": call.fixed_inputs,
            "run": call.run_inputs,
            "files": list(call.files),
            "outputs": call.outputs,
        }
    )


def cache_order(key: str, cache: Cache, result: StepResult) -> tuple[CacheOrder | None, str]:
    """Return the order to keep *result*, or None and why it is not kept."""
    if len(to_json(result)) > MAX_CACHED_BYTES:
        return None, f"its answer is too long to be kept in the cache, which takes {MAX_CACHED_BYTES // 1024} KiB."
    return CacheOrder(key=key, keep_ms=round(cache.kept_s * 1000)), ""

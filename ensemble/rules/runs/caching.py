"""Answers kept for the day their agent fails: which are, since when, and what is found under a key."""

from __future__ import annotations

from pydantic_core import to_json

from ensemble.contract.caching import MAX_CACHED_BYTES, CacheParams, CacheView
from ensemble.contract.exchange import Settlement
from ensemble.contract.outcomes import Source, StepStatus
from ensemble.rules.addresses import cached_at
from ensemble.rules.records import Attempt, Cached
from ensemble.rules.snapshot import Address, Draft, Snapshot

__all__ = ["cache_view", "cache_wants", "keep"]


def keep(draft: Draft, attempt: Attempt, news: Settlement) -> None:
    """Keep the result that *news* brought, if it was asked for and the result is the agent's own.

    An answer is as old as the call that brought it, however late the ledger hears of that call; one whose call began
    behind the ledger's back has no age, and is not kept. A newer one is never replaced by an older one.
    """
    order, result = news.cache, news.result
    if order is None or result is None or attempt.late:
        return
    if result.status is not StepStatus.SUCCEEDED or result.source is not Source.AGENT:
        return
    since_ms = min(draft.now_ms, attempt.admitted_ms + news.took_ms)
    left_ms = since_ms + order.keep_ms - draft.now_ms
    at = cached_at(order.key)
    before = _read(draft.text(at), draft.now_ms)
    if left_ms <= 0 or (before is not None and before.since_ms >= since_ms) or len(to_json(result)) > MAX_CACHED_BYTES:
        return
    draft.put(at, Cached(since_ms=since_ms, until_ms=since_ms + order.keep_ms, result=result).model_dump_json())
    draft.expire(at.key, left_ms)


def cache_wants(params: CacheParams) -> tuple[Address, ...]:
    """Return what :func:`cache_view` reads."""
    return (cached_at(params.key),)


def cache_view(params: CacheParams, snapshot: Snapshot) -> CacheView:
    """Return what is kept under a key. Raises NotRead."""
    found = _read(snapshot.text(cached_at(params.key)), snapshot.now_ms)
    if found is None:
        return CacheView(key=params.key)
    return CacheView(key=params.key, result=found.result, age_ms=max(0, snapshot.now_ms - found.since_ms))


def _read(text: str | None, now_ms: int) -> Cached | None:
    """Return what *text* keeps; a store forgets in its own time, and what is over is over."""
    found = None if text is None else Cached.model_validate_json(text)
    return None if found is None or found.until_ms <= now_ms else found

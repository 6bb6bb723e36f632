"""What the store's errors mean: it is away, it takes no writes, or a key of ours holds what we never put there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis.exceptions import ClusterError, OutOfMemoryError, ReadOnlyError, RedisClusterException, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ensemble.contract.problems import Fault
from sidecar.errors import StoreDamaged, StoreUnavailable
from sidecar.store.connection import Client
from sidecar.store.keys import kind_of, relative_key

__all__ = ["left_out", "store_errors"]

_AWAY = frozenset({"CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "BUSY", "LOADING"})
"""How Redis begins an error that passes by itself or by its operator's hand, and is no fault in a script."""
_REFUSED = {
    "OOM": "The store's memory is full, so nothing can be written. Give it more: ENSEMBLE_STORE_MEMORY, or maxmemory in a Redis of your own.",
    "READONLY": "The store is a replica, which can't be written to. Give the sidecar the primary's URL.",
    "MISCONF": "The store could not save to its disk and takes no writes until it can. Its log says why.",
    "NOREPLICAS": "The store takes no writes with so few replicas in step. Mend them, or lower min-replicas-to-write.",
}
"""How it begins an error about a write it does not take, and what its operator has to do."""
_STRIPPED: dict[type[Exception], str] = {OutOfMemoryError: "OOM", ReadOnlyError: "READONLY"}
"""Errors whose beginning redis-py has cut off."""
_WRAPPED = re.compile(r"@user_script: ?\d+: -?")
"""What Redis 6.2 writes before an error that a script met."""
_KINDS = {"string": "a string", "hash": "a hash", "zset": "a sorted set", "list": "a list", "set": "a set"}
_LONGEST_FIELD = 200

log = logging.getLogger("sidecar.store")


@contextmanager
def store_errors(redis: Client | None = None, keys: Sequence[str] = ()) -> Iterator[None]:
    """Turn what the store says into what a caller is told; faults of ours pass through.

    Where one of *keys* holds another type than ours, *redis* is asked which.

    Raises:
        StoreUnavailable: It is away, or takes no writes.
        StoreDamaged: A key of ours holds another type than ours.

    """
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, RedisClusterException, ClusterError) as error:
        raise _unavailable(error) from error  # some errors of a Cluster are ResponseErrors, too
    except ResponseError as error:
        begins = _beginning(error)
        if begins == "WRONGTYPE":
            raise _damaged(redis, keys) from error
        if begins in _REFUSED:
            raise StoreUnavailable(_REFUSED[begins]) from error
        if begins not in _AWAY:
            raise
        raise _unavailable(error) from error


@contextmanager
def left_out(tenant: str, what: str) -> Iterator[None]:
    """Go on without *what* is listed or counted within, where its record can't be understood; the log tells of it.

    A newer sidecar may have written it, or nobody of ours. It must not hide all others.
    """
    try:
        yield
    except ValueError:
        log.exception("%s can't be understood; lists do without it.", what, extra={"tenant": tenant})


def _beginning(error: ResponseError) -> str:
    """Return the word by which Redis tells one kind of error from another."""
    said = _WRAPPED.split(str(error))[-1]
    return _STRIPPED.get(type(error)) or said.partition(" ")[0]


def _unavailable(error: Exception) -> StoreUnavailable:
    kind = type(error).__name__.removesuffix("Error")
    return StoreUnavailable(f"The store does not answer ({kind}); ask again shortly.")


def _damaged(redis: Client | None, keys: Sequence[str]) -> StoreDamaged:
    """Say which of *keys* hold what. Raises StoreUnavailable."""
    with store_errors():
        found = {key: redis.type(key) for key in keys} if redis is not None else {}
    wrong = {key: kind for key, kind in found.items() if kind not in ("none", kind_of(key))}
    log.error(
        "Something else than the sidecar wrote to its store: %s. Rename or delete what stands there.",
        ", ".join(f"{key} is {_words(kind)}, not {_words(kind_of(key))}" for key, kind in wrong.items()) or "a key",
    )
    fix = "Rename or delete it in the store, and let nothing else write there."
    faults = tuple(
        Fault(
            field=relative_key(key)[:_LONGEST_FIELD],
            problem=f"holds {_words(kind)} in the store, where the sidecar keeps {_words(kind_of(key))}",
            fix=fix,
        )
        for key, kind in wrong.items()
    )
    named = ", ".join(f"{fault.field!r} {fault.problem}" for fault in faults)
    said = f"The key {named}." if named else "A key in the store holds another type than the sidecar keeps there."
    return StoreDamaged(f"{said} {fix}", *faults)


def _words(kind: str) -> str:
    return _KINDS.get(kind, f"a {kind}")

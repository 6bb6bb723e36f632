"""What kind of server the store is: its version, whether it forgets, when it writes to disk."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

from redis.exceptions import ResponseError

from sidecar.errors import StartError, StoreUnavailable
from sidecar.settings import Durability
from sidecar.store.connection import Client
from sidecar.store.faults import store_errors
from sidecar.store.store import Store

__all__ = ["ServerFacts", "check_server", "server_facts", "use_everything"]

OLDEST = (6, 2)
HIDDEN = "(hidden)"
"""Managed servers often forbid CONFIG; what it would tell is not known then."""

log = logging.getLogger("sidecar.store")


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says about itself."""

    name: str
    """Such as ``valkey 9.1.2``."""
    speaks: tuple[int, ...]
    """The version of Redis whose commands it knows."""
    eviction: str
    durability: str
    """The append-only file's policy: everysec, always, no, or off; empty where it is hidden."""


def server_facts(redis: Client) -> ServerFacts:
    """Ask the server about itself. Raises StoreUnavailable."""
    with store_errors():
        info = redis.info("server")
        eviction = _config(redis, "maxmemory-policy")
        append_only = _config(redis, "appendonly")
        policy = _config(redis, "appendfsync")
    version = str(info.get("valkey_version") or info["redis_version"])
    durability = {HIDDEN: "", "yes": policy}.get(append_only, "off")
    return ServerFacts(
        name=f"{'valkey' if 'valkey_version' in info else 'redis'} {version}",
        speaks=tuple(int(part) for part in str(info["redis_version"]).split(".") if part.isdigit()),
        eviction=eviction,
        durability="" if durability == HIDDEN else durability,
    )


def check_server(facts: ServerFacts, durability: Durability) -> None:
    """Refuse a server that would lose what it is told.

    Raises:
        StartError: It is too old, it evicts, or it does not write to disk as strictly as asked.

    """
    if facts.speaks < OLDEST:
        raise StartError(f"The store is {facts.name}; Redis 6.2 or Valkey 7.2 is the oldest that will do.")
    if facts.eviction == HIDDEN:
        log.warning("The store hides its configuration: make sure that its maxmemory-policy is noeviction.")
    elif facts.eviction != "noeviction":
        raise StartError(
            f"The store would throw away runs when memory runs short (maxmemory-policy {facts.eviction}). "
            "Set maxmemory-policy noeviction there, or give the sidecar a Redis of its own."
        )
    if durability is Durability.STRICT and facts.durability != "always":
        said = facts.durability or "hidden"
        raise StartError(
            f"ENSEMBLE_DURABILITY is strict, but the store's append-only file is {said}. "
            "Set appendonly yes and appendfsync always there, or ENSEMBLE_DURABILITY=everysec."
        )
    if facts.durability in ("off", "no"):
        log.warning(
            "The store writes to disk at its leisure: a crash there loses runs. Set appendonly yes, appendfsync everysec."
        )


def use_everything(redis: Client) -> None:
    """Do once what requests do: run a script, and write, though nothing. A store that takes no writes just now may pass.

    Raises:
        NoPermissionError: The user we are there may not.
        StoreUnavailable: It does not answer.

    """
    Store(redis).look("probe", lambda snapshot: snapshot.now_ms)
    with suppress(StoreUnavailable), store_errors():
        redis.write_nothing()


def _config(redis: Client, name: str) -> str:
    try:
        return str(redis.config_get(name).get(name, HIDDEN))
    except ResponseError:
        return HIDDEN

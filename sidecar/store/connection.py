"""The connection to Redis: how long it waits, and what it never repeats."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Protocol, cast

from hiredis import pack_command
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from sidecar.store.cluster import Cluster
from sidecar.store.keys import PROBE
from sidecar.store.targets import read_target

__all__ = ["Client", "connect"]


class Client(Protocol):
    """The commands used of redis-py, answered in text; what a client for Sentinel or Cluster has to offer as well."""

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str | int) -> Any:
        """Run a script the server knows."""

    def eval(self, script: str, numkeys: int, *keys_and_args: str | int) -> Any:
        """Run a script and let the server keep it."""

    def hget(self, name: str, key: str) -> str | None:
        """Return one field of a hash."""

    def blpop(self, keys: str, timeout: float) -> Any:
        """Take the first item of a list, and wait for one, *timeout* seconds at most."""

    def hkeys(self, name: str) -> list[str]:
        """Return the fields of a hash."""

    def zrevrange(self, name: str, start: int, end: int) -> list[str]:
        """Return members of a sorted set, the highest scores first."""

    def zrevrangebyscore(
        self,
        name: str,
        max: str | int,  # noqa: A002 -- redis-py's name
        min: str | int,  # noqa: A002 -- redis-py's name
        start: int | None = None,
        num: int | None = None,
        *,
        withscores: bool = False,
    ) -> Any:
        """Return members of a sorted set by their scores, the highest first."""

    def zrangebyscore(
        self,
        name: str,
        min: str | int,  # noqa: A002 -- redis-py's name
        max: str | int,  # noqa: A002 -- redis-py's name
        start: int | None = None,
        num: int | None = None,
    ) -> Any:
        """Return members of a sorted set by their scores, the lowest first."""

    def zrange(self, name: str, start: int, end: int) -> list[str]:
        """Return members of a sorted set, the lowest scores first."""

    def zcard(self, name: str) -> int:
        """Return how many members a sorted set has."""

    def zrem(self, name: str, *members: str) -> int:
        """Take members out of a sorted set."""

    def zremrangebyscore(self, name: str, min: str | int, max: str | int) -> int:  # noqa: A002 -- redis-py's names
        """Take members out of a sorted set by their scores."""

    def exists(self, *names: str) -> int:
        """Return how many of these keys there are."""

    def set(self, name: str, value: str, *, nx: bool, px: int | None = None) -> Any:
        """Set a key for some milliseconds; with *nx* only if there is none."""

    def get(self, name: str) -> str | None:
        """Return the text of a key."""

    def time(self) -> tuple[int, int]:
        """Return the server's clock: seconds and microseconds."""

    def type(self, name: str) -> str:
        """Return the type of a key, ``none`` where there is no such key."""

    def ping(self) -> bool:
        """Answer."""

    def write_nothing(self) -> None:
        """Raise what the server says to a write, and write nothing."""

    def info(self, section: str) -> dict[str, Any]:
        """Say what the server is."""

    def config_get(self, pattern: str) -> dict[str, str]:
        """Say how the server is set."""

    def shutdown(self) -> None:
        """End the server."""

    def close(self) -> None:
        """Close the connections."""


class _Lent:
    """A connection that a thread has of a pool, and gives back by its end."""

    def __init__(self, pool: Any) -> None:
        self.connection = pool.get_connection()
        self.used_s = 0.0
        self._pool = pool
        self._pid = os.getpid()

    @property
    def ours(self) -> bool:
        """Whether it is this process's, and not what a fork has left of another's."""
        return self._pid == os.getpid()

    def __del__(self) -> None:
        """Give it back: what a thread keeps for itself goes when the thread does."""
        if hasattr(self, "_pid") and self.ours:
            self._pool.release(self.connection)


class _Own(threading.local):
    """A thread's own connection."""

    lent: _Lent | None = None


class _Redis(Redis):
    """A client that runs scripts on a connection of each thread's own.

    redis-py's pool, its retries, its measurements and its second look at every argument cost a quarter of the trip. What
    it knows of connections that break, time out or have to be made anew stays in use.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._own = _Own()

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Run a script the server knows."""
        connection = self._connection()
        connection.send_packed_command((pack_command(("EVALSHA", sha, numkeys, *keys_and_args)),))
        return connection.read_response()  # one that broke, or timed out, has been closed then; sending connects again

    def write_nothing(self) -> None:
        """Raise what the server says to a write, and write nothing.

        The server judges whether it takes a command before it looks whether the command has anything to do.
        """
        self.set(PROBE, "", xx=True, px=1)

    def _connection(self) -> Any:
        """Return this thread's connection; one that has been idle is looked at first, as the pool would."""
        lent, now_s = self._own.lent, time.monotonic()
        if lent is None or not lent.ours:
            lent = self._own.lent = _Lent(self.connection_pool)
        elif now_s - lent.used_s > TRUSTED_S:
            _reconnect_unless_silent(lent.connection)
        lent.used_s = now_s
        return lent.connection


def _reconnect_unless_silent(connection: Any) -> None:
    """Close a connection the server has closed, or has said something on unasked; it is made anew when it is used."""
    try:
        silent = not connection.can_read()
    except (RedisError, OSError):
        silent = False
    if not silent:
        connection.disconnect()


TRUSTED_S = 0.05
"""How long after its last use a connection is taken to be open without a look."""
CONNECT_TIMEOUT_S = 0.5
ANSWER_TIMEOUT_S = 1.0
"""Both together end before a caller of ours gives up on us (2 s)."""
MOST_CONNECTIONS = 1024
"""Of one process; it has 256 threads at most, each with a connection of its own and at times another one."""


def connect(url: str) -> Client:
    """Return a client for *url*, which connects when it is first used.

    It never sends a command twice: redis-py's own retries would apply a script again whose answer was lost.

    Raises:
        BadTargetError: *url* names no store.

    """
    target = read_target(url)
    patience: dict[str, Any] = {
        "decode_responses": True,
        "encoding_errors": "replace",  # what is no text was not written by us: the reader of the record says so
        "protocol": 2,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": MOST_CONNECTIONS,
    }
    if target.kind == "one":
        return cast(Client, _Redis.from_url(url, **patience))
    known = {"username": target.username, "password": target.password, "ssl": target.tls}
    if target.kind == "cluster":
        return cast(Client, Cluster(target.hosts, {**known, **patience}))
    sentinels = Sentinel(  # type: ignore[no-untyped-call] # redis-py's
        target.hosts,
        sentinel_kwargs={"password": target.sentinel_password, "ssl": target.tls, **patience},
        db=target.database,
        **known,
        **patience,
    )
    return cast(Client, sentinels.master_for(target.service, redis_class=_Redis))  # type: ignore[no-untyped-call] # redis-py's

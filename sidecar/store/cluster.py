"""A Cluster as a client: it looks for the nodes when it is first used, and all of them are asked how they are set."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from redis.cluster import ClusterNode, RedisCluster

from sidecar.store.keys import PROBE

__all__ = ["Cluster"]

MOST_PROBES = 1000
"""Keys looked at for one of each primary; one that has no slots has none."""


class Cluster:
    """A client for a Cluster; the commands are those of :class:`redis.cluster.RedisCluster`."""

    def __init__(self, hosts: Iterable[tuple[str, int]], options: Mapping[str, Any]) -> None:
        """Begin with the nodes at *hosts*, connected to by *options*, once something is asked."""
        self._hosts = tuple(hosts)
        self._options = dict(options)
        self._lock = threading.Lock()
        self._client: RedisCluster | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found(), name)

    def config_get(self, pattern: str) -> dict[str, str]:
        """Say how the primaries are set; where they differ, all there is, one after another."""
        told: dict[str, dict[str, None]] = {}
        for answer in self._of_each("config_get", pattern):
            for name, value in answer.items():
                told.setdefault(name, {})[str(value)] = None
        return {name: ", ".join(values) for name, values in told.items()}

    def info(self, section: str) -> dict[str, Any]:
        """Say what the primaries are: what the oldest of them says."""
        return min(self._of_each("info", section), key=lambda told: _version(told.get("redis_version", "")))

    def ping(self) -> bool:
        """Answer, if every primary does."""
        return all(self._of_each("ping"))

    def write_nothing(self) -> None:
        """Raise what a primary says to a write, and write nothing: each is asked about a key of its own."""
        client = self._found()
        unasked = {node.name for node in client.get_primaries()}  # type: ignore[no-untyped-call] # redis-py's
        for key in (f"{PROBE}:{number}" for number in range(MOST_PROBES)):
            node = client.get_node_from_key(key)  # type: ignore[no-untyped-call] # redis-py's
            if node is None or node.name in unasked:
                client.set(key, "", xx=True, px=1)  # raises where nobody has the key
                unasked.discard(node.name if node else "")
            if not unasked:
                return

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _of_each(self, command: str, *arguments: str) -> list[Any]:
        client = self._found()
        return [getattr(client.get_redis_connection(node), command)(*arguments) for node in client.get_primaries()]  # type: ignore[no-untyped-call] # redis-py's

    def _found(self) -> RedisCluster:
        with self._lock:
            if self._client is None:
                nodes = [ClusterNode(host, port) for host, port in self._hosts]  # type: ignore[no-untyped-call] # redis-py's
                self._client = RedisCluster(startup_nodes=nodes, **self._options)
            return self._client


def _version(written: str) -> tuple[int, ...]:
    return tuple(int(part) for part in str(written).split(".") if part.isdigit())

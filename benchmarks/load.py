"""A light load on a server of this machine: so many clients, each sending its next request once it has its answer.

One thread and one epoll loop over raw sockets: whatever the client takes of the two cores is missing to the server, so
it takes little, and the same for every route.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Measured", "load"]

SILENCE_S = 10.0
"""When nobody has answered for this long, the server is broken."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a load."""

    seconds: float
    latencies_s: list[float]
    """Of every answer."""

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Return the latency that *share* of the answers did not pass, milliseconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


@dataclass(slots=True)
class _Client:
    sock: socket.socket
    bodies: Iterator[bytes]
    sent_s: float = 0.0
    came: bytearray = field(default_factory=bytearray)


def load(
    address: tuple[str, int], path: str, headers: Mapping[str, str], clients: list[Iterator[bytes]], seconds: float
) -> Measured:
    """Post each client's bodies to *path* for *seconds*.

    Raises:
        RuntimeError: an answer was not 200, or none came.

    """
    lines = [f"POST {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", "Content-Type: application/json"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "Content-Length: "]).encode()
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        begun = time.perf_counter()
        for bodies in clients:
            client = _Client(socket.create_connection(address), bodies)
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(client.sock, selectors.EVENT_READ, client)
            _send(client, head)
        while (now := time.perf_counter()) < begun + seconds:
            ready = selector.select(SILENCE_S)
            if not ready:
                raise RuntimeError(f"{path} did not answer for {SILENCE_S:g} s")
            for key, _ in ready:
                client = key.data
                if _answered(client, path):
                    latencies.append(time.perf_counter() - client.sent_s)
                    _send(client, head)
        for key in list(selector.get_map().values()):
            key.data.sock.close()
    return Measured(now - begun, latencies)


def _send(client: _Client, head: bytes) -> None:
    body = next(client.bodies)
    client.sent_s = time.perf_counter()
    client.sock.sendall(b"%s%d\r\n\r\n%s" % (head, len(body), body))


def _answered(client: _Client, path: str) -> bool:
    """Take in what came; whether the answer is whole now."""
    client.came += client.sock.recv(65536)
    head, end, body = client.came.partition(b"\r\n\r\n")
    if client.came and not client.came.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{path} answered {bytes(client.came[:400])!r}")
    if not end:
        return False
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    if len(body) < length:
        return False
    client.came.clear()
    return True

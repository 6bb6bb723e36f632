"""The way through a proxy to a server that is spoken to over TLS."""

from __future__ import annotations

import socket

from ensemble.http1.asking import Origin
from ensemble.http1.failures import Failed, Why
from ensemble.http1.framing import Incoming
from ensemble.http1.lines import Line
from ensemble.http1.passage import WRONG_LOGIN, Proxy
from ensemble.http1.streams import Plain

__all__ = ["dig"]

_LEADS_THERE = range(200, 300)


def dig(sock: socket.socket, proxy: Proxy, origin: Origin, line: Line) -> None:
    """Let *proxy*, at the other end of *sock*, connect it with *origin*.

    Raises:
        Failed: it does not, or is no proxy.
        TimeoutError: not in time.

    """
    stream = Plain(sock)
    incoming = Incoming(lambda: stream.receive(line))
    try:
        stream.send(_request(proxy, origin), line)
        head = incoming.head()
    except TimeoutError:
        raise
    except (OSError, Failed) as error:
        raise Failed(Why.NO_PROXY) from error
    if head.status == WRONG_LOGIN:
        raise Failed(Why.PROXY_LOGIN)
    if head.status not in _LEADS_THERE:
        raise Failed(Why.PROXY_REFUSED, head.status)
    if not incoming.empty:  # A server says nothing before it is spoken to: this is the proxy's, or somebody's trick.
        raise Failed(Why.NO_PROXY)


def _request(proxy: Proxy, origin: Origin) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
    lines += [f"{name}: {value}" for name, value in proxy.fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")

"""HTTP connections to Dify: kept while fresh, bounded in time and size, ended from outside at once.

One :class:`Connections` serves a whole process. A request is never repeated and never redirected; who asked decides
about both. A call's deadline bounds everything: connecting, sending, and every single read, headers included, so that
a server which sends a byte a second can't stretch it.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import urllib3
from urllib3 import exceptions as http_errors

from ensemble.agents.port import CallScope
from ensemble.agents.sockets import CURRENT, POOLS, Line

__all__ = ["MAX_BODY_BYTES", "Connections", "Exchange", "NoAnswer"]

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The longest body that is read whole, unpacked."""
CONNECT_TIMEOUT_S = 5.0
_READ_BYTES = 64 * 1024
_PER_HOST = 64
"""Connections kept per host; more may be open at a time."""


class NoAnswer(Exception):  # noqa: N818 - what the caller learns, not a fault of ours
    """No whole answer came; the message tells why and holds no key."""

    def __init__(self, words: str, *, sent: bool, too_large: bool = False) -> None:
        """Take what happened in *words*, and whether the request had been *sent* in full."""
        super().__init__(words)
        self.sent = sent
        self.too_large = too_large


class Exchange:
    """An answer whose body is being read."""

    def __init__(self, response: urllib3.BaseHTTPResponse, line: Line, host: str) -> None:
        """Wrap what came; made by :meth:`Connections.send` only."""
        self._response = response
        self._line = line
        self._host = host
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers

    def read(self) -> bytes:
        """Return what came next, unpacked, at most 64 KiB; nothing once the body is whole.

        Raises:
            NoAnswer: the connection broke, the deadline passed, or the call was cancelled.

        """
        with _translated(self._host, self._line):
            return self._response.read1(_READ_BYTES) or b""

    def read_all(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """Return the whole body.

        Raises:
            NoAnswer: as :meth:`read`; also if the body is longer than *limit* bytes.

        """
        body = bytearray()
        while chunk := self.read():
            body += chunk
            if len(body) > limit:
                words = f"{self._host} sent an answer of more than {limit // 2**20} MiB, more than is read."
                raise NoAnswer(words, sent=True, too_large=True)
        return bytes(body)

    def wait_at_most(self, seconds: float) -> None:
        """Bring the deadline forward: reads fail once *seconds* have passed."""
        self._line.deadline = min(self._line.deadline, time.monotonic() + seconds)


class Connections:
    """A process's connections, by host. Proxy and CA bundle are settings; the environment is not looked at."""

    def __init__(self, *, ca_bundle: str | None = None, proxy_url: str | None = None) -> None:
        """Trust the system's certificates, or those in the file *ca_bundle*; go through *proxy_url* if there is one.

        Raises:
            OSError: *ca_bundle* can't be read, or holds no certificates.

        """
        settings: dict[str, Any] = {
            "num_pools": 64,
            "maxsize": _PER_HOST,
            "block": False,
            "retries": False,
            "ssl_context": ssl.create_default_context(cafile=ca_bundle),
        }
        self._manager = urllib3.ProxyManager(proxy_url, **settings) if proxy_url else urllib3.PoolManager(**settings)
        self._manager.pool_classes_by_scheme = POOLS

    @contextmanager
    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, scope: CallScope
    ) -> Iterator[Exchange]:
        """Send a request and give the answer as soon as its headers are there.

        A body that is not read to its end on leaving takes its connection with it.

        Raises:
            NoAnswer: no answer came within ``scope.left_s()``, or the call was cancelled.

        """
        host = urllib3.util.parse_url(url).netloc or url
        line = Line(scope)
        scope.on_cancel(line.cut)
        token = CURRENT.set(line)
        response: urllib3.BaseHTTPResponse | None = None
        try:
            with _translated(host, line):
                response = self._manager.urlopen(
                    method,
                    url,
                    body=body,
                    headers={"User-Agent": "ensemble", **headers},
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    timeout=_timeout(line, host),
                )
            yield Exchange(response, line, host)
        finally:
            line.release()
            CURRENT.reset(token)
            if response is not None:
                response.close()

    def close(self) -> None:
        """Close every connection that lies idle."""
        self._manager.clear()


def _timeout(line: Line, host: str) -> urllib3.Timeout:
    left = line.left_s()
    if left <= 0:
        raise NoAnswer(f"No time was left to call {host}.", sent=False)
    return urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, left), read=left)


@contextmanager
def _translated(host: str, line: Line) -> Iterator[None]:
    """Turn whatever the network and its libraries raise into words."""
    try:
        yield
    except (http_errors.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise NoAnswer(_words(error, host), sent=line.sent) from error


_WORDS: tuple[tuple[type[Exception], Callable[[str], str]], ...] = (
    (http_errors.NameResolutionError, lambda host: f"The name {host} is not known. Check the base URL."),
    (http_errors.NewConnectionError, lambda host: f"{host} accepts no connections. Check the base URL and the server."),
    (http_errors.ConnectTimeoutError, lambda host: f"{host} did not accept a connection in time."),
    (http_errors.ProxyError, lambda host: f"The proxy did not connect us to {host}. Check the proxy setting."),
    (http_errors.ReadTimeoutError, lambda host: f"{host} did not answer in time."),
    (TimeoutError, lambda host: f"{host} did not answer in time."),
    (
        http_errors.SSLError,
        lambda host: f"{host} could not prove who it is (TLS). Check http or https, or set the CA bundle.",
    ),
    (http_errors.DecodeError, lambda host: f"{host} sent a body that can't be unpacked."),
    (http_errors.ProtocolError, lambda host: f"{host} closed the connection without a whole answer."),
)


def _words(error: Exception, host: str) -> str:
    return next((say(host) for kind, say in _WORDS if isinstance(error, kind)), f"{host}: the connection broke.")

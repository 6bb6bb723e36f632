"""TLS through a proxy: to the server's own end, and every way in which the proxy does not lead there."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import pytest

from ensemble.http1.asking import locate
from ensemble.http1.connection import connect
from ensemble.http1.failures import Failed, Why
from ensemble.http1.idle import Idle
from ensemble.http1.lines import Deadline
from ensemble.http1.passage import Passage, read_proxy
from ensemble.http1.trust import certificates_in
from tests.ensemble.http1.cutting import ask, crowded, silent
from tests.ensemble.http1.proxying import LED, proxying
from tests.ensemble.http1.serving import FINE, certificates, saying, secured, serving
from tests.ensemble.http1.test_connection import again_and_again

URL = "https://dify.example/v1"
ORIGIN, _ = locate(URL)


def soon(seconds: float = 30) -> Deadline:
    """A deadline of its own."""
    return Deadline(time.monotonic() + seconds)


def through(url: str, *, trusting: bool = True) -> Passage:
    """Return the way through the proxy at *url*."""
    return Passage(certificates_in(certificates()) if trusting else b"", read_proxy(url))


def refused(passage: Passage, line: Deadline | None = None, within_s: float = 30) -> Failed:
    """Return how connecting fails."""
    with pytest.raises(Failed) as failed:
        connect(ORIGIN, line or soon(), within_s, passage)
    return failed.value


def test_the_server_at_the_other_end_is_spoken_to_over_tls() -> None:
    """Its name is looked up by the proxy, which sees nothing of what is said; the connection is used again."""
    with (
        serving(secured(again_and_again, "dify.example")) as server,
        proxying(server) as proxy,
        closing(connect(ORIGIN, soon(), 30, through(proxy.url))) as made,
        closing(Idle(10)) as idle,
    ):
        for _ in range(3):
            assert ask(made, URL, soon()) == b"fine"
            idle.give(made)
            assert idle.take(ORIGIN) is made

        assert proxy.asked == ["CONNECT dify.example:443 HTTP/1.1"]
        assert "Authorization" not in proxy.heads[0]


def test_the_login_is_for_the_proxy_alone() -> None:
    """It stands in what the proxy is asked, and in nothing the server sees."""
    seen: list[bytes] = []

    def play(client: socket.socket) -> None:
        seen.append(client.recv(65536))
        client.sendall(FINE)

    with serving(secured(play, "dify.example")) as server, proxying(server) as proxy:
        passage = through(proxy.url.replace("http://", "http://user:pass@"))
        with closing(connect(ORIGIN, soon(), 30, passage)) as made:
            assert ask(made, URL, soon()) == b"fine"

        assert "\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n" in proxy.heads[0]
        assert b"Proxy-Authorization" not in seen[0]


@pytest.mark.parametrize(("name", "trusting"), [("dify.example", False), ("other.example", True)])
def test_a_server_that_can_t_prove_who_it_is_is_told_nothing(name: str, *, trusting: bool) -> None:
    """A proxy that leads elsewhere gains nothing."""
    with serving(secured(saying(FINE), name)) as server, proxying(server) as proxy:
        assert refused(through(proxy.url, trusting=trusting)).why is Why.NO_TLS


@pytest.mark.parametrize(
    ("answer", "why", "status"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", Why.PROXY_LOGIN, 0),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno!", Why.PROXY_REFUSED, 502),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", Why.PROXY_REFUSED, 403),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n", Why.PROXY_REFUSED, 302),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Why.NO_PROXY, 0),
        (LED + b"\x16\x03\x03", Why.NO_PROXY, 0),
        (b"HTTP/1.1 200 " + b"x" * 100_000, Why.NO_PROXY, 0),
    ],
)
def test_a_proxy_that_does_not_lead_there_is_said_to_be_that(answer: bytes, why: Why, status: int) -> None:
    """Each in a way of its own, and what it says is not taken for the server's word."""
    with proxying("http://127.0.0.1:1", answer=answer) as proxy:
        failed = refused(through(proxy.url))

    assert (failed.why, failed.status) == (why, status)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nobody.invalid:3128"])
def test_a_proxy_that_is_not_there_is_not_the_servers_fault(url: str) -> None:
    """Nothing is known of the server."""
    assert refused(through(url)).why is Why.NO_PROXY


def test_one_that_closes_without_a_word_is_none() -> None:
    """It took the connection and the request."""
    with serving(saying(b"")) as url:
        assert refused(through(url.removesuffix("/v1"))).why is Why.NO_PROXY


def test_one_that_falls_silent_is_given_up_in_time() -> None:
    """After as long as a connection may take, or at the deadline; so is one that accepts nobody."""
    with serving(silent()) as silence, crowded() as full:
        for url, why in ((silence, Why.NOT_IN_TIME), (full, Why.NO_PROXY)):
            for seconds, within_s in ((30.0, 0.2), (0.2, 5.0)):
                began = time.monotonic()
                assert refused(through(url.removesuffix("/v1")), soon(seconds), within_s).why is why
                assert time.monotonic() - began < 2


def test_whoever_waits_for_the_proxy_is_cut_off_at_once() -> None:
    """As everywhere else."""
    with serving(silent()) as url:
        line = soon()
        timer = threading.Timer(0.2, line.cut)
        timer.start()
        began = time.monotonic()
        refused(through(url.removesuffix("/v1")), line)
        timer.join()

    assert time.monotonic() - began < 2

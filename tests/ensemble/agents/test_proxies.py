"""The connections to a Dify behind a proxy or an authority of one's own, and what is said where they do not come about."""

from __future__ import annotations

import socket

import pytest

from ensemble.agents.connections import Connections, NoAnswer
from ensemble.agents.discovery import Discovery
from ensemble.agents.port import Call, CallScope
from ensemble.agents.service_api import ServiceApiAgent
from ensemble.contract.outcomes import Outcome
from ensemble.http1.passage import Passage, read_proxy
from ensemble.http1.trust import certificates_in
from tests.ensemble.agents.calling import KEY
from tests.ensemble.agents.test_connections import ask
from tests.ensemble.http1.proxying import proxying
from tests.ensemble.http1.serving import FINE, certificates, https, saying, secured, serving
from tests.ensemble.http1.test_connection import again_and_again

FAR = "http://dify.example/v1/info"
NO_LOGIN = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"


def through(url: str) -> Connections:
    """Return connections through the proxy at *url*, that trust the tests' authority."""
    return Connections(
        Passage(certificates_in(certificates()), read_proxy(url.replace("http://", "http://user:s3cret@")))
    )


def refused(connections: Connections, url: str) -> NoAnswer:
    """Return why there is no answer; it shows no password."""
    with pytest.raises(NoAnswer) as failed:
        ask(connections, url)
    assert "s3cret" not in str(failed.value)
    return failed.value


def test_an_authority_of_ones_own_is_trusted_besides_the_systems() -> None:
    """By those whose setting says so, and by nobody else in the process."""
    with serving(secured(again_and_again)) as url:
        own = Connections(Passage(certificates_in(certificates())))
        assert ask(own, https(url)) == b"fine"
        assert "among the CA certificates" in str(refused(Connections(), https(url)))


def test_over_http_the_proxy_is_asked_for_the_whole_address() -> None:
    """With the login; the server gets path and query as without a proxy. The connection is kept."""
    seen: list[bytes] = []

    def play(client: socket.socket) -> None:
        while asked := client.recv(65536):
            seen.append(asked)
            client.sendall(FINE)

    with serving(play) as server, proxying(server) as proxy:
        connections = through(proxy.url)
        for _ in range(2):
            assert ask(connections, f"{FAR}?a=b") == b"fine"
        connections.close()

        assert proxy.asked == ["POST http://dify.example/v1/info?a=b HTTP/1.1"]
        assert "\r\nHost: dify.example\r\n" in proxy.heads[0]
        assert "\r\nProxy-Authorization: Basic dXNlcjpzM2NyZXQ=\r\n" in proxy.heads[0]
        assert seen[0].startswith(b"POST /v1/info?a=b HTTP/1.1\r\n")
    assert len(seen) == 2


def test_over_https_the_proxy_only_leads_there() -> None:
    """The key in the request is for the server alone."""
    with serving(secured(again_and_again, "dify.example")) as server, proxying(server) as proxy:
        connections = through(proxy.url)
        for _ in range(2):
            assert ask(connections, https(FAR), Authorization="Bearer app-secret") == b"fine"
        connections.close()

        assert proxy.asked == ["CONNECT dify.example:443 HTTP/1.1"]
        assert "app-secret" not in proxy.heads[0]


def test_what_is_near_is_reached_without_the_proxy() -> None:
    """Such as the Dify in the same compose file."""
    with serving(saying(FINE)) as url:
        assert ask(through("http://127.0.0.1:1"), url) == b"fine"


@pytest.mark.parametrize("url", [FAR, https(FAR)], ids=["http", "https"])
def test_a_proxy_that_wants_another_login_is_said_to_be_that(url: str) -> None:
    """Nothing has reached the server, so the request counts as not sent."""
    with serving(saying(NO_LOGIN)) as proxy:
        failed = refused(through(proxy.removesuffix("/v1")), url)

    assert "wants a user name and a password, or others (HTTP 407)" in str(failed)
    assert not failed.sent


@pytest.mark.parametrize("url", [FAR, https(FAR)], ids=["http", "https"])
def test_an_agent_behind_a_proxy_that_wants_another_login_is_misconfigured(url: str) -> None:
    """Nobody tries it again, and no breaker counts it, until somebody has changed the proxy's URL."""
    with serving(saying(NO_LOGIN)) as proxy:
        connections = through(proxy.removesuffix("/v1"))
        agent = ServiceApiAgent(
            label="market", base_url=url.removesuffix("/info"), key=KEY, connections=connections, discovery=Discovery()
        )
        reply = agent.call(Call(query="the task"), CallScope(5))

    assert (reply.outcome, reply.retry_allowed, reply.sent) == (Outcome.MISCONFIGURED, False, False)
    assert "into Proxy URL" in reply.message
    assert "s3cret" not in reply.message


def test_a_proxy_that_does_not_lead_there_is_said_to_be_that() -> None:
    """Both are named."""
    with serving(saying(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")) as proxy:
        failed = refused(through(proxy.removesuffix("/v1")), https(FAR))

    assert "does not lead to dify.example (HTTP 502)" in str(failed)
    assert proxy.split("/")[2] in str(failed)
    assert not failed.sent


def test_over_http_a_502_is_an_answer() -> None:
    """Nobody can tell a proxy's from a server's own; it is judged like every other."""
    answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno"
    with (
        serving(saying(answer)) as proxy,
        through(proxy.removesuffix("/v1")).send("POST", FAR, {}, b"{}", CallScope(5)) as exchange,
    ):
        assert (exchange.status, exchange.read_all()) == (502, b"no")


@pytest.mark.parametrize("url", [FAR, https(FAR)], ids=["http", "https"])
def test_a_proxy_that_is_not_there_is_named(url: str) -> None:
    """Rather than the server, of which nothing is known."""
    failed = refused(through("http://127.0.0.1:1"), url)

    assert str(failed) == "The proxy 127.0.0.1:1 can't be reached, or is no HTTP proxy. Check the proxy's URL."
    assert not failed.sent

"""A Dify and a sidecar behind an authority of one's own, and a Dify behind a proxy, as credentials tell of them."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from ensemble.contract.about import CONTRACT_VERSION, About
from ensemble.http1.passage import DIRECT, Passage, read_proxy
from ensemble.http1.trust import certificates_in
from plugin.adapters.pools import Pools
from plugin.app_keys import AppKey
from plugin.checking import problems
from plugin.credentials import Credentials, Sidecar, read_credentials
from plugin.doctor.findings import Severity
from plugin.doctor.network import judge_network
from tests.ensemble.http1.proxying import proxying
from tests.ensemble.http1.serving import certificates, https, secured, serving

KEY = "app-" + "K" * 24


def dify_and_sidecar(client: socket.socket) -> None:
    """Answer one request after another as a Dify, or as a sidecar."""
    while asked := client.recv(65536):
        info = {"name": "An app", "description": "", "tags": [], "mode": "workflow", "author_name": "me"}
        about = About(version="0.1.0", contract=CONTRACT_VERSION).model_dump()
        body = json.dumps(about if b" /v1/about " in asked else info).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)


def saved(dify: str, sidecar: str = "", **more: str) -> dict[str, Any]:
    """Return credentials for one app."""
    token = {"sidecar_url": sidecar.removesuffix("/v1"), "sidecar_token": "t"} if sidecar else {}
    return {"app_keys": f"one = {KEY} @ {dify}", **token, **more}


def test_with_its_authoritys_certificates_everything_is_saved() -> None:
    """Pasted into a form of one line. Without them each is named, with what to do."""
    with serving(secured(dify_and_sidecar)) as url:
        works = problems(saved(https(url), https(url), ca_certificates=certificates().replace("\n", "")), Pools())
        untrusted = problems(saved(https(url), https(url)), Pools())

    assert works == []
    sidecar, app = sorted(untrusted, reverse=True)
    assert "nor among the CA certificates given" in sidecar
    assert app.startswith("App 'one': ")
    assert "has to be among the CA certificates" in app


def test_one_workspaces_trust_is_not_anothers() -> None:
    """One process serves them all; nor is a sidecar away for those who trust it because others do not."""
    pools = Pools()
    with serving(secured(dify_and_sidecar)) as url:
        trusting = saved(https(url), https(url), ca_certificates=certificates())
        for _ in range(2):
            assert problems(trusting, pools) == []
            assert len(problems(saved(https(url), https(url)), pools)) == 2
    one = Sidecar(url="https://s.example", token="t")
    other = Sidecar(url="https://s.example", token="t", certificates=certificates_in(certificates()))
    assert pools.absence(one) is pools.absence(one)
    assert pools.absence(one) is not pools.absence(other)


def test_connections_are_kept_by_the_way_they_go() -> None:
    """One set for each pair of certificates and proxy, however often it is read."""
    pools = Pools()

    def way(**raw: str) -> Passage:
        return read_credentials(raw).passage

    proxy, trust = {"proxy_url": "http://u:p@proxy.example:3128"}, {"ca_certificates": certificates()}
    sets = [pools.connections(way(**each)) for each in ({}, proxy, trust, {**proxy, **trust})]
    assert len(set(map(id, sets))) == 4
    assert [pools.connections(way(**each)) for each in ({}, proxy, trust, {**proxy, **trust})] == sets
    assert pools.connections(way(proxy_url="http://u:q@proxy.example:3128")) not in sets
    assert pools.connections(DIRECT) is sets[0]


def test_saving_goes_through_the_proxy_too() -> None:
    """To a Dify whose name only the proxy knows, by its own certificate."""
    with serving(secured(dify_and_sidecar, "dify.example")) as server, proxying(server) as proxy:
        raw = saved("https://dify.example/v1", ca_certificates=certificates(), proxy_url=proxy.url)
        assert problems(raw, Pools()) == []
        assert proxy.asked == ["CONNECT dify.example:443 HTTP/1.1"]


def test_a_proxy_that_is_away_is_what_saving_names() -> None:
    """And neither its password nor the key."""
    (said,) = problems(saved("https://dify.example/v1", proxy_url="http://user:s3cret@127.0.0.1:1"), Pools())

    assert "The proxy 127.0.0.1:1 can't be reached" in said
    assert "s3cret" not in said
    assert "KKKK" not in said


@pytest.mark.parametrize(
    ("addresses", "severity", "words"),
    [
        (["https://dify.example/v1", "http://api:5001/v1"], Severity.OK, "go calls to: a0; directly: a1."),
        (["https://dify.example/v1"], Severity.OK, "go calls to: a0; directly: nobody."),
        (["http://api:5001/v1"], Severity.NOTE, "Nobody is reached through the proxy proxy.example:3128"),
        ([], Severity.OK, "go calls to: nobody"),
    ],
)
def test_the_doctor_tells_who_is_reached_how(addresses: list[str], severity: Severity, words: str) -> None:
    """The login is not told."""
    passage = Passage(b"", read_proxy("http://user:s3cret@proxy.example:3128"))
    apps = tuple(AppKey(name=f"a{n}", key=KEY, base_url=each, passage=passage) for n, each in enumerate(addresses))

    (finding,) = judge_network(Credentials(sidecar=None, app_keys=apps, passage=passage))

    assert finding.severity is severity
    assert words in finding.finding
    assert "s3cret" not in f"{finding.finding} {finding.fix}"


def test_the_doctor_tells_of_certificates_and_of_nothing_where_nothing_is_set() -> None:
    """Most have neither."""
    own = Credentials(sidecar=None, passage=Passage(certificates_in(certificates())))

    assert ["CA certificates" in each.finding for each in judge_network(own)] == [True]
    assert judge_network(Credentials(sidecar=None)) == []

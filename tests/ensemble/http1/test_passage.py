"""The way to servers: a proxy's address as it is written, who is near, and what a request through a proxy asks for."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.http1.asking import locate
from ensemble.http1.failures import Failed
from ensemble.http1.passage import DIRECT, Passage, ProxyUrlError, read_proxy


def basic(login: str) -> str:
    """Return how a login is sent."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


@pytest.mark.parametrize(
    ("url", "host", "port", "login"),
    [
        ("http://proxy.example:3128", "proxy.example", 3128, ""),
        (" HTTP://Proxy.Example/ ", "proxy.example", 80, ""),
        ("http://[2001:db8::1]:8080", "2001:db8::1", 8080, ""),
        ("http://user:pass@proxy:3128", "proxy", 3128, basic("user:pass")),
        ("http://user@proxy:3128", "proxy", 3128, basic("user:")),
        ("http://u%40firm:p%2Fa%3Ass@proxy:3128", "proxy", 3128, basic("u@firm:p/a:ss")),
        ("http://user:p@ss:w@proxy:3128", "proxy", 3128, basic("user:p@ss:w")),
        ("http://ü:ö@proxy:3128", "proxy", 3128, basic("ü:ö")),
    ],
)
def test_an_address_is_read(url: str, host: str, port: int, login: str) -> None:
    """With the login in it, which nothing shows."""
    proxy = read_proxy(url)

    assert proxy is not None
    assert (proxy.origin.tls, proxy.origin.host, proxy.origin.port, proxy.login) == (False, host, port, login)
    assert not login or login not in repr(Passage(proxy=proxy))


def test_no_address_is_no_proxy() -> None:
    """The field may stay empty."""
    assert read_proxy("") is read_proxy("  ") is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("proxy.example:3128", "does not begin with http://"),
        ("https://proxy.example", "does not begin with http://"),
        ("socks5://u:secret@proxy.example", "does not begin with http://"),
        ("http://", "is not an address"),
        ("http://u:secret@", "is not an address"),
        ("http://proxy.example:99999", "is not an address"),
        ("http://proxy.example:3128/secret", "is not an address"),
        ("http://u:secret@pro xy:1", "is not an address"),
        ("http://u:secret@proxy\r\n:1", "is not an address"),
    ],
)
def test_what_is_none_is_told_without_being_quoted(url: str, words: str) -> None:
    """A password may stand in it."""
    with pytest.raises(ProxyUrlError) as refused:
        read_proxy(url)

    assert str(refused.value) == words


@given(st.text(alphabet="http:/@%ab\r\n\x00 é?#[]1", max_size=30).map("http://".__add__))
def test_no_login_ends_the_line_it_stands_in(url: str) -> None:
    """Whatever is written."""
    try:
        proxy = read_proxy(url)
    except ProxyUrlError:
        return
    assert proxy is None or (proxy.login.isprintable() and proxy.login.isascii())


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("https://dify.example/v1", True),
        ("http://dify.example/v1", True),
        ("http://10.0.0.7/v1", True),
        ("http://[2001:db8::1]/v1", True),
        ("http://api:5001/v1", False),
        ("https://localhost/v1", False),
        ("http://127.0.0.1:5001/v1", False),
        ("http://127.9.9.9/v1", False),
        ("http://[::1]/v1", False),
    ],
)
def test_who_is_near_is_reached_directly(url: str, *, through: bool) -> None:
    """Names without a dot are of the network the plugin is in, which no proxy outside of it knows."""
    passage = Passage(proxy=read_proxy("http://u:p@proxy.example:3128"))
    origin, path = locate(url)

    assert (passage.proxy_to(origin) is not None) is through
    assert DIRECT.proxy_to(origin) is None
    whole = f"http://{origin.authority}{path}"
    target, fields = passage.asked(origin, path, {"A": "b"})
    read_by_the_proxy = through and not origin.tls
    assert target == (whole if read_by_the_proxy else path)
    assert fields == ({"A": "b", "Proxy-Authorization": basic("u:p")} if read_by_the_proxy else {"A": "b"})


def test_only_a_proxy_asks_for_a_login() -> None:
    """What a server itself answers is its own business."""
    origin, _ = locate("http://dify.example")
    passage = Passage(proxy=read_proxy("http://proxy.example:3128"))

    DIRECT.heed(origin, 407)
    passage.heed(locate("http://api:5001")[0], 407)
    passage.heed(locate("https://dify.example")[0], 407)
    passage.heed(origin, 502)
    with pytest.raises(Failed, match="proxy_login"):
        passage.heed(origin, 407)

"""Where a URL leads, and what can't be smuggled into a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.http1.asking import Origin, locate, request_head
from ensemble.http1.failures import Failed, Why

HERE = Origin(tls=False, host="dify.test", port=80)


@pytest.mark.parametrize(
    ("url", "origin", "authority", "path"),
    [
        ("http://dify.test", HERE, "dify.test", "/"),
        ("HTTP://Dify.Test:80/v1/x?y=1#z", HERE, "dify.test", "/v1/x?y=1"),
        ("http://dify.test?y", HERE, "dify.test", "/?y"),
        ("http://dify.test:/v1", HERE, "dify.test", "/v1"),
        ("https://dify.test/v1", Origin(tls=True, host="dify.test", port=443), "dify.test", "/v1"),
        ("https://dify.test:80/v1", Origin(tls=True, host="dify.test", port=80), "dify.test:80", "/v1"),
        ("http://ann:secret@dify.test/v1", HERE, "dify.test", "/v1"),
        ("http://dify.test@evil.test/v1", Origin(tls=False, host="evil.test", port=80), "evil.test", "/v1"),
        ("http://[::1]:5001/v1", Origin(tls=False, host="::1", port=5001), "[::1]:5001", "/v1"),
        ("https://[2001:DB8::1]/v1", Origin(tls=True, host="2001:db8::1", port=443), "[2001:db8::1]", "/v1"),
        ("http://bücher.test/v1", Origin(tls=False, host="xn--bcher-kva.test", port=80), "xn--bcher-kva.test", "/v1"),
        ("http://dify.test/a b/ü?%20", HERE, "dify.test", "/a%20b/%C3%BC?%20"),
    ],
)
def test_a_url_is_taken_apart(url: str, origin: Origin, authority: str, path: str) -> None:
    """IPv6 addresses have brackets in the Host field, users and passwords no place in it."""
    assert (origin, path) == locate(url)
    assert authority == origin.authority


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dify.test/v1",
        "ftp://dify.test/v1",
        "http:///v1",
        "http://ann@/v1",
        "http://dify.test:99999/v1",
        "http://dify.test:0/v1",
        "http://dify.test:http/v1",
        "http://dify.test:80:80/v1",
        "http://::1/v1",
        "http://[::1/v1",
        "http://[::1]x/v1",
        "http://di fy.test/v1",
        "http://evil.test\\@dify.test/v1",
        "http://dify.test/v1\r\nHost: evil.test",
        "http://dify.test\r\n/v1",
        "http://dify.test/\n",
        "http://dify.test/\0",
    ],
)
def test_what_is_no_url_leads_nowhere(url: str) -> None:
    """Above all one that would end the line it stands in."""
    with pytest.raises(Failed) as failed:
        locate(url)

    assert failed.value.why is Why.UNSENDABLE


def test_a_name_that_can_t_be_one_is_unknown() -> None:
    """A label may take 63 characters."""
    with pytest.raises(Failed) as failed:
        locate(f"http://{'ü' * 70}.test/v1")

    assert failed.value.why is Why.UNKNOWN_NAME


@pytest.mark.parametrize(
    ("method", "length", "told"),
    [("POST", 2, b"Content-Length: 2\r\n"), ("POST", None, b"Content-Length: 0\r\n"), ("GET", None, b"")],
)
def test_a_head_names_the_server_and_the_length_of_the_body(method: str, length: int | None, told: bytes) -> None:
    """Nothing is said of a body where none is expected."""
    head = request_head(method, HERE, "/v1", {"X": "y, ü\tz"}, length)

    assert (
        head
        == (
            f"{method} /v1 HTTP/1.1\r\nHost: dify.test\r\nAccept-Encoding: identity\r\nUser-Agent: ensemble\r\n"
            "X: y, ü\tz\r\n"
        ).encode("latin-1")
        + told
        + b"\r\n"
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"A": "b\r\nC: d"},
        {"A": "b\n"},
        {"A": "\r"},
        {"A": "b\0"},
        {"A": "1 €"},
        {"A\r\nB": "c"},
        {"A:": "b"},
        {"A B": "c"},
        {"": "b"},
    ],
)
def test_no_field_ends_the_line_it_stands_in(fields: dict[str, str]) -> None:
    """It is refused before anything is sent, and the refusal does not repeat it."""
    with pytest.raises(Failed) as failed:
        request_head("GET", HERE, "/", fields, None)

    assert (Why.UNSENDABLE, "unsendable") == (failed.value.why, str(failed.value))


@given(st.text(), st.text(), st.text())
def test_whatever_is_given_a_head_is_one_head(path: str, name: str, value: str) -> None:
    """As many lines as there are fields, or none at all."""
    try:
        origin, asked = locate(f"http://dify.test/{path}")
        head = request_head("GET", origin, asked, {name: value}, None)
    except Failed:
        return

    assert len(head.splitlines()) >= 1
    assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n") == 6
    assert head.split(b"\r\n")[0].count(b" ") == 2

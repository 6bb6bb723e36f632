"""One app has one identity, however its address is typed; a wrong address says how to write it."""

from __future__ import annotations

import hashlib

import pytest

from ensemble.agents.identity import BaseUrlError, api_identity, app_identity, normalise_base_url, origin_of

KEY = "app-abcdefghijklmnopqrstuvwx"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://Dify.Example.com/v1", "https://dify.example.com/v1"),
        (" https://dify.example.com:443/v1/ ", "https://dify.example.com/v1"),
        ("http://dify:80/v1", "http://dify/v1"),
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001/v1"),
        ("https://dify.example.com/", "https://dify.example.com/v1"),
        ("https://x.test//dify/v1//", "https://x.test/dify/v1"),
        ("http://[::1]:5001/v1", "http://[::1]:5001/v1"),
        ("http://169.253.1.2/v1", "http://169.253.1.2/v1"),
        ("http://10.0.0.1/v1", "http://10.0.0.1/v1"),
        ("http://[fd00::1]/v1", "http://[fd00::1]/v1"),
        ("HTTPS://api.dify.ai/v1", "https://api.dify.ai/v1"),
    ],
)
def test_a_base_url_has_one_spelling(typed: str, meant: str) -> None:
    assert meant == normalise_base_url(typed)
    assert meant == normalise_base_url(meant)
    assert api_identity(meant, KEY) == api_identity(typed, KEY)


@pytest.mark.parametrize(
    ("typed", "fix"),
    [
        ("dify.example.com/v1", "begin with http:// or https://"),
        ("ftp://dify/v1", "begin with http:// or https://"),
        ("", "begin with http:// or https://"),
        ("https:///v1", "names no host"),
        ("https://a b/v1", "names no host"),
        ("https://dify/v1/chat-messages", "ends in /v1"),
        ("https://cloud.dify.ai/app/123/workflow", "API Access"),
        ("https://me:secret@dify/v1", "Leave them out"),
        ("https://dify/v1?x=1", "nothing after it"),
        ("https://dify/v1#top", "nothing after it"),
        ("https://dify:99999/v1", "can't be read"),
        ("https://[::1/v1", "can't be read"),
        ("https://dify/ v1", "space"),
        ("http://169.254.169.254/latest/v1", "link-local address"),
        ("http://169.254.1.2:5001/v1", "link-local address"),
        ("http://[fe80::1]/v1", "link-local address"),
        ("http://[fe80::1%251]/v1", "link-local address"),
        ("http://[::ffff:169.254.169.254]/v1", "link-local address"),
    ],
)
def test_a_wrong_base_url_names_the_fix_and_no_secret(typed: str, fix: str) -> None:
    with pytest.raises(BaseUrlError) as caught:
        normalise_base_url(typed)

    assert fix in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_identity_shows_the_hash_of_the_key_only() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()

    assert f"api:https://dify.test/v1#{digest[:16]}" == api_identity("https://dify.test", KEY)
    assert api_identity("https://dify.test", "app-another") != api_identity("https://dify.test", KEY)


def test_an_app_of_the_workspace_is_known_by_its_id() -> None:
    assert app_identity(" 0BA1-x ") == "app:0ba1-x"


def test_calls_share_connections_by_scheme_host_and_port() -> None:
    assert origin_of("https://dify.test:8443/v1") == "https://dify.test:8443"

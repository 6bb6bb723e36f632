"""Signing in and out: who gets a session, who is refused, and when it ends."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from flask import Flask

from sidecar.app import create_app
from sidecar.console.session import FORM_COOKIE, SESSION_COOKIE, SESSION_S, Sessions
from sidecar.console.signing import CONSOLE_KEY
from sidecar.edge.auth import Tenants
from sidecar.settings import Settings
from sidecar.store.connection import Client
from sidecar.store.keys import full_key
from tests.sidecar.console.browsing import TOKENS, Visitor
from tests.sidecar.console.test_signing import NOW_MS, StoppedKeys

RUN = "0" * 32
PAGES = (
    "",
    f"runs/{RUN}",
    f"runs/{RUN}/messages",
    "agents",
    "agent?identity=a",
    "breakers",
    "breaker?identity=a",
    "budgets",
    "traces/trace-1",
)


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_signing_in(visitor: Visitor, page: str) -> None:
    """Each leads to the form, which leads back."""
    answer = visitor.get(page)

    assert answer.status_code == 303
    assert re.fullmatch(r"(\./|(\.\./)+)sign-in(\?next=.*)?", answer.headers["Location"])
    assert RUN not in answer.text


def test_whoever_signs_in_is_led_to_the_page_they_wanted(visitor: Visitor) -> None:
    """With its question mark and what follows."""
    led = visitor.get("?status=failed&trace_id=a%2Fb")
    form = visitor.client.get(f"/console/{led.headers['Location'].removeprefix('./')}", base_url="https://localhost")
    (wanted,) = re.findall(r'name="next" value="([^"]+)"', form.text)
    answer = visitor.sign_in(next=wanted.replace("&amp;", "&"))

    assert answer.headers["Location"] == "./?status=failed&trace_id=a%2Fb"
    assert visitor.get("agents").status_code == 200


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "http:evil.example/agents",
        "javascript:alert(1)",
        "../../v1/about",
        "a//b",
        "\n",
    ],
)
def test_nobody_is_led_elsewhere(visitor: Visitor, wanted: str) -> None:
    """Only to pages of the console."""
    answer = visitor.sign_in(next=wanted)

    assert answer.status_code == 303
    assert answer.headers["Location"] in ("./", f"./{wanted}")
    assert "evil" not in answer.headers["Location"]
    assert "v1" not in answer.headers["Location"]


def test_the_cookie_is_the_browsers_alone(visitor: Visitor) -> None:
    """No script reads it, no other site sends it, no plain HTTP carries it where the public URL is https."""
    answer = visitor.sign_in()

    (cookie,) = (each for each in answer.headers.getlist("Set-Cookie") if each.startswith(SESSION_COOKIE))
    assert {"HttpOnly", "SameSite=Strict", "Secure", f"Max-Age={SESSION_S}"} <= {
        part.strip() for part in cookie.split(";")
    }
    assert "Path" not in cookie
    assert not any(token in cookie for token in TOKENS)


def test_without_https_the_cookie_goes_without_it(redis: Client, tenant: str) -> None:
    """Else nobody could sign in on a machine of one's own."""
    app = create_app(Settings.from_environment({}), redis, {TOKENS[0]: tenant})
    answer = Visitor(app.test_client()).sign_in()

    assert answer.status_code == 303
    assert "Secure" not in "".join(answer.headers.getlist("Set-Cookie"))


@pytest.mark.parametrize("token", ["", "x", "token-of-the-tenan", "token-of-the-tenant2", "é" * 20, "a" * 600])
def test_a_wrong_token_is_refused_and_told(visitor: Visitor, caplog: pytest.LogCaptureFixture, token: str) -> None:
    """As the API tells it, and never with the token."""
    with caplog.at_level(logging.WARNING, "sidecar.requests"):
        answer = visitor.sign_in(token)

    assert answer.status_code == 401
    assert "is not one of this sidecar" in answer.text
    assert visitor.cookie(SESSION_COOKIE) == ""
    assert ["A request was refused: Token needed."] == [record.getMessage() for record in caplog.records]
    assert len(token) < len(TOKENS[0]) - 1 or token not in answer.text + caplog.text


@pytest.mark.parametrize("header", ["cross-site", "same-site"])
def test_a_form_of_another_site_signs_nobody_in_or_out(operator: Visitor, app: Flask, header: str) -> None:
    """Not into the other's tenant, and not out of one's own."""
    stranger = Visitor(app.test_client())
    (mark,) = re.findall(r'name="mark" value="([^"]+)"', stranger.get("sign-in").text)
    told = {"Sec-Fetch-Site": header}

    assert stranger.post("sign-in", {"mark": mark, "token": TOKENS[1]}, headers=told).status_code == 403
    operator.post("sign-out", {}, headers=told)
    assert operator.get("agents").status_code == 200


@pytest.mark.parametrize("mark", ["", "guessed", "A" * 32])
def test_a_form_that_was_not_given_to_this_browser_signs_nobody_in(visitor: Visitor, mark: str) -> None:
    """An older browser does not say where a form comes from; the cookie beside it does."""
    visitor.get("sign-in")
    refused = visitor.post("sign-in", {"mark": mark, "token": TOKENS[0]})
    without = Visitor(visitor.client.application.test_client())

    assert refused.status_code == 403
    assert "https://ops.example/some/folder/console" in refused.text
    assert without.post("sign-in", {"mark": mark, "token": TOKENS[0]}).status_code == 403
    assert visitor.cookie(SESSION_COOKIE) == without.cookie(SESSION_COOKIE) == ""


def test_a_form_that_is_too_long_is_not_read(visitor: Visitor) -> None:
    """Nobody has to be signed in to send one."""
    visitor.get("sign-in")

    assert visitor.post("sign-in", {"mark": visitor.cookie(FORM_COOKIE), "token": "x" * 100_000}).status_code == 413


def test_whoever_signs_out_is_out(operator: Visitor) -> None:
    """And the form is shown again."""
    assert operator.get("sign-in").status_code == 303
    assert operator.post("sign-out", {}).status_code == 303
    assert operator.get("agents").status_code == 303
    assert operator.get("sign-in").status_code == 200


def test_a_session_shows_its_own_tenant_only(operator: Visitor, app: Flask, tenant: str) -> None:
    """Two people with two tokens see two names."""
    other = Visitor(app.test_client())
    other.sign_in(TOKENS[1])

    assert f"<bdi>{tenant}</bdi>" in operator.get().text
    assert f"<bdi>{tenant}-other</bdi>" in other.get().text


def test_a_session_ends_after_its_time(redis: Client, tenant: str) -> None:
    """To the second, by the store's clock."""
    keys = StoppedKeys(redis)
    sessions = Sessions(keys, Tenants({TOKENS[0]: tenant}))
    cookie, ends_ms = sessions.begin(TOKENS[0]), (NOW_MS // 1000 + SESSION_S) * 1000

    keys.at_ms = ends_ms - 1
    assert sessions.tenant(cookie) == tenant
    keys.at_ms = ends_ms
    assert sessions.tenant(cookie) is None


def test_a_session_ends_with_its_token(redis: Client, tenant: str) -> None:
    """Also where the tenant has another one by now; a session of that one goes on."""
    keys = StoppedKeys(redis)
    both = Sessions(keys, Tenants({TOKENS[0]: tenant, TOKENS[1]: tenant}))
    old, new = both.begin(TOKENS[0]), both.begin(TOKENS[1])
    after = Sessions(keys, Tenants({TOKENS[1]: tenant}))

    assert [both.tenant(each) for each in (old, new)] == [tenant, tenant]
    assert [after.tenant(each) for each in (old, new)] == [None, tenant]


def test_a_session_ends_with_the_tenants_key(redis: Any, operator: Visitor, tenant: str) -> None:
    """Whoever removes it signs everybody of the tenant out."""
    redis.delete(full_key(tenant, CONSOLE_KEY))

    assert operator.get("agents").status_code == 303
    operator.sign_in()
    assert operator.get("agents").status_code == 200


def test_nothing_but_a_whole_cookie_is_a_session(redis: Client, tenant: str) -> None:
    """Cut, changed, of another tenant, or made up."""
    sessions = Sessions(StoppedKeys(redis), Tenants({TOKENS[0]: tenant, TOKENS[1]: f"{tenant}-other"}))
    cookie = sessions.begin(TOKENS[0])
    sessions.begin(TOKENS[1])
    forged = (
        "",
        ".",
        cookie[:-4],
        cookie + "A",
        cookie.replace(tenant, f"{tenant}-other"),
        f"{tenant}.9999999999",
        "é.é",
    )

    assert [sessions.tenant(each) for each in forged] == [None] * len(forged)

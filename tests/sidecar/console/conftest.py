"""The app with its console, somebody to conduct runs, and somebody with a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sidecar.app import create_app
from sidecar.settings import Settings
from sidecar.store.connection import Client
from tests.sidecar.console.browsing import TOKENS, Visitor
from tests.sidecar.console.making import PUBLIC_URL, Run


@pytest.fixture
def app(redis: Client, tenant: str) -> Flask:
    """The app, with two tenants, which browsers reach by https and below a folder."""
    return create_app(Settings.from_environment({"ENSEMBLE_PUBLIC_URL": PUBLIC_URL}), redis, _tokens(tenant))


@pytest.fixture
def second_app(redis: Client, tenant: str) -> Flask:
    """Another sidecar on the same store."""
    return create_app(Settings.from_environment({"ENSEMBLE_PUBLIC_URL": PUBLIC_URL}), redis, _tokens(tenant))


@pytest.fixture
def a_run(client: FlaskClient) -> Callable[..., Run]:
    """Return what begins a run of the tenant, or of the other one."""

    def begin(*, other: bool = False, run_id: str = "") -> Run:
        def tell(body: str) -> str:
            headers = {"Authorization": f"Bearer {TOKENS[other]}"}
            answer = client.post("/v1/exchange", data=body, content_type="application/json", headers=headers)
            assert answer.status_code == 200, answer.text
            return answer.text

        return Run(tell, run_id)

    return begin


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    """Somebody who has not signed in."""
    return Visitor(app.test_client())


@pytest.fixture
def operator(app: Flask) -> Visitor:
    """Somebody who has."""
    visitor = Visitor(app.test_client())
    assert visitor.sign_in().status_code == 303
    return visitor


def _tokens(tenant: str) -> dict[str, str]:
    return {TOKENS[False]: tenant, TOKENS[True]: f"{tenant}-other"}

"""A real Valkey for the whole session, a tenant of its own for every test, and the app on both."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from sidecar.app import create_app
from sidecar.launch.embedded import EmbeddedStore
from sidecar.settings import Durability, Settings
from sidecar.store import connection
from sidecar.store.connection import Client
from sidecar.store.store import Store
from tests.sidecar import servers
from tests.sidecar.launched import Sidecar, Start

OTHER = {"redis6": servers.redis6, "cluster": servers.cluster}.get(os.environ.get(servers.VARIABLE, ""))
"""Another server than the embedded one, where the environment asks for it."""


@pytest.fixture(scope="session")
def valkey() -> Iterator[EmbeddedStore | servers.Server]:
    """A real server on a private socket, or the one the environment names."""
    if OTHER is not None:
        with OTHER() as other:
            yield other
        return
    with tempfile.TemporaryDirectory(prefix="ens-") as folder:
        server = EmbeddedStore(Path(folder) / "store", Durability.EVERYSEC)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def redis(valkey: EmbeddedStore) -> Iterator[Client]:
    """A client of that server."""
    client = connection.connect(valkey.url)
    yield client
    client.close()


@pytest.fixture
def store(redis: Client) -> Store:
    """The store under test."""
    return Store(redis)


@pytest.fixture
def tenant() -> str:
    """A tenant nobody else uses: tests share the server, not the data."""
    return f"t-{uuid.uuid4().hex}"


@pytest.fixture
def app(redis: Client, tenant: str) -> Flask:
    """The app, with two tenants."""
    tokens = {"token-of-the-tenant": tenant, "token-of-the-other-one": f"{tenant}-other"}
    return create_app(Settings.from_environment({"ENSEMBLE_MAX_BODY_BYTES": "65536"}), redis, tokens)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A caller without a token."""
    return app.test_client()


@pytest.fixture
def ask(client: FlaskClient) -> Callable[..., Any]:
    """A caller with the tenant's token."""

    def send(method: str, url: str, body: Any = None, *, other: bool = False, **more: Any) -> Any:
        headers = {
            "Authorization": f"Bearer token-of-the-{'other-one' if other else 'tenant'}",
            **more.pop("headers", {}),
        }
        if isinstance(body, str | bytes):
            more |= {"data": body, "content_type": "application/json"}
        elif body is not None:
            more["json"] = body
        return client.open(url, method=method, headers=headers, **more)

    return send


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start sidecars that are gone when the test is over, their stores included."""
    started: list[Sidecar] = []

    def begin(data: Path | None = None, **variables: str) -> Sidecar:
        started.append(Sidecar(data or tmp_path / "data", **variables))
        return started[-1]

    yield begin
    for sidecar in started:
        sidecar.end()

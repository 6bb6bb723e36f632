"""Connections, discovery and a caller for the tests of the Service API's client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ensemble.agents.connections import Connections
from ensemble.agents.discovery import Discovery
from tests.ensemble.agents.calling import Caller


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


@pytest.fixture
def discovery() -> Discovery:
    return Discovery()


@pytest.fixture
def call(connections: Connections, discovery: Discovery) -> Caller:
    return Caller(connections, discovery)

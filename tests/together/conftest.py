"""One world for all tests of a worker: starting it costs more than most tests do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.standin.daemon import PluginProcess
from tests.standin.service_api import ROOT
from tests.standin.world import World, world
from tests.together.team import Team, team

HERE = Path(__file__).parent
TIMEOUT_S = 180
"""What a test here is given that says nothing itself: the first one of a worker waits for all processes to start."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test of this folder its time."""
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.fixture(scope="session")
def scene() -> Iterator[World]:
    """A sidecar, a plugin and a Dify, all real processes."""
    with world() as running:
        yield running


@pytest.fixture(scope="session")
def second_plugin(scene: World) -> Iterator[PluginProcess]:
    """Another process of the plugin, as a second replica of Dify's daemon would start it."""
    with PluginProcess(ROOT) as plugin:
        yield plugin


@pytest.fixture
def make_team(scene: World) -> Callable[..., Team]:
    """Return what makes a team of the apps it is given."""
    return partial(team, scene)

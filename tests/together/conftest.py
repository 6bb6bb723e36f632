"""One world for all tests of a worker: starting it costs more than most tests do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.standin.daemon import PluginProcess
from tests.standin.service_api import ROOT
from tests.standin.world import World, world
from tests.together.team import Team, team


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

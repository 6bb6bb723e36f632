"""Tests of the plugin's side; they run in a process of their own, which the SDK patches for gevent."""

# First of all imports, as in main.py: it must patch before anything loads ssl.
import dify_plugin  # noqa: F401, I001 - imported for its effect, and first

from collections.abc import Callable, Iterator

import pytest

from tests.plugin.web import Web


@pytest.fixture
def web() -> Iterator[Web]:
    """Return a web server on a free port that answers what the test tells it to."""
    with Web() as server:
        yield server


@pytest.fixture
def key() -> Callable[[str], str]:
    """Return a maker of keys of the right shape out of one letter."""
    return lambda letter: f"app-{letter * 24}"

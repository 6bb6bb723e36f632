"""Tests of the plugin's side; they run in a process of their own, which the SDK patches for gevent."""

# First of all imports, as in main.py: it must patch before anything loads ssl.
import dify_plugin  # noqa: F401, I001 - imported for its effect, and first

from collections.abc import Callable, Iterator

import pytest

from ensemble.client.fallback import Absence, FallbackLedger
from ensemble.contract.exchange import Exchange
from ensemble.engine.ledger.book import Book
from tests.plugin.ledgers import Clock, Sidecar
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


@pytest.fixture
def sidecar() -> Sidecar:
    """Return a sidecar that answers."""
    return Sidecar()


@pytest.fixture
def book() -> Book:
    """Return this process's book."""
    return Book()


@pytest.fixture
def handed_in() -> list[Exchange]:
    """Return what is handed in later, in order."""
    return []


@pytest.fixture
def ledger(sidecar: Sidecar, book: Book, handed_in: list[Exchange]) -> FallbackLedger:
    """Return one run's ledger, which goes on without its sidecar."""
    return FallbackLedger(sidecar, book, Absence(Clock()), hand_in=lambda _, asks: handed_in.extend(asks))

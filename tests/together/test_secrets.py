"""Keys stay in Dify's credentials and the plugin's memory, tokens in two heads: nothing else ever holds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from sidecar.launch.embedded import EmbeddedStore
from sidecar.settings import Durability
from tests.standin.apps import App
from tests.standin.daemon import PluginProcess
from tests.standin.failures import always, first
from tests.standin.service_api import ROOT, process
from tests.standin.world import SidecarProcess, World
from tests.together.team import team

WRONG_KEY = "app-WrongWrongWrongWrong1234"


class Overheard(PluginProcess):
    """A plugin whose every line on stdout is kept."""

    def __init__(self, root: Path) -> None:
        """Start it."""
        self.lines: list[bytes] = []
        super().__init__(root)

    def _take(self, line: bytes) -> None:
        self.lines.append(line)
        super()._take(line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the sidecar keeps its data."""
    return tmp_path / "data"


@pytest.fixture
def overheard(tmp_path: Path, folder: Path) -> Iterator[World]:
    """A world of its own that logs all it can."""
    log = tmp_path / "sidecar.log"
    loud = SidecarProcess(folder, env={"ENSEMBLE_LOG_LEVEL": "debug"}, log=log)
    with loud as sidecar, process() as dify, Overheard(ROOT) as plugin:
        yield World(sidecar, plugin, dify, {})


def stored(folder: Path) -> str:
    """Everything in the sidecar's store: every key with its value."""
    client = redis.Redis.from_url(EmbeddedStore(folder / "store", Durability.EVERYSEC).url)
    found: list[Any] = []
    for key in client.scan_iter():
        match client.type(key):
            case b"string":
                found.append((key, client.get(key)))
            case b"hash":
                found.append((key, client.hgetall(key)))
            case b"zset":
                found.append((key, client.zrange(key, 0, -1)))
            case b"list":
                found.append((key, client.lrange(key, 0, -1)))
            case b"set":
                found.append((key, client.smembers(key)))
            case b"stream":
                found.append((key, client.xrange(key)))
            case other:
                raise AssertionError(f"{key!r} is a {other!r}: read it here as well")
    client.close()
    return repr(found)


def test_no_key_and_no_token_is_told_or_kept(overheard: World, folder: Path, tmp_path: Path) -> None:
    """After good runs, failed ones, refused credentials and a plan that names a key."""
    four = team(
        overheard,
        App(name="good", answer="facts"),
        App(name="shaky", failures=first("node_failed", "html_error")),
        App(name="locked", failures=always("unauthorized")),
        App(name="gone", failures=always("reset")),
    )
    saved = four.credentials()
    run = four.run("hello", pattern="parallel", run_key="key")
    assert "partial" == run.variables["status"]
    four.run("hello", pattern="parallel", run_key="key")
    four.run("hello", agents="locked")
    four.run("hello", saved={**saved, "app_keys": f"bad = {WRONG_KEY}"})
    four.run("hello", agents=four.apps["good"].key)
    four.run("hello", saved={**saved, "sidecar_token": "another-token-than-that"})
    overheard.plugin.validate_credentials(saved)
    overheard.plugin.validate_credentials({**saved, "app_keys": f"bad = {WRONG_KEY}, bad = {WRONG_KEY} junk"})
    overheard.plugin.validate_credentials({**saved, "sidecar_token": "another-token-than-that"})
    in_store = stored(folder)
    assert run.variables["run_id"] in in_store

    assert isinstance(overheard.plugin, Overheard)
    places = {
        "the plugin's stdout": b"".join(overheard.plugin.lines).decode(),
        "the plugin's stderr": overheard.plugin.stderr,
        "the sidecar's log": (tmp_path / "sidecar.log").read_text(),
        "the store": in_store,
        "the store's files": "".join(
            path.read_bytes().decode(errors="replace") for path in (folder / "store").rglob("*") if path.is_file()
        ),
    }
    secrets = [*(app.key for app in four.apps.values()), WRONG_KEY, overheard.sidecar.token, "another-token-than-that"]

    assert [] == [(place, secret) for place, text in places.items() for secret in secrets if secret in text]

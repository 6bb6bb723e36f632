"""The package works by itself: unpacked elsewhere, on nothing but its own requirements."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from scripts.package import MAX_BYTES, build
from tests.standin.apps import App
from tests.standin.daemon import PluginProcess
from tests.standin.service_api import ROOT
from tests.standin.world import TOKEN, World
from tests.together.team import team

VENV = ROOT / "build/package-venv"
FORBIDDEN = ("tests", "sidecar", "scripts", "benchmarks", "examples", "requirements", "build", ".git", ".venv")

# The first run on a machine installs the plugin's requirements.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this tree."""
    return build(ROOT, tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Dify's daemon would unpack."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def python(unpacked: Path) -> str:
    """An interpreter with what the package's requirements.txt lists, by its hashes; kept while that stays the same."""
    subprocess.run([ROOT / "scripts/make-venv", VENV, unpacked / "requirements.txt"], check=True)
    return str(VENV / "bin/python")


def test_it_holds_the_plugin_and_nothing_else(package: Path) -> None:
    """Under 1 MiB, without tests, server, caches or secrets."""
    assert package.stat().st_size < MAX_BYTES
    with zipfile.ZipFile(package) as archive:
        names = archive.namelist()
        contents = {name: archive.read(name) for name in names}

    assert {"manifest.yaml", "main.py", "requirements.txt", "provider/ensemble.yaml"} <= set(names)
    assert [] == [name for name in names if name.split("/")[0] in FORBIDDEN]
    assert [] == [name for name in names if Path(name).suffix in {".pyc", ".lua", ".pem", ".key"} or "/." in f"/{name}"]
    assert "pyproject.toml" not in names
    assert [] == [name for name, content in contents.items() if TOKEN.encode() in content]


def test_its_environment_has_nothing_of_the_server(python: str) -> None:
    """Neither Redis nor gunicorn can be imported there."""
    script = "import importlib.util as u; print([m for m in ('redis', 'gunicorn', 'pytest') if u.find_spec(m)])"
    ran = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True)

    assert "[]" == ran.stdout.strip()


def test_it_runs_a_team(scene: World, unpacked: Path, python: str) -> None:
    """Loaded by the SDK as the daemon does it, it checks credentials and answers a call through the sidecar."""
    two = team(scene, App(name="market", answer="facts"), App(name="writer", answer="a report on {query}"))

    with PluginProcess(unpacked, python=python) as plugin:
        assert plugin.validate_credentials(two.credentials()) is None
        result = two.run("plums", plugin=plugin, pattern="sequential")

    assert result.error is None, result.error
    assert "succeeded" == result.variables["status"]
    assert result.text.startswith("a report on plums")
    assert [] == result.variables["warnings"]

"""What holds for the repository as a whole: sizes, versions, and what no file may say."""

import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = ("benchmarks", "ensemble", "examples", "plugin", "provider", "scripts", "sidecar", "tests")

LONGEST = 400
"""Lines of a module; past that it holds a noun too many."""

LOCKED = {
    "requirements.txt": None,
    "requirements/sidecar.txt": "sidecar",
    "requirements/dev.txt": "dev",
    "requirements/peers.txt": "peers",
    "requirements/uv.txt": "uv",
}
"""Each compiled file and the dependency group it comes from; without one, the project's own dependencies."""

REGISTRY = re.compile(
    r"(?:\b(?:pypi|pythonhosted|crates|npmjs|yarnpkg)\.(?:org|io|com)"
    r"|(?:proxy|sum)\.golang\.org|deb\.debian\.org|archive\.ubuntu\.com)",
)
HOME = re.compile(r"(?<![\w.}])/(?:root|home/\w+|Users/\w+)/")

# Set apart, so that the examples below are not found in this file.
DOT, SLASH = ".", "/"


def _tracked() -> list[Path]:
    """Return the files git knows of that are there and are text."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = (ROOT / name for name in names.split("\0") if name)
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8192]]


def _project() -> dict[str, list[str]]:
    """Return the names each group of `pyproject.toml` asks for, "" being the project itself."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups: dict[str, list[str]] = {"": [_name(line) for line in document["project"]["dependencies"]]}
    for group, lines in document["dependency-groups"].items():
        groups[group] = [_name(line) for line in lines if isinstance(line, str)]
        for line in lines:
            if isinstance(line, dict):
                groups[group] += groups[line["include-group"]]
    groups["dev"] += groups[""]
    return groups


def _name(requirement: str) -> str:
    """Return the normalised name at the start of a requirement."""
    found = re.match(r"[A-Za-z0-9._-]*[A-Za-z0-9]", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _pins(file: str) -> dict[str, str]:
    """Return name → version of a compiled requirement file."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return {_name(line): line.split("==")[1].split()[0] for line in lines if re.match(r"[a-z0-9]", line)}


def _says(pattern: re.Pattern[str]) -> list[str]:
    """Return each tracked line that *pattern* finds something in."""
    return [
        f"{path.relative_to(ROOT)}:{number} says {found[0]}"
        for path in _tracked()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if (found := pattern.search(line))
    ]


def test_no_file_names_a_registry() -> None:
    """Where packages come from is the business of the machine that installs them."""
    assert _says(REGISTRY) == []


def test_no_file_names_a_place_of_one_machine() -> None:
    """No home, and not where this checkout happens to lie."""
    here = re.compile(re.escape(str(ROOT)) + r"(?![\w-])")

    assert _says(HOME) == []
    assert _says(here) == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRY, f"--index-url https://pypi{DOT}org/simple"),
        (REGISTRY, f"url = https://files.pythonhosted{DOT}org/x.whl"),
        (HOME, f"python = {SLASH}home/ann/.pyenv/bin/python"),
        (HOME, f"see {SLASH}root/notes"),
    ],
)
def test_the_forbidden_words_are_found(pattern: re.Pattern[str], line: str) -> None:
    """The two tests above would notice."""
    assert pattern.search(line)


def test_one_version() -> None:
    """The manifest, which Dify shows, the project and the changelog's newest release say the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    manifest = ROOT / "manifest.yaml"
    if manifest.exists():
        assert project == yaml.safe_load(manifest.read_text(encoding="utf-8"))["version"]
    headings = re.findall(r"^## \[(.+?)\](?: - (.+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    version, day = headings[1]
    assert version == project
    assert date.fromisoformat(day).isoformat() == day


@pytest.mark.parametrize(("file", "group"), LOCKED.items())
def test_what_is_asked_for_is_locked(file: str, group: str | None) -> None:
    """Whoever adds a dependency runs `make lock`."""
    assert set(_project()[group or ""]) - set(_pins(file)) == set()


@pytest.mark.parametrize("file", LOCKED)
def test_every_pin_carries_its_hash(file: str) -> None:
    """An artefact that was swapped is not installed."""
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[a-z0-9])", text)[1:]

    assert blocks
    assert [block.split("\n")[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("file", ["requirements.txt", "requirements/sidecar.txt"])
def test_what_users_run_is_what_the_tests_ran_with(file: str) -> None:
    """The plugin's and the sidecar's pins are among those of development."""
    assert _pins(file).items() <= _pins("requirements/dev.txt").items()


def test_the_plugin_installs_no_server() -> None:
    """Redis, gunicorn and OpenTelemetry stay out of Dify's plugin daemon."""
    assert not {name for name in _pins("requirements.txt") if name.startswith(("redis", "gunicorn", "opentelemetry"))}


def test_no_module_is_too_long() -> None:
    """A module that outgrows its sentence is split by noun."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}

    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}

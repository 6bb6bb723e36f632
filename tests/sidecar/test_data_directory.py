"""A data directory that can't be written to: the start ends in words, and a stop goes on."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.errors import StartError
from sidecar.launch import embedded
from sidecar.launch.lock import DataDirectory
from sidecar.settings import Durability
from tests.sidecar.launched import PATIENCE_S, ROOT


def _no_room() -> None:
    """Let no file of the process have a byte."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_a_start_without_room_for_a_byte_ends_in_words(tmp_path: Path) -> None:
    """They name the directory, and the setting."""
    said = subprocess.run(
        [sys.executable, "-m", "sidecar"],
        cwd=ROOT,
        env=os.environ | {"ENSEMBLE_DATA_DIR": str(tmp_path), "ENSEMBLE_PORT": "0"},
        preexec_fn=_no_room,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert said.returncode == 1
    assert (
        f"The data directory {tmp_path} can't be used: {os.strerror(errno.EFBIG)}. Set ENSEMBLE_DATA_DIR."
        in said.stderr
    )
    assert "Traceback" not in said.stderr


def test_an_address_that_can_not_be_told_ends_the_start_in_words(tmp_path: Path) -> None:
    """Whoever looks there would find the one of before."""
    data = DataDirectory(tmp_path)
    data.take()
    (tmp_path / "address").mkdir()

    with pytest.raises(StartError, match=r"can't be used: Is a directory\. Set ENSEMBLE_DATA_DIR"):
        data.tell_address("http://127.0.0.1:1")
    data.let_go()


def test_an_address_that_can_not_be_removed_keeps_nobody_from_taking_the_directory(tmp_path: Path) -> None:
    """A disk may have become read-only meanwhile."""
    first = DataDirectory(tmp_path)
    first.take()
    (tmp_path / "address").mkdir()

    first.let_go()

    second = DataDirectory(tmp_path)
    second.take()
    second.close()


@pytest.mark.parametrize("mode", [0o600, 0o700])
def test_a_program_that_this_machine_does_not_run_ends_the_start_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """It lies on a disk that nothing is run from, or is another machine's."""
    program = tmp_path / "valkey-server"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(mode)
    monkeypatch.setattr(embedded, "server_program", lambda: program)

    with pytest.raises(StartError, match=r"can't be started: .*ENSEMBLE_REDIS_URL"):
        embedded.EmbeddedStore(tmp_path / "store", Durability.EVERYSEC).start()

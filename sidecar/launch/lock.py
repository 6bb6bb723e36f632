"""One launcher per data directory, and where it listens."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sidecar.errors import StartError

__all__ = ["DataDirectory"]


class DataDirectory:
    """A data directory held by this process: from `take` until it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._address = path / "address"
        self._descriptor = -1

    def take(self) -> None:
        """Make the directory if need be and hold it. Raises StartError where another launcher does, or nobody can."""
        with self._usable():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._lock()
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def tell_address(self, url: str) -> None:
        """Write where this sidecar listens to the file ``address``, whole or not at all. Raises StartError."""
        draft = self.path / ".address"
        with self._usable():
            draft.write_text(url + "\n", encoding="utf-8")
            draft.replace(self._address)

    def let_go(self) -> None:
        """Remove the address, if that can be, and let others take the directory."""
        with suppress(OSError):
            self._address.unlink()
        self.close()

    def close(self) -> None:
        """Close this process's handle; a forked child does that, so that the lock is its parent's alone."""
        os.close(self._descriptor)

    def _lock(self) -> None:
        """Raises StartError, or OSError where the disk knows no locks."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise StartError(
                f"The data directory {self.path} is in use by another sidecar (process {holder}). "
                "Stop that one, or give this one its own by ENSEMBLE_DATA_DIR."
            ) from error

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Say in words what keeps us from using the directory: a right, a full disk. Raises StartError."""
        try:
            yield
        except OSError as error:
            raise StartError(
                f"The data directory {self.path} can't be used: {error.strerror}. Set ENSEMBLE_DATA_DIR."
            ) from error

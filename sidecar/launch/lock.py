"""One launcher per data directory, and where it listens."""

from __future__ import annotations

import fcntl
import os
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
        """Make the directory if need be and hold it. Raises StartError where another launcher does."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartError(
                f"The data directory {self.path} can't be used: {error.strerror}. Set ENSEMBLE_DATA_DIR."
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise StartError(
                f"The data directory {self.path} is in use by another sidecar (process {holder}). "
                "Stop that one, or give this one its own by ENSEMBLE_DATA_DIR."
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def tell_address(self, url: str) -> None:
        """Write where this sidecar listens to the file ``address``, whole or not at all."""
        draft = self.path / ".address"
        draft.write_text(url + "\n", encoding="utf-8")
        draft.replace(self._address)

    def let_go(self) -> None:
        """Remove the address and let others take the directory."""
        self._address.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close this process's handle; a forked child does that, so that the lock is its parent's alone."""
        os.close(self._descriptor)

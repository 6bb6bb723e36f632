"""Lua scripts, kept as files beside the code that calls them, and run by their hash."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from sidecar.store.connection import Client
from sidecar.store.faults import store_errors

__all__ = ["Script"]


class Script:
    """One Lua file of *package*; every key it touches is among its keys, so it runs in a Cluster too.

    What several verbs share stands in files of its own, *includes*, whose functions the script finds above itself.
    """

    def __init__(self, package: str, name: str, *, includes: Sequence[str] = ()) -> None:
        self.name = name
        folder = files(package)
        self._text = "\n".join(folder.joinpath(each).read_text(encoding="utf-8") for each in (*includes, name))
        self._sha = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def run(self, redis: Client, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run the script once.

        Raises:
            StoreUnavailable: Redis does not answer. Whether the script ran is not known then.
            StoreDamaged: One of *keys* is of another type than ours.
        """
        with store_errors(redis, keys):
            try:
                return redis.evalsha(self._sha, len(keys), *keys, *args)
            except NoScriptError:
                # Redis was restarted or flushed its scripts; EVAL runs it and keeps it again.
                return redis.eval(self._text, len(keys), *keys, *args)

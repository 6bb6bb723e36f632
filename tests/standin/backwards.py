"""Answers to what a plugin asks of Dify while a tool runs: apps, models, storage."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.standin.invocation import Invocation

type Handler = Callable[[dict[str, Any], Invocation], Mapping[str, Any] | Iterable[Mapping[str, Any]]]
"""Answers a backwards call: its request, and the tool call it was made in; several values make a stream."""


class BackwardsRefused(Exception):  # noqa: N818 - raised by handlers as an answer.
    """Raise it in a handler to answer a backwards call with Dify's error text."""


def forbid(_: dict[str, Any], __: Invocation) -> Mapping[str, Any]:
    """What Dify says to a kind of call that the manifest does not allow; here, one without a handler."""
    raise BackwardsRefused("permission denied")


_PERMISSIONS = {"app": "app", "fetch_app": "app", "llm": "llm", "text_embedding": "text-embedding", "tool": "tool"}
"""What a manifest has to ask for, by the kind of call; the words of the daemon's refusal."""


def check_permission(manifest: dict[str, Any], kind: str) -> None:
    """Refuse a kind of call that the plugin's manifest does not ask for, as the daemon does before it asks Dify."""
    wanted = _PERMISSIONS.get(kind)
    if wanted is None:
        return
    granted = (manifest.get("resource") or {}).get("permission") or {}
    model = wanted in ("llm", "text-embedding")
    room = granted.get("model" if model else wanted) or {}
    if not room.get("enabled") or (model and not room.get(kind)):
        raise BackwardsRefused(f"permission denied, you need to enable {wanted} access in plugin manifest")


class Storage:
    """The plugin's storage, in memory: pass it to `PluginProcess.on("storage", Storage())`."""

    def __init__(self) -> None:
        """Start empty."""
        self.values: dict[str, str] = {}
        """Hexadecimal, as on the wire."""

    def __call__(self, request: dict[str, Any], _: Invocation) -> dict[str, Any]:
        """Carry out one operation."""
        key = request["key"]
        match request["opt"]:
            case "set":
                self.values[key] = request["value"]
                return {"data": "ok"}
            case "del":
                self.values.pop(key, None)
                return {"data": "ok"}
            case "exist":
                return {"data": key in self.values}
            case _:
                if key not in self.values:
                    raise BackwardsRefused("load data from storage failed: record not found")
                return {"data": self.values[key]}

"""What Dify does to a tool's messages: which it refuses, and what becomes of the others."""

import base64
import re
from dataclasses import dataclass, field
from typing import Any

RESERVED = {"json", "text", "files"}
REFERABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,29}")
"""A name that a template of a later node can refer to."""
CHUNK_BYTES = 8192
FILE_BYTES = 30 * 1024 * 1024


class OutputRefused(Exception):  # noqa: N818 - Dify's node fails with it; the harness is not broken.
    """Dify refuses a message of the tool: the node fails, whatever else was sent."""


@dataclass(frozen=True)
class File:
    """A file the tool sent, put together."""

    data: bytes
    meta: dict[str, Any]


@dataclass
class Outputs:
    """The outputs of a tool node, filled message by message as Dify does."""

    text: str = ""
    """All text messages, joined."""
    variables: dict[str, Any] = field(default_factory=dict)
    """A streamed variable is the concatenation of its parts; a whole one is what was sent last."""
    streamed: dict[str, list[str]] = field(default_factory=dict)
    """The parts of each streamed variable, in order."""
    json: list[Any] = field(default_factory=list)
    """All json messages."""
    files: list[File] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    """Passed on by the daemon; a tool node drops them."""
    others: list[dict[str, Any]] = field(default_factory=list)
    """Links, images and the like."""
    _blobs: dict[str, bytearray] = field(default_factory=dict)

    def take(self, message: dict[str, Any]) -> None:
        """Take one message; raises OutputRefused for one that Dify does not accept."""
        content = message.get("message") or {}
        match message["type"]:
            case "text":
                self.text += _string(content["text"], "a text message")
            case "json":
                if not isinstance(content["json_object"], dict):
                    raise OutputRefused("a json message must be an object (Dify 1.7.2)")
                self.json.append(content["json_object"])
            case "variable":
                self._variable(content["variable_name"], content["variable_value"], stream=bool(content.get("stream")))
            case "blob_chunk":
                self._chunk(content, message.get("meta") or {})
            case "log":
                self.logs.append(content)
            case _:
                self.others.append(message)

    def _variable(self, name: str, value: Any, *, stream: bool) -> None:
        if name in RESERVED:
            raise OutputRefused(f"The variable name '{name}' is reserved.")
        if not REFERABLE.fullmatch(name):
            raise OutputRefused(f"no template can refer to a variable named {name!r}")
        if not isinstance(value, dict | list | str | int | float | bool):
            raise OutputRefused(f"variable {name}: Only basic types and lists are allowed.")
        if not stream:
            self.variables[name] = value
            return
        part = _string(value, f"variable {name}: when 'stream' is True, 'variable_value'")
        self.streamed.setdefault(name, []).append(part)
        self.variables[name] = self.variables.get(name, "") + part

    def _chunk(self, content: dict[str, Any], meta: dict[str, Any]) -> None:
        data = base64.b64decode(content["blob"])
        blob = self._blobs.setdefault(content["id"], bytearray())
        blob += data
        if len(data) > CHUNK_BYTES or len(blob) > FILE_BYTES:
            raise OutputRefused("a file goes in chunks of at most 8192 bytes, 30 MB in all")
        if content["end"]:
            self.files.append(File(bytes(self._blobs.pop(content["id"])), meta))


def _string(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise OutputRefused(f"{what} must be a string.")
    return value

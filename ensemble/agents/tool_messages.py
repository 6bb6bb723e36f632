"""What a Dify tool gives back: messages of several kinds, put together to a text, data, files and sources.

Pure. Dify has stored a tool's files away before its messages reach us, so that a file is an address. Whatever a tool
says is kept up to a bound, and what can't be read is named, never raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ensemble.agents.port import Reply
from ensemble.agents.reading import workflow_reply
from ensemble.contract.answers import text_of
from ensemble.contract.results import Usage

__all__ = ["MAX_CHARS", "Messages"]

MAX_CHARS = 16 * 1024 * 1024
"""How much of what a tool says is kept, everything together; who says more has not answered."""
_EACH = 64
"""What a message counts beside what stands in it, so that empty ones come to an end too."""
_OWN = ("text", "json", "files", "links", "context")
"""Names in ``data`` that are ours; a variable of that name counts where the tool sent nothing of that kind."""
_FILES = frozenset({"image", "image_link", "binary_link"})
_FILE_FIELDS = (
    "type",
    "transfer_method",
    "url",
    "remote_url",
    "related_id",
    "filename",
    "extension",
    "mime_type",
    "size",
)
_STORED = re.compile(r"(?:^|/)files/tools/([^/?#.]+)")


class Messages:
    """What a tool has said so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.too_long = False
        """Whether it has said more than is kept."""
        self.seen = False
        """Whether it has said anything."""
        self._size = 0
        self._texts: list[str] = []
        self._json: list[Any] = []
        self._variables: dict[str, list[Any]] = {}
        self._streamed: set[str] = set()
        self._files: list[dict[str, Any]] = []
        self._links: list[str] = []
        self._cited: list[Any] = []
        self._context: list[str] = []
        self._inline = 0
        self._odd: dict[str, None] = {}

    def take(self, message: Mapping[str, Any]) -> str:
        """Take one message, ``{type, message, meta}``, and return the text it adds to the answer."""
        self.seen = True
        kind, body, meta = str(message.get("type")), message.get("message"), message.get("meta")
        body = body if isinstance(body, Mapping) else {}
        meta = meta if isinstance(meta, Mapping) else {}
        if kind in ("blob", "blob_chunk"):
            # Dify stores files away before it passes them on. What comes all the same is counted, never kept.
            self._inline += 1
            return ""
        if kind == "log":
            return ""
        self._size += _EACH + _size(body)
        self.too_long = self.too_long or self._size > MAX_CHARS
        if self.too_long:
            return ""
        if kind == "text" and isinstance(body.get("text"), str):
            self._texts.append(body["text"])
            return str(body["text"])
        if not self._keep(kind, body, meta):
            self._odd[kind[:40]] = None
        return ""

    def reply(self, subject: str, usage: Usage) -> Reply:
        """Return the answer of a tool that has come to its end."""
        warnings = self._warnings(subject)
        data = self._data(warnings)
        text = "".join(self._texts)
        reply = workflow_reply(data, usage, None)
        sources = (*reply.sources, *self._cited, *({"url": link} for link in self._links))
        return replace(reply, text=text or self._instead(data), sources=sources, warnings=tuple(warnings))

    def _keep(self, kind: str, body: Mapping[str, Any], meta: Mapping[str, Any]) -> bool:
        """Keep what is no text; False where there is nothing in it."""
        match kind:
            case "json" if "json_object" in body:
                self._json.append(body["json_object"])
            case "variable" if isinstance(body.get("variable_name"), str) and body["variable_name"]:
                self._variable(body["variable_name"], body.get("variable_value"), stream=body.get("stream") is True)
            case "link" if isinstance(body.get("text"), str):
                self._links.append(body["text"])
            case "file" if isinstance(meta.get("file"), Mapping):
                self._files.append({name: meta["file"][name] for name in _FILE_FIELDS if meta["file"].get(name)})
            case _ if kind in _FILES and isinstance(body.get("text"), str):
                self._files.append(_file(kind, body["text"], meta))
            case "retriever_resources":
                cited, context = body.get("retriever_resources"), body.get("context")
                self._cited.extend(cited if isinstance(cited, list) else [])
                self._context.extend([context] if isinstance(context, str) and context else [])
            case _:
                return False
        return True

    def _variable(self, name: str, value: Any, *, stream: bool) -> None:
        """A streamed variable comes in pieces; any other one replaces what was there."""
        if stream and isinstance(value, str) and name in self._streamed:
            self._variables[name].append(value)
            return
        self._variables[name] = [value]
        if stream and isinstance(value, str):
            self._streamed.add(name)
        else:
            self._streamed.discard(name)

    def _data(self, warnings: list[str]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "text": "".join(self._texts),
            "json": self._json,
            "files": self._files,
            "links": self._links,
            "context": "\n\n".join(self._context),
        }
        data = {name: found[name] for name in _OWN if found[name]}
        for name, pieces in self._variables.items():
            if name in data:
                warnings.append(f"The tool's variable {name} is left out: {name} is what it sent as such.")
            else:
                data[name] = "".join(pieces) if name in self._streamed else pieces[0]
        return data

    def _instead(self, data: Mapping[str, Any]) -> str:
        """Return the text of a tool that sent none: of its variables, else its JSON, else its addresses."""
        variables = {name: value for name, value in data.items() if name in self._variables}
        if variables:
            return text_of(variables)
        if self._json:
            return json.dumps(self._json[0] if len(self._json) == 1 else self._json, ensure_ascii=False, default=str)
        if self._context:
            return str(data["context"])
        urls = [str(file.get("url") or file.get("remote_url") or "") for file in self._files]
        return "\n".join(filter(None, [*self._links, *urls]))

    def _warnings(self, subject: str) -> list[str]:
        found = []
        if not self.seen:
            found.append(f"{subject} ended without a word.")
        if self._inline:
            found.append(f"{subject} sent {self._inline} pieces of files that Dify had not stored; they are not kept.")
        if self._odd:
            found.append(f"{subject} sent messages that could not be read: {', '.join(list(self._odd)[:8])}.")
        return found


def _file(kind: str, url: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored file as Dify's variables hold one.

    Its address is passed on where it is whole; before Dify 1.9 it is a path, and the id has to do.
    """
    mime = meta.get("mime_type") if isinstance(meta.get("mime_type"), str) else ""
    stored = _STORED.search(url)
    number = meta.get("tool_file_id") or (stored.group(1) if stored else None)
    main = "image" if kind in ("image", "image_link") else str(mime).partition("/")[0]
    file = {
        "type": main if main in ("image", "audio", "video") else "document",
        "transfer_method": "tool_file" if number else "remote_url",
        "url": url,
        "related_id": number and str(number),
        "filename": meta.get("filename") if isinstance(meta.get("filename"), str) else None,
        "mime_type": mime,
    }
    return {name: value for name, value in file.items() if value}


def _size(value: Any) -> int:
    """Return about how long *value* is as JSON; what is nested without end is longer than anything."""
    if isinstance(value, Mapping) and isinstance(value.get("text"), str) and len(value) == 1:
        return len(value["text"])
    try:
        return len(json.dumps(value, ensure_ascii=False, default=str))
    except (ValueError, RecursionError):
        return MAX_CHARS + 1

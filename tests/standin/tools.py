"""The workspace's tools, for plugins that call them: `PluginProcess.on("tool", Tools(search=...))`.

One recording has a tool's answer, a text; the rest is written from Dify's source (`core/tools/tool_manager.py`,
`core/tools/utils/message_transformer.py`, `core/plugin/backwards_invocation/tool.py`) and the plugin daemon's
(`internal/core/io_tunnel/backwards_invocation/task.go`): files are stored and become addresses before a plugin sees
them, and every failure is one text that tells, by how it begins, whether the tool had begun.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.standin.backwards import BackwardsRefused
from tests.standin.invocation import Invocation

type Said = Mapping[str, Any]
"""One message of a tool: `{type, message, meta}`."""
type Tool = Callable[[dict[str, Any]], Iterator[Said]]
"""What a tool does with its parameters; what it raises is what a plugin's tool raises."""

FILES = "http://dify.test/files/tools"


def text(words: str) -> Said:
    """A piece of text."""
    return {"type": "text", "message": {"text": words}, "meta": None}


def structure(value: Any) -> Said:
    """A piece of JSON."""
    return {"type": "json", "message": {"json_object": value}, "meta": None}


def variable(name: str, value: Any, *, stream: bool = False) -> Said:
    """A variable, or a piece of one."""
    body = {"variable_name": name, "variable_value": value, "stream": stream}
    return {"type": "variable", "message": body, "meta": None}


def link(url: str) -> Said:
    """A link."""
    return {"type": "link", "message": {"text": url}, "meta": None}


def blob(mime_type: str, filename: str) -> Said:
    """A file as the tool makes it; Dify stores it away."""
    return {"type": "blob", "message": {"blob": "AAAA"}, "meta": {"mime_type": mime_type, "filename": filename}}


class Tools:
    """The tools of one provider of each kind."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        *,
        provider: str = "acme/web/web",
        kind: str = "builtin",
        required: tuple[str, ...] = (),
        authorized: bool = True,
    ) -> None:
        """Serve *tools* by their names.

        Args:
            tools: what there is.
            provider: as Dify knows it.
            kind: Dify's word for where the provider comes from.
            required: parameters every tool insists on.
            authorized: whether the workspace has saved credentials.
        """
        self.asked: list[dict[str, Any]] = []
        self._tools = tools
        self._provider = provider
        self._kind = kind
        self._required = required
        self._authorized = authorized

    def __call__(self, request: dict[str, Any], _: Invocation) -> Iterator[Said]:
        """Answer one call: what can be known beforehand is refused before anything is said."""
        self.asked.append(request)
        if (request["tool_type"], request["provider"]) != (self._kind, self._provider):
            raise _refused(f"plugin provider {request['provider']} not found")
        if request["tool"] not in self._tools:
            raise _refused(f"builtin tool {request['tool']} not found")
        if not self._authorized:
            raise _refused(f"no default provider for {request['provider']}")
        for name in self._required:
            if request["tool_parameters"].get(name) is None:
                raise _refused(f"tool parameter {name} not found in tool config")
        return self._run(self._tools[request["tool"]], request["tool_parameters"])

    def _run(self, tool: Tool, parameters: dict[str, Any]) -> Iterator[Said]:
        try:
            yield from map(_stored, tool(parameters))
        except Exception as error:  # noqa: BLE001 - whatever a tool raises becomes a text.
            raised = json.dumps({"args": {}, "error_type": type(error).__name__, "message": str(error)})
            raise BackwardsRefused(f"read tool response failed: request failed: PluginInvokeError: {raised}") from None


def _refused(message: str) -> BackwardsRefused:
    body = json.dumps({"code": "invalid_param", "message": message, "status": 400})
    return BackwardsRefused(f"invoke tool failed: request failed with status code: 400 and respond with: {body}")


def _stored(said: Said) -> Said:
    """Store what a message holds, as Dify does: a picture becomes an `image_link`, any other file a `binary_link`."""
    if said["type"] != "blob":
        return said
    number, mime = str(uuid.uuid4()), said["meta"]["mime_type"]
    kind = "image_link" if "image" in mime else "binary_link"
    extension = "." + said["meta"]["filename"].rpartition(".")[2]
    url = f"{FILES}/{number}{extension}?timestamp=1&nonce=2&sign=3"
    return {"type": kind, "message": {"text": url}, "meta": {**said["meta"], "tool_file_id": number}}

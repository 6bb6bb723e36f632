"""The shared state tool: values that branches, workflows and apps of one trace share."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from plugin.shared_state.service import share_state
from plugin.stores import said_messages


class SharedStateTool(Tool):
    """Reads and changes values that others read and change at the same time."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        yield from said_messages(self, share_state(tool_parameters, self.runtime.credentials))

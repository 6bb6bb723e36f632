"""The messenger tool: agents, workflows and apps of one trace send each other messages."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from plugin.messenger.service import exchange_messages
from plugin.stores import said_messages


class MessengerTool(Tool):
    """Sends, receives and settles messages that wait in mailboxes."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        yield from said_messages(self, exchange_messages(tool_parameters, self.runtime.credentials))

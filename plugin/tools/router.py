"""The router tool: says which of several routes a query takes, and may call the agent at its end."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from plugin.router.messages import router_messages
from plugin.router.service import route
from plugin.tools.calling import caller_of


class RouterTool(Tool):
    """Chooses one of several routes for a query."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        yield from router_messages(self, route(tool_parameters, self.runtime.credentials, caller_of(self)))

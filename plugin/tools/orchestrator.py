"""The orchestrator tool: runs a team of Dify apps on one task."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from plugin.messages import messages
from plugin.orchestrator.service import orchestrate
from plugin.tools.calling import caller_of
from plugin.whole import keeper


class OrchestratorTool(Tool):
    """Gives one task to a team of agents and returns one answer."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        saved = self.runtime.credentials
        yield from messages(self, orchestrate(tool_parameters, saved, caller_of(self)), keeper(saved))

"""The orchestrator tool: runs a team of Dify apps on one task."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from plugin.messages import messages
from plugin.orchestrator.service import Caller, orchestrate
from plugin.whole import keeper


class OrchestratorTool(Tool):
    """Gives one task to a team of agents and returns one answer."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        caller = Caller(
            user_id=self.runtime.user_id,
            app_id=self.session.app_id,
            conversation_id=self.session.conversation_id,
            session=self.session,
        )
        saved = self.runtime.credentials
        yield from messages(self, orchestrate(tool_parameters, saved, caller), keeper(saved))

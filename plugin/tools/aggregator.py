"""The aggregator tool: makes one result out of several."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from plugin.aggregator.messages import aggregator_messages
from plugin.aggregator.service import aggregate
from plugin.tools.calling import caller_of


class AggregatorTool(Tool):
    """Joins, merges, votes on, picks from or rewrites the results of several agents."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        yield from aggregator_messages(self, aggregate(tool_parameters, self.runtime.credentials, caller_of(self)))

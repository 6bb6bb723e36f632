"""The doctor tool: looks at everything a run depends on and says what to change."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from dify_plugin import Tool
from dify_plugin.entities.tool import ToolInvokeMessage

from plugin.doctor.examine import examine
from plugin.doctor.report import doctor_messages


class DoctorTool(Tool):
    """Checks sidecar, keys, apps, timeouts and limits."""

    def _invoke(self, tool_parameters: dict[str, Any]) -> Generator[ToolInvokeMessage]:
        yield from doctor_messages(self, examine(tool_parameters, self.runtime.credentials))

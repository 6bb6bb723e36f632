"""Who calls a tool, taken from what the SDK gives it."""

from __future__ import annotations

from dify_plugin import Tool

from plugin.casting import Caller

__all__ = ["caller_of"]


def caller_of(tool: Tool) -> Caller:
    """Return who calls *tool* now, with the way back into Dify that lasts as long as the call."""
    session = tool.session
    return Caller(
        user_id=tool.runtime.user_id,
        app_id=session.app_id,
        conversation_id=session.conversation_id,
        session=session,
    )

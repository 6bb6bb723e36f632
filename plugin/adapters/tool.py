"""Calls a Dify tool of the caller's workspace: a plugin's, an OpenAPI one, a workflow's or an MCP server's.

Dify takes the credentials the workspace has saved for the tool, and sends its messages as they come. It can't be asked
which parameters a tool has, nor to stop one; and the plugin daemon cuts what lasts longer than 240 s. A call after the
tool's end is answered by nobody, so every call ends with its scope.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

import gevent
from dify_plugin.core.entities.invocation import InvokeType
from dify_plugin.core.runtime import Session
from dify_plugin.entities.tool import ToolInvokeMessage, ToolProviderType
from dify_plugin.invocations.tool import ToolInvocation
from pydantic import BaseModel

from ensemble.agents.identity import tool_identity
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.agents.reading import failure
from ensemble.agents.tool_messages import MAX_CHARS, Messages
from ensemble.agents.tools import judge_tool, parameters_of
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.plan.agents import ToolAgent
from plugin.adapters.reverse import STREAM_WALL_S

__all__ = ["Message", "ToolAgentCaller", "Tools", "WorkspaceTools"]

_WALL_SLACK_S = 5.0
_WALL = (
    " Dify's plugin daemon cuts a tool's answer after 240 s; raise DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT (in "
    "milliseconds) there."
)
_COUNTED = Usage(tokens=0)
"""Of a tool that is no workflow: Dify itself counts no tokens for its node, whatever it does behind Dify's back."""


class Message(BaseModel):
    """One message of a tool as it stands on the wire."""

    type: str
    message: Any = None
    meta: Any = None


class Tools(Protocol):
    """The part of the SDK's ``session.tool`` that is used."""

    def invoke(
        self,
        provider_type: ToolProviderType,
        provider: str,
        tool_name: str,
        parameters: dict[str, Any],
        credential_id: str | None = None,
    ) -> Generator[Any]:
        """Run a tool and yield its messages."""


class WorkspaceTools(ToolInvocation):
    """The SDK's way to call tools, which reads every message Dify sends.

    The SDK's own message type knows neither ``binary_link``, as which Dify hands on every file that is no picture, nor
    what Dify writes into a ``file``; one of them would fail a call that succeeded.
    """

    def __init__(self, session: Session | None) -> None:
        """Call tools within one tool call of our own."""
        super().__init__(session)

    def _backwards_invoke(self, type: InvokeType, data_type: Any, data: dict[str, Any]) -> Any:  # noqa: A002 - the SDK's
        read: Any = Message if data_type is ToolInvokeMessage else data_type
        return super()._backwards_invoke(type, read, data)


class ToolAgentCaller:
    """One tool, for the length of one tool call of our own."""

    def __init__(self, tool: ToolAgent, *, label: str, tools: Tools, host: str, wall_s: float = STREAM_WALL_S) -> None:
        """Take the tool and the tool call's way into Dify, whose connections *host* names.

        *wall_s* is the daemon's limit for one call.
        """
        self._tool = tool
        self._subject = f"{label} (tool {tool.name} of {tool.provider})"
        self._tools = tools
        self._host = host
        self._wall_s = wall_s
        self._usage = Usage() if tool.type == ToolProviderType.WORKFLOW.value else _COUNTED

    @property
    def identity(self) -> str:
        """``tool:<provider>/<tool>``."""
        return tool_identity(self._tool.provider, self._tool.name)

    @property
    def host(self) -> str:
        """The workspace's own Dify, through which the tool is called."""
        return self._host

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Make one attempt. A tool is given its parameters and nothing else."""
        if scope.cancelled:
            return Reply(outcome=Outcome.CANCELLED, message="The call was cancelled.", sent=False)
        parameters = parameters_of(call)
        if parameters is None:
            words = f"{self._subject} has no inputs. Write which of its parameters gets what."
            return Reply(outcome=Outcome.REJECTED, message=words, sent=False)
        begun = time.monotonic()
        said = Messages()
        try:
            with gevent.Timeout(scope.left_s(), _Late()):
                self._run(parameters, said, scope)
        except _Late:
            seconds = f"{scope.timeout_s:.1f}".removesuffix(".0")
            words = f"{self._subject} did not answer within {seconds} s. Give the step a longer timeout if it needs it."
            return Reply(outcome=Outcome.TIMED_OUT, message=words, retry_allowed=True)
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more exact
            reply = failure(judge_tool(str(error), self._subject))
            if time.monotonic() - begun >= self._wall_s - min(_WALL_SLACK_S, self._wall_s / 10):
                reply = replace(reply, message=reply.message + _WALL, retry_allowed=False)
            return reply
        if said.too_long:
            words = f"{self._subject} answered with more than {MAX_CHARS:,} characters, more than is read."
            return Reply(outcome=Outcome.UNAVAILABLE, message=words, usage=self._usage)
        return said.reply(self._subject, self._usage)

    def _run(self, parameters: Mapping[str, Any], said: Messages, scope: CallScope) -> None:
        """Take every message until the tool ends or has said too much."""
        tool = self._tool
        kind = ToolProviderType(tool.type)
        messages = self._tools.invoke(kind, tool.provider, tool.name, dict(parameters), tool.credential_id)
        with closing(messages):
            for message in messages:
                piece = said.take({"type": message.type, "message": message.message, "meta": message.meta})
                if said.too_long:
                    return
                if piece:
                    scope.text(piece)


class _Late(BaseException):
    """The call's time is over. No handler of the SDK's may take it for a failure, so it is no Exception."""

"""Tools as agents: every message kind as the SDK hands it over, failures, time, and calls that are given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import gevent
import pytest
from dify_plugin.core.entities.invocation import InvokeType
from dify_plugin.entities.tool import ToolInvokeMessage, ToolProviderType
from dify_plugin.invocations.tool import ToolInvocation

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.agents.tool_messages import MAX_CHARS
from ensemble.contract.outcomes import Outcome
from ensemble.plan.agents import ToolAgent
from plugin.adapters.tool import Message, ToolAgentCaller, WorkspaceTools
from tests.standin.recordings import VERSIONS, Version, inner_api, unframed

SEARCH = ToolAgent("acme/web/web", "search")


class Scripted:
    """Stands in for the SDK's way to call tools; keeps what it was asked, and whether a call was left."""

    def __init__(self, script: Callable[[], Iterable[Message]]) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.left = 0
        self._script = script

    def invoke(self, *asked: Any) -> Generator[Message]:
        self.asked.append(asked)
        try:
            yield from self._script()
        finally:
            self.left += 1


def words(text: str) -> Message:
    return Message(type="text", message={"text": text})


def ask(
    tools: Any,
    *,
    tool: ToolAgent = SEARCH,
    scope: CallScope | None = None,
    timeout_s: float = 5.0,
    on_text: Callable[[str], None] | None = None,
    wall_s: float = 240.0,
    **call: Any,
) -> Reply:
    agent = ToolAgentCaller(tool, label="search", tools=tools, host="dify", wall_s=wall_s)
    return agent.call(Call(**{"query": "bees", "inputs": {"q": 1}, **call}), scope or CallScope(timeout_s, on_text))


def test_it_is_given_its_parameters_with_their_types_and_speaks_as_it_goes() -> None:
    pieces: list[str] = []
    tools = Scripted(lambda: [words("Hel"), words("lo")])
    inputs = {"q": "bees", "n": 3, "deep": {"a": [True]}, "none": None}

    reply = ask(tools, inputs=inputs, fixed_inputs={"lang": "en", "q": "x"}, on_text=pieces.append)

    assert (Outcome.SUCCEEDED, "Hello", {"text": "Hello"}) == (reply.outcome, reply.text, reply.data)
    assert ["Hel", "lo"] == pieces
    given = {"lang": "en", "q": "bees", "n": 3, "deep": {"a": [True]}}
    assert [(ToolProviderType.BUILT_IN, "acme/web/web", "search", given, None)] == tools.asked
    assert 1 == tools.left


@pytest.mark.parametrize(
    ("tool", "kind", "tokens"),
    [
        (ToolAgent("my api", "find", "api"), ToolProviderType.API, 0),
        (ToolAgent("files", "read", "mcp"), ToolProviderType.MCP, 0),
        (ToolAgent("id", "report", "workflow", "c"), ToolProviderType.WORKFLOW, None),
    ],
)
def test_only_what_a_workflow_uses_is_unknown(tool: ToolAgent, kind: ToolProviderType, tokens: int | None) -> None:
    tools = Scripted(lambda: [words("x")])

    assert tokens == ask(tools, tool=tool).usage.tokens
    assert (kind, tool.credential_id) == (tools.asked[0][0], tools.asked[0][4])


def test_without_inputs_it_is_not_called() -> None:
    tools = Scripted(lambda: [words("x")])

    reply = ask(tools, inputs=None)

    assert (Outcome.REJECTED, False, []) == (reply.outcome, reply.sent, tools.asked)
    assert "Write which of its parameters gets what" in reply.message


def test_an_error_in_the_middle_is_a_failure_and_the_call_is_left() -> None:
    def script() -> Iterator[Message]:
        yield words("half")
        raise Exception(  # noqa: TRY002 - what the SDK raises
            'read tool response failed: request failed: PluginInvokeError: {"error_type": "ValueError", "message": "no"}'
        )

    tools = Scripted(script)
    reply = ask(tools)

    assert (Outcome.AGENT_FAILED, True, "") == (reply.outcome, reply.retry_allowed, reply.text)
    assert "search (tool search of acme/web/web) ran and failed: ValueError: no" == reply.message
    assert 1 == tools.left


def test_what_the_daemon_cuts_names_the_setting_and_is_not_tried_again() -> None:
    def script() -> Iterator[Message]:
        yield words("half")
        gevent.sleep(0.3)
        raise Exception("read tool response failed: http: read on closed response body")  # noqa: TRY002 - the SDK's

    reply = ask(Scripted(script), wall_s=0.3)

    assert (Outcome.UNAVAILABLE, False) == (reply.outcome, reply.retry_allowed)
    assert "DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT" in reply.message


def test_a_call_ends_with_its_time() -> None:
    def script() -> Iterator[Message]:
        yield words("a")
        gevent.sleep(60)

    tools = Scripted(script)
    begun = time.monotonic()

    assert Outcome.TIMED_OUT is ask(tools, timeout_s=0.2).outcome
    assert time.monotonic() - begun < 2
    assert 1 == tools.left


def test_a_killed_call_leaves_nothing_behind() -> None:
    def script() -> Iterator[Message]:
        yield words("a")
        gevent.sleep(60)

    tools = Scripted(script)
    greenlet = gevent.spawn(ask, tools)
    gevent.sleep(0.05)
    greenlet.kill(timeout=2)

    assert greenlet.dead
    assert 1 == tools.left


def test_one_that_was_given_up_before_is_not_made() -> None:
    scope = CallScope(5.0)
    scope.cancel()
    tools = Scripted(lambda: [words("x")])

    assert (Outcome.CANCELLED, []) == (ask(tools, scope=scope).outcome, tools.asked)


def test_one_that_speaks_without_end_is_left() -> None:
    def script() -> Iterator[Message]:
        while True:
            yield words("x" * 1_000_000)

    tools = Scripted(script)
    reply = ask(tools)

    assert (Outcome.UNAVAILABLE, False, 1) == (reply.outcome, reply.retry_allowed, tools.left)
    assert f"{MAX_CHARS:,}" in reply.message


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recorded_answer_is_read(version: Version) -> None:
    messages = unframed(inner_api(version)["inner:tool"])
    assert isinstance(messages, list)

    reply = ask(Scripted(lambda: [Message(**message) for message in messages]))

    assert (Outcome.SUCCEEDED, "2026") == (reply.outcome, reply.text)


def test_the_sdks_own_message_type_would_refuse_a_stored_file() -> None:
    """Why messages are read by a type of ours. If the SDK learns it, this fails, and ours can go."""
    with pytest.raises(ValueError, match="binary_link"):
        ToolInvokeMessage.model_validate({"type": "binary_link", "message": {"text": "/files/tools/1.pdf"}})


def test_the_sdk_asks_by_the_method_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the one place that leans on the SDK's insides: its tool calls go through it, with its message type."""
    seen: list[tuple[Any, ...]] = []

    def asked(_self: Any, *arguments: Any) -> Iterator[Any]:
        seen.append(arguments)
        return iter(())

    monkeypatch.setattr("dify_plugin.core.runtime.BackwardsInvocation._backwards_invoke", asked)
    for way in (ToolInvocation(None), WorkspaceTools(None)):
        list(way.invoke(ToolProviderType.BUILT_IN, "acme/web/web", "search", {"q": 1}, "c"))

    payload = {
        "tool_type": "builtin", "provider": "acme/web/web", "tool": "search", "tool_parameters": {"q": 1},
        "credential_id": "c",
    }  # fmt: skip
    assert [(InvokeType.Tool, ToolInvokeMessage, payload), (InvokeType.Tool, Message, payload)] == seen

"""What tools are given and give back, message by message, and what every error's text means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.agents.port import Call, Reply
from ensemble.agents.tool_messages import MAX_CHARS, Messages
from ensemble.agents.tools import judge_tool, parameters_of
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage

FILE = "http://dify/files/tools/0b9c.pdf?timestamp=1&nonce=2&sign=3"


def said(*messages: dict[str, Any]) -> Reply:
    heard = Messages()
    for message in messages:
        heard.take(message)
    return heard.reply("search", Usage(tokens=0))


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "message": {"text": words}, "meta": None}


def variable(name: str, value: Any, *, stream: bool = False) -> dict[str, Any]:
    return {"type": "variable", "message": {"variable_name": name, "variable_value": value, "stream": stream}}


# --- given


@pytest.mark.parametrize(
    ("inputs", "fixed", "given_"),
    [
        (None, {}, None),
        ({}, {}, {}),
        ({"q": "bees", "n": 3, "deep": [True, {"a": 1.5}]}, {}, {"q": "bees", "n": 3, "deep": [True, {"a": 1.5}]}),
        (None, {"q": "x"}, {"q": "x"}),
        ({"q": "bees"}, {"q": "x", "lang": "en"}, {"q": "bees", "lang": "en"}),
        ({"q": "bees", "page": None}, {}, {"q": "bees"}),
    ],
)
def test_parameters_keep_their_types(inputs: Any, fixed: Any, given_: Any) -> None:
    assert given_ == parameters_of(Call(query="task", inputs=inputs, fixed_inputs=fixed))


# --- gives back


def test_texts_are_joined() -> None:
    reply = said(text("Hel"), text("lo"))

    assert (Outcome.SUCCEEDED, "Hello", {"text": "Hello"}) == (reply.outcome, reply.text, reply.data)
    assert () == reply.warnings


def test_json_is_always_a_list_and_speaks_where_there_is_no_text() -> None:
    one = {"type": "json", "message": {"json_object": {"a": 1}}}
    two = {"type": "json", "message": {"json_object": [2]}}

    assert ('{"a": 1}', {"json": [{"a": 1}]}) == (said(one).text, said(one).data)
    assert '[{"a": 1}, [2]]' == said(one, two).text
    assert "words" == said(one, text("words")).text


def test_every_variable_is_kept_by_its_name_and_pieces_are_put_together() -> None:
    reply = said(
        variable("answer", "Be", stream=True),
        variable("score", 3),
        variable("answer", "es", stream=True),
        variable("score", {"v": 4}),
        variable("confidence", 0.5),
        variable("nothing", None),
    )

    assert {"answer": "Bees", "score": {"v": 4}, "confidence": 0.5, "nothing": None} == reply.data
    assert ("Bees", 0.5) == (reply.text, reply.confidence)


def test_a_variable_that_takes_the_name_of_what_was_sent_as_such_is_left_out_with_a_warning() -> None:
    reply = said(text("words"), variable("text", "other"), variable("json", [1]))

    assert {"text": "words", "json": [1]} == reply.data
    assert ("The tool's variable text is left out: text is what it sent as such.",) == reply.warnings


def test_stored_files_are_addresses() -> None:
    reply = said(
        {
            "type": "binary_link",
            "message": {"text": FILE},
            "meta": {"mime_type": "application/pdf", "filename": "a.pdf"},
        },
        {"type": "image_link", "message": {"text": "/files/tools/77.png"}, "meta": {}},
        {"type": "image", "message": {"text": "http://elsewhere/x.png"}, "meta": None},
        {
            "type": "file",
            "message": {"file_marker": "file_marker"},
            "meta": {
                "file": {"type": "audio", "transfer_method": "tool_file", "related_id": "9", "tenant_id": "secret"}
            },
        },
    )

    assert [
        {
            "type": "document", "transfer_method": "tool_file", "url": FILE, "related_id": "0b9c", "filename": "a.pdf",
            "mime_type": "application/pdf",
        },
        {"type": "image", "transfer_method": "tool_file", "url": "/files/tools/77.png", "related_id": "77"},
        {"type": "image", "transfer_method": "remote_url", "url": "http://elsewhere/x.png"},
        {"type": "audio", "transfer_method": "tool_file", "related_id": "9"},
    ] == reply.data["files"]  # fmt: skip
    assert FILE in reply.text


def test_links_and_what_was_cited_are_sources() -> None:
    cited = {"dataset_name": "docs", "content": "…"}
    reply = said(
        {"type": "link", "message": {"text": "http://a"}},
        {"type": "retriever_resources", "message": {"retriever_resources": [cited], "context": "found"}},
    )

    assert (cited, {"url": "http://a"}) == reply.sources
    assert ({"links": ["http://a"], "context": "found"}, "found") == (reply.data, reply.text)


def test_contents_of_files_are_never_kept() -> None:
    heard = Messages()
    for _ in range(100):
        heard.take({"type": "blob_chunk", "message": {"id": "1", "blob": "A" * MAX_CHARS}})
    reply = heard.reply("search", Usage())

    assert not heard.too_long
    assert ({}, "") == (reply.data, reply.text)
    assert ("search sent 100 pieces of files that Dify had not stored; they are not kept.",) == reply.warnings


@pytest.mark.parametrize(
    "message",
    [
        text("x" * (MAX_CHARS + 1)),
        variable("v", ["x" * (MAX_CHARS + 1)]),
        {"type": "json", "message": {"json_object": {"a": "x" * (MAX_CHARS + 1)}}},
    ],
)
def test_what_is_kept_has_a_bound(message: dict[str, Any]) -> None:
    heard = Messages()
    heard.take(text("before"))
    heard.take(message)

    assert heard.too_long
    assert "before" == heard.reply("search", Usage()).text


def test_empty_messages_come_to_an_end_too() -> None:
    heard = Messages()
    for _ in range(MAX_CHARS // 64 + 1):
        heard.take(text(""))

    assert heard.too_long


def test_a_nest_without_end_is_too_long() -> None:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    heard = Messages()
    heard.take(variable("v", nest))

    assert heard.too_long


def test_silence_and_kinds_nobody_knows_are_said() -> None:
    assert ("search ended without a word.",) == said().warnings
    odd: dict[str, Any] = {"type": "hologram", "message": {"x": 1}}
    reply = said(odd, {"type": "text", "message": None}, {"type": "log", "message": {"label": "thinking"}}, text("ok"))
    assert ("ok", ("search sent messages that could not be read: hologram, text.",)) == (reply.text, reply.warnings)


ANY_JSON = st.sampled_from(
    [None, True, 7, 0.5, "", "name", "sources", "text", [], ["a", None], {}, {"text": {"file": 1}}]
)
KINDS = st.sampled_from(
    ["text", "json", "variable", "link", "image", "image_link", "binary_link", "file", "blob", "blob_chunk", "log",
     "retriever_resources", "odd"]
)  # fmt: skip
BODIES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("text", "json_object", "variable_name", "variable_value", "stream", "retriever_resources", "context"), ANY_JSON
    ),
)


@given(
    st.lists(
        st.fixed_dictionaries({"type": KINDS, "message": BODIES | ANY_JSON, "meta": BODIES | ANY_JSON}), max_size=8
    )
)
def test_no_message_breaks_it(messages: list[dict[str, Any]]) -> None:
    """Whatever comes: a reply that is JSON, and the pieces passed on as they came are how its text begins."""
    heard = Messages()
    pieces = "".join(heard.take(message) for message in messages)
    reply = heard.reply("search", Usage(tokens=0))

    assert Outcome.SUCCEEDED is reply.outcome
    assert not pieces or pieces == reply.text
    json.dumps(reply.data)
    json.dumps(list(reply.sources))


# --- failures


def refused(message: str, status: int = 400) -> str:
    body = json.dumps({"code": "invalid_param", "message": message, "status": status})
    return f"invoke tool failed: request failed with status code: {status} and respond with: {body}"


def raised(words: str) -> str:
    return f"read tool response failed: request failed: {words}"


def plugin_error(kind: str, message: str) -> str:
    return raised("PluginInvokeError: " + json.dumps({"args": {"trace": "…"}, "error_type": kind, "message": message}))


@pytest.mark.parametrize(
    ("words", "outcome", "part"),
    [
        ("permission denied, you need to enable tool access in plugin manifest", Outcome.MISCONFIGURED, "Install the plugin"),
        (refused("plugin provider a/b/c not found"), Outcome.MISCONFIGURED, "author/plugin/provider"),
        (refused("builtin tool nope not found"), Outcome.MISCONFIGURED, "author/plugin/provider"),
        (refused("PluginNotFoundError: plugin not found", 500), Outcome.MISCONFIGURED, "installed in this workspace"),
        (refused("no default provider for a/b/c"), Outcome.MISCONFIGURED, "under Tools"),
        (refused("provider has been deleted: 1"), Outcome.MISCONFIGURED, "under Tools"),
        (refused("tool parameter query not found in tool config"), Outcome.REJECTED, "Correct the step's inputs"),
        (refused("Failed to request plugin daemon, url: plugin/x"), Outcome.UNAVAILABLE, "plugin daemon"),
        (refused("Internal Server Error", 500), Outcome.UNAVAILABLE, "500"),
        (refused("The requested URL was not found on the server.", 404), Outcome.MISCONFIGURED, "PLUGIN_DIFY_INNER_API_KEY"),
        (plugin_error("ValueError", "no such city"), Outcome.AGENT_FAILED, "ran and failed: ValueError: no such city"),
        (plugin_error("KeyError", "'user not found'"), Outcome.AGENT_FAILED, "ran and failed"),
        (plugin_error("InvokeRateLimitError", "slow down"), Outcome.THROTTLED, "slow down"),
        (plugin_error("Exception", "429 Too Many Requests"), Outcome.THROTTLED, "429"),
        (plugin_error("ToolProviderCredentialValidationError", "bad key"), Outcome.MISCONFIGURED, "under Tools"),
        (plugin_error("InvokeServerUnavailableError", "down"), Outcome.UNAVAILABLE, "down"),
        (plugin_error("ValueError", "missing required parameter city"), Outcome.REJECTED, "Correct"),
        (raised("PluginInvokeError: {no json"), Outcome.AGENT_FAILED, "ran and failed"),
        (raised("PluginDaemonInternalServerError: killed by timeout"), Outcome.UNAVAILABLE, "could not be reached"),
        (raised("Request to Plugin Daemon Service failed"), Outcome.UNAVAILABLE, "could not be reached"),
        (raised("Request failed with status code 401 and no"), Outcome.MISCONFIGURED, "under Tools"),
        (raised("Request failed with status code 404 and {}"), Outcome.REJECTED, "Correct"),
        (raised("Request failed with status code 429 and {}"), Outcome.THROTTLED, "later"),
        (raised("Request failed with status code 503 and {}"), Outcome.UNAVAILABLE, "503"),
        (raised("[Errno 111] Connection refused"), Outcome.AGENT_FAILED, "ran and failed"),
        (raised(""), Outcome.AGENT_FAILED, "no reason given"),
        ("read tool response failed: http: read on closed response body", Outcome.UNAVAILABLE, "closed"),
        ('invoke tool failed: Post "http://api:5001/inner": dial tcp: refused', Outcome.UNAVAILABLE, "dial tcp"),
        ("invocation exited without response after 250 seconds", Outcome.UNAVAILABLE, "said nothing"),
        ("Failed to parse response: 1 validation error", Outcome.UNAVAILABLE, "Failed to parse"),
        ("", Outcome.UNAVAILABLE, "no reason given"),
    ],
)  # fmt: skip
def test_what_an_error_means(words: str, outcome: Outcome, part: str) -> None:
    verdict = judge_tool(words, "search")

    assert (outcome, outcome in (Outcome.AGENT_FAILED, Outcome.THROTTLED, Outcome.UNAVAILABLE)) == (
        verdict.outcome,
        verdict.retry_allowed,
    )
    assert part in verdict.message
    assert verdict.message.startswith("search")


def test_neither_keys_nor_tracebacks_stand_in_a_message() -> None:
    verdict = judge_tool(plugin_error("ValueError", "bearer abcdefgh12345 was refused"), "search")

    assert "abcdefgh12345" not in verdict.message
    assert "trace" not in verdict.message


@given(st.text())
def test_no_error_text_breaks_it(words: str) -> None:
    for form in (words, refused(words), raised(words), plugin_error("X", words)):
        assert judge_tool(form, "search").message

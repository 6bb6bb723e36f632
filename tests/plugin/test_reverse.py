"""Reverse calls: every recording of the inner API, modes learnt from answers, and streams that go wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gevent
import pytest

from ensemble.agents.discovery import Discovery
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome
from plugin.adapters.reverse import ReverseAgent
from tests.plugin.backwards import Answer, ScriptedApps
from tests.standin.recordings import VERSIONS, Version, inner_api, unframed

APP = "a675a0c4-332f-4255-811e-e0d750b808df"
OK, FAILED, REJECTED, DOWN = Outcome.SUCCEEDED, Outcome.AGENT_FAILED, Outcome.REJECTED, Outcome.UNAVAILABLE
WRONG = Outcome.MISCONFIGURED
TEXT = [{"paragraph": {"variable": "text", "type": "paragraph", "required": True, "max_length": 4096}}]


def agent(apps: ScriptedApps, **options: Any) -> ReverseAgent:
    return ReverseAgent(
        APP, label="market", apps=apps, discovery=options.pop("discovery", Discovery()), host="dify", **options
    )


def call(apps: ScriptedApps, timeout_s: float = 5.0, *, stream: bool | None = None, **options: Any) -> Reply:
    return agent(apps, **options).call(Call(query="do it", stream=stream), CallScope(timeout_s))


@dataclass(frozen=True)
class Row:
    """What a recording means; *words* is the text of a success, or stands in the message of a failure."""

    names: str
    outcome: Outcome
    words: str
    tokens: int | None = None
    only: Version | None = None


ROWS = [
    Row("wf:blocking wf:streaming account-user", OK, "hi", 0),
    Row("cf:blocking cf:streaming", OK, "You said: hey (lang=, turn=", 0),
    Row("wf-fail:blocking wf-fail:streaming", FAILED, "ran and failed: [Errno 111] Connection refused", 0),
    Row("cf-fail:blocking", FAILED, "ran and failed (400 invalid_param: Run failed: [Errno 111]"),
    Row("cf-fail:streaming", FAILED, "ran and failed (400 invalid_param: Run failed: [Errno 111]", 0),
    Row("wf-missing:blocking wf-missing:streaming", REJECTED, "(400 invalid_param: text is required in input form)"),
    Row("cf-noquery", REJECTED, "(400 invalid_param: missing query)"),
    Row("app-unknown info-unknown", REJECTED, "No app of this workspace has this id"),
    Row("badkey nokey", WRONG, "PLUGIN_DIFY_INNER_API_KEY"),
    Row("badtenant", REJECTED, "tenant not found"),
    Row("baduser", REJECTED, "update Dify to 1.9", only="1.7.2"),
    Row("baduser", OK, "hi", 0, "1.14.0"),
    Row("nousr", REJECTED, "Missing required parameter in the JSON body", only="1.7.2"),
    Row("nousr", REJECTED, "Field required", only="1.14.0"),
    Row("badmode", REJECTED, "Input should be 'blocking' or 'streaming'"),
    Row("llm", DOWN, "Dify could not reach its plugin daemon"),
]
NOT_APPS = {"inner:info", "inner:upload-req", "inner:upload-put", "inner:tool", "inner:encrypt"}
CASES = [
    pytest.param(inner_api(version)[f"inner:{name}"], row, "streaming" in name, id=f"{version}-{name}")
    for row in ROWS
    for version in VERSIONS
    if row.only in (None, version)
    for name in row.names.split()
]


@pytest.mark.parametrize(("recording", "row", "streaming"), CASES)
def test_a_recording_is_read_for_what_it_means(recording: Mapping[str, Any], row: Row, streaming: bool) -> None:  # noqa: FBT001 - a table
    reply = call(ScriptedApps(lambda _: unframed(recording)), stream=streaming)

    assert row.outcome is reply.outcome, reply.message
    assert row.words in (reply.text if row.outcome is OK else reply.message)
    assert row.tokens == reply.usage.tokens


@pytest.mark.parametrize("version", VERSIONS)
def test_no_recording_is_left_out(version: Version) -> None:
    named = {f"inner:{name}" for row in ROWS if row.only in (None, version) for name in row.names.split()}

    assert set(inner_api(version)) == named | NOT_APPS


def workflow(text: str = "done", **data: Any) -> dict[str, Any]:
    return {
        "task_id": "t",
        "workflow_run_id": "r",
        "data": {"status": "succeeded", "outputs": {"result": text}, "total_tokens": 7, **data},
    }


def chat(answer: str, mode: str = "advanced-chat") -> dict[str, Any]:
    return {
        "event": "message",
        "mode": mode,
        "answer": answer,
        "conversation_id": "c",
        "metadata": {"usage": {"total_tokens": 3}},
    }


def test_the_first_call_suits_every_mode_and_the_answer_tells_which_it_is() -> None:
    apps = ScriptedApps(lambda _: workflow(), TEXT)
    known = Discovery()

    first = call(apps, discovery=known)
    second = call(apps, discovery=known)

    assert (OK, "done", 7) == (first.outcome, first.text, first.usage.tokens) == (second.outcome, second.text, 7)
    assert [{"text": "do it"}] * 2 == [asked["inputs"] for asked in apps.chat.asked]
    assert ["blocking"] * 2 == [asked["response_mode"] for asked in apps.chat.asked]
    assert apps.fetched == 1


def test_a_workflow_once_known_is_not_asked_without_its_input() -> None:
    """The message lists what it declares; nothing is sent."""
    two = [*TEXT, {"paragraph": {"variable": "tone", "type": "paragraph", "required": True}}]
    apps = ScriptedApps(lambda _: workflow(), two)
    known = Discovery()
    call(apps, discovery=known)

    reply = call(apps, discovery=known)

    assert (REJECTED, False, 1) == (reply.outcome, reply.sent, len(apps.chat.asked))
    assert "tone (paragraph, required)" in reply.message


def test_an_agent_chat_app_is_asked_again_streaming_and_then_at_once() -> None:
    def script(asked: dict[str, Any]) -> Answer:
        if asked["response_mode"] == "blocking":
            body = (
                '{"code": "invalid_param", "message": "Agent Chat App does not support blocking mode", "status": 400}'
            )
            return f"request failed with status code: 400 and respond with: {body}"
        return [
            {"event": "agent_message", "conversation_id": "c", "answer": "Hel"},
            {"event": "agent_message", "conversation_id": "c", "answer": "lo"},
            {"event": "message_end", "conversation_id": "c", "metadata": {"usage": {"total_tokens": 5}}},
        ]

    apps = ScriptedApps(script)
    known = Discovery()

    replies = [call(apps, discovery=known) for _ in range(2)]

    assert [(OK, "Hello", 5)] * 2 == [(reply.outcome, reply.text, reply.usage.tokens) for reply in replies]
    assert ["blocking", "streaming", "streaming"] == [asked["response_mode"] for asked in apps.chat.asked]
    assert apps.chat.left == 2


def test_text_comes_as_it_is_written() -> None:
    pieces: list[str] = []
    events = [
        {"event": "message", "answer": "a", "conversation_id": "c"},
        {"event": "message", "answer": "b"},
        {"event": "message_end"},
    ]

    reply = agent(ScriptedApps(lambda _: events)).call(Call(query="x", stream=True), CallScope(5, pieces.append))

    assert (["a", "b"], "ab", None) == (pieces, reply.text, reply.usage.tokens)


def _then_silence(*events: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from events
    gevent.sleep(60)


HANGING: dict[str, Callable[[], Answer]] = {
    "before the first event": _then_silence,
    "in the middle": lambda: _then_silence({"event": "message", "answer": "a", "conversation_id": "c"}),
}


@pytest.mark.parametrize("where", HANGING)
@pytest.mark.parametrize("stream", [True, False])
def test_a_call_ends_with_its_time(where: str, stream: bool) -> None:  # noqa: FBT001 - a table
    begun = time.monotonic()

    def script(_asked: dict[str, Any]) -> Answer:
        return HANGING[where]() if stream else next(iter(_then_silence()))

    reply = call(ScriptedApps(script), 0.2, stream=stream)

    assert Outcome.TIMED_OUT is reply.outcome
    assert "within 0.2 s" in reply.message
    assert time.monotonic() - begun < 2


def test_a_stream_cut_by_the_daemon_names_the_setting() -> None:
    def cut() -> Iterator[Mapping[str, Any]]:
        yield {"event": "message", "answer": "a", "conversation_id": "c"}
        gevent.sleep(0.12)

    reply = call(ScriptedApps(lambda _: cut()), stream=True, wall_s=0.1)

    assert (DOWN, False) == (reply.outcome, reply.retry_allowed)
    assert "DIFY_BACKWARDS_INVOCATION_READ_TIMEOUT" in reply.message


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("invocation exited without response after 580 seconds", DOWN),
        ("request failed: something broke", DOWN),
        ("request failed: Run failed: node x", FAILED),
        ("request failed: Too many requests. Please try again later.", Outcome.THROTTLED),
        ("permission denied, you need to enable app access in plugin manifest", WRONG),
        ("session not found", DOWN),
        ("No response from chat", DOWN),
        ('request failed with status code: 500 and respond with: {"code":"internal_server_error"}', DOWN),
        ("request failed with status code: 502 and respond with: <html>Bad gateway</html>", DOWN),
        ('request failed with status code: 400 and respond with: {"code":"provider_quota_exceeded"}', WRONG),
    ],
)
def test_every_error_text_has_its_meaning(words: str, outcome: Outcome) -> None:
    assert outcome is call(ScriptedApps(lambda _: words)).outcome


def test_the_end_that_comes_first_counts_and_a_price_behind_it_is_taken() -> None:
    """Dify up to 1.13.0 tells a chatflow's usage behind its end."""
    events: list[dict[str, Any]] = [
        {"event": "message", "conversation_id": "c", "answer": "hi"},
        {
            "event": "workflow_finished",
            "conversation_id": "c",
            "data": {"status": "succeeded", "outputs": {"answer": "hi"}},
        },
        {
            "event": "message_end",
            "conversation_id": "c",
            "metadata": {"usage": {"total_tokens": 9, "total_price": "0.5", "currency": "USD"}},
        },
    ]

    def open_for_long() -> Iterator[Mapping[str, Any]]:
        yield from events[:2]
        gevent.sleep(60)

    assert 9 == call(ScriptedApps(lambda _: events), stream=True).usage.tokens
    begun = time.monotonic()
    reply = call(ScriptedApps(lambda _: open_for_long()), stream=True)
    assert (OK, "hi", None) == (reply.outcome, reply.text, reply.usage.tokens)
    assert time.monotonic() - begun < 3


def test_files_stay_behind_with_a_warning() -> None:
    apps = ScriptedApps(lambda _: chat("ok"))

    reply = agent(apps).call(Call(query="x", files=({"type": "image"},)), CallScope(5))

    assert "given no files" in reply.warnings[0]


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("read app failed: request failed: Run failed: no", FAILED),
        ("invoke app failed: request failed: Too many requests. Please try again later.", Outcome.THROTTLED),
        ("read app failed: unexpected EOF", DOWN),
        ("Run failed: read app failed: no", FAILED),
    ],
)
def test_what_the_daemon_says_it_was_doing_does_not_hide_what_happened(words: str, outcome: Outcome) -> None:
    """Newer daemons put it before Dify's own words."""
    assert outcome is call(ScriptedApps(lambda _: words, TEXT)).outcome

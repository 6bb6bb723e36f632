"""Every recording of a real Dify's Service API is read to the right outcome, text, data, usage and error words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from ensemble.agents.classification import Verdict
from ensemble.agents.port import Reply
from ensemble.agents.reading import read_blocking
from ensemble.agents.stream import StreamReader
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from tests.standin.recordings import VERSIONS, Recording, Version, service_api

OK, FAILED, REJECTED = Outcome.SUCCEEDED, Outcome.AGENT_FAILED, Outcome.REJECTED
DOWN, WRONG = Outcome.UNAVAILABLE, Outcome.MISCONFIGURED

FREE = Usage(tokens=0)
"""A workflow app tells tokens, never a price."""
PRICED = Usage(tokens=0, price=Decimal("0.0"), currency="USD")
"""A chat-like app tells both; these ran without a model, so they are a known zero."""
UNKNOWN = Usage()


@dataclass(frozen=True)
class Row:
    """What one recording means; *words* is the text of a success, or stands in the message of a failure."""

    names: str
    outcome: Outcome
    words: str
    usage: Usage
    only: Version | None = None


HTTP_BODY = '{"path": "/echo", "method": "POST", "q": {}, "body": "{\\"q\\": \\"ping\\"}"}'
HTTP_BODY_14 = '{"path": "/echo", "method": "POST", "q": {}, "body": "{\\"q\\":\\"ping\\"}"}'
LOST = '{"path": "/x", "method": "POST", "q": {"code": "404"}, "body": "{\\"text\\": \\"x\\"}"}'
LOST_14 = '{"path": "/x", "method": "POST", "q": {"code": "404"}, "body": "{\\"text\\":\\"x\\"}"}'
SANDBOX = "ran and failed: Failed to execute code, which is likely a network issue"
NO_DAEMON = "Dify could not reach its plugin daemon (400 invalid_param: Failed to request plugin daemon, url: plugin/"
INVALID = "refused what it was given (400 invalid_param: "
SILENT = "sent nothing but keep-alives and closed the stream"
RETRIED_7, RETRIED_14 = "failed: Reached maximum retries (0) for URL", "failed: Reached maximum retries for URL"

ROWS = [
    # Workflow apps: the text is a well-known output, else the only text; a failed run is HTTP 200.
    Row("wf-trivial:blocking wf-trivial:streaming", OK, "héllo 世界", FREE),
    Row("wf-http:blocking wf-http:streaming", OK, "hi", FREE),
    Row("wf-branch:blocking wf-branch:streaming", OK, "no", FREE),
    Row("wf-partial:blocking wf-partial:streaming", OK, "fallback", FREE),
    Row("wf-tool:blocking wf-tool:streaming", OK, "2026", FREE),
    Row("wf-500ok:blocking wf-500ok:streaming", OK, LOST, FREE, "1.7.2"),
    Row("wf-500ok:blocking wf-500ok:streaming", OK, LOST_14, FREE, "1.14.0"),
    Row("wf-files:blocking wf-files:streaming wf-files:remote", OK, "t", FREE),
    Row("wf-no-response_mode run-by-id ok-extra-input num-as-string", OK, "x", FREE),
    Row("ok-emptystring", OK, "", FREE),
    Row("wf-fail:blocking wf-fail:streaming", FAILED, "ran and failed: [Errno 111] Connection refused", FREE),
    Row("wf-retryfail:blocking wf-retryfail:streaming", FAILED, RETRIED_7, FREE, "1.7.2"),
    Row("wf-retryfail:blocking wf-retryfail:streaming", FAILED, RETRIED_14, FREE, "1.14.0"),
    Row("wf-template:blocking wf-template:streaming", FAILED, SANDBOX, FREE),
    Row("wf-llm:blocking wf-llm:streaming", FAILED, "ran and failed: Failed to request plugin daemon", FREE, "1.7.2"),
    Row("wf-llm:blocking wf-llm:streaming", DOWN, NO_DAEMON, UNKNOWN, "1.14.0"),
    # Chatflows: a failed run is 400 "Run failed: …" when blocking, and has the same outcome when streaming.
    Row("cf-echo:blocking cf-echo:streaming", OK, "You said: hello there (lang=en, turn=0)", PRICED, "1.7.2"),
    Row("cf-echo:blocking cf-echo:streaming", OK, "You said: hello there (lang=en, turn=1)", PRICED, "1.14.0"),
    Row("cf-http:blocking cf-http:streaming", OK, f"HTTP said 200:\n{HTTP_BODY}", PRICED, "1.7.2"),
    Row("cf-http:blocking cf-http:streaming", OK, f"HTTP said 200:\n{HTTP_BODY_14}", PRICED, "1.14.0"),
    Row("cf-turn1", OK, "You said: one (lang=, turn=0)", PRICED, "1.7.2"),
    Row("cf-turn1", OK, "You said: one (lang=, turn=1)", PRICED, "1.14.0"),
    Row("cf-turn2", OK, "You said: two (lang=, turn=2)", PRICED, "1.7.2"),
    Row("cf-turn2", OK, "You said: two (lang=, turn=3)", PRICED, "1.14.0"),
    Row("cf-turn3-stream", OK, "You said: three (lang=, turn=3)", PRICED, "1.7.2"),
    Row("cf-turn3-stream", OK, "You said: three (lang=, turn=4)", PRICED, "1.14.0"),
    Row("cf-empty-conv", OK, "You said: x (lang=, turn=0)", PRICED, "1.7.2"),
    Row("cf-empty-conv", OK, "You said: x (lang=, turn=1)", PRICED, "1.14.0"),
    Row("cf-fail:blocking", FAILED, "ran and failed (400 invalid_param: Run failed: [Errno 111]", UNKNOWN),
    Row("cf-fail:streaming", FAILED, "ran and failed (400 invalid_param: Run failed: [Errno 111]", FREE),
    Row("cf-other-user-conv cf-unknown-conv", REJECTED, "(404 not_found: Conversation Not Exists.", UNKNOWN),
    Row("cf-bad-conv", REJECTED, f"{INVALID}not-a-uuid is not a valid uuid. (conversation_id)", UNKNOWN, "1.7.2"),
    Row("cf-bad-conv", REJECTED, "conversation_id must be a valid UUID", UNKNOWN, "1.14.0"),
    Row("cf-empty-query", REJECTED, f"{INVALID}query is required", UNKNOWN),
    Row("cf-no-query", REJECTED, "Missing required parameter in the JSON body (query)", UNKNOWN, "1.7.2"),
    Row("cf-no-query", REJECTED, "ChatRequestPayload query Field required", UNKNOWN, "1.14.0"),
    # Apps without a graph, on a Dify without a plugin daemon.
    Row("basic-chat:blocking basic-chat:streaming", DOWN, NO_DAEMON, UNKNOWN),
    Row("basic-completion:blocking basic-completion:streaming basic-agent:streaming", DOWN, NO_DAEMON, UNKNOWN),
    Row("basic-agent:blocking", REJECTED, "answers in streaming mode only", UNKNOWN),
    # Inputs an app refuses; since 1.13 a streaming call hides that behind 300 s of silence.
    Row("wf-missing-input:blocking", REJECTED, f"{INVALID}text is required in input form", UNKNOWN),
    Row("wf-missing-input:streaming", REJECTED, f"{INVALID}text is required in input form", UNKNOWN, "1.7.2"),
    Row("wf-missing-input:streaming", DOWN, SILENT, UNKNOWN, "1.14.0"),
    Row("cf-req-missing:blocking", REJECTED, f"{INVALID}lang is required in input form", UNKNOWN),
    Row("cf-req-missing:streaming", REJECTED, f"{INVALID}lang is required in input form", UNKNOWN, "1.7.2"),
    Row("cf-req-missing:streaming", DOWN, SILENT, UNKNOWN, "1.14.0"),
    Row("wf-files:other-user", OK, "t", FREE, "1.7.2"),
    Row("wf-files:other-user", REJECTED, f"{INVALID}Invalid upload file", UNKNOWN, "1.14.0"),
    Row("wf-files:bad-id", REJECTED, f"{INVALID}Invalid upload file", UNKNOWN),
    Row("wf-files:wrong-type", REJECTED, f"{INVALID}Detected file type does not match", UNKNOWN),
    Row("wf-files:missing", REJECTED, f"{INVALID}doc is required in input form", UNKNOWN),
    Row("err-wrongtype", REJECTED, f"{INVALID}(type 'paragraph') text in input form must be a string", UNKNOWN),
    Row("err-wrongtype-stream", REJECTED, "(type 'paragraph') text in input form must be a string", UNKNOWN, "1.7.2"),
    Row("err-wrongtype-stream", DOWN, SILENT, UNKNOWN, "1.14.0"),
    Row("err-badselect", REJECTED, "kind in input form must be one of the following: ['a', 'b']", UNKNOWN),
    Row("err-badnumber", REJECTED, "n in input form must be a valid number", UNKNOWN),
    Row("err-toolong", REJECTED, "short in input form must be less than 8 characters", UNKNOWN),
    Row("err-nouser", REJECTED, f"{INVALID}Arg user must be provided.", UNKNOWN),
    # Malformed requests; bodies without a status (1.7.2), or with pydantic's words (1.14.0).
    Row("err-noinputs", REJECTED, "Missing required parameter in the JSON body (inputs)", UNKNOWN, "1.7.2"),
    Row("err-nullinputs", REJECTED, "Must not be null! (inputs)", UNKNOWN, "1.7.2"),
    Row("err-listinputs", REJECTED, "dictionary update sequence element #0", UNKNOWN, "1.7.2"),
    Row("err-badmode", REJECTED, "nope is not a valid choice (response_mode)", UNKNOWN, "1.7.2"),
    Row("err-noinputs", REJECTED, "WorkflowRunPayload inputs Field required", UNKNOWN, "1.14.0"),
    Row("err-nullinputs err-listinputs", REJECTED, "inputs Input should be a valid dictionary", UNKNOWN, "1.14.0"),
    Row("err-badmode", REJECTED, "Input should be 'blocking' or 'streaming'", UNKNOWN, "1.14.0"),
    Row("err-nojson err-emptybody", REJECTED, "(400 bad_request: The browser (or proxy) sent", UNKNOWN),
    Row("err-noct", REJECTED, "(415 unsupported_media_type: Did not attempt to load JSON", UNKNOWN),
    Row("run-by-unknown-id", REJECTED, "(404 not_found: Workflow not found with id", UNKNOWN),
    Row("run-by-bad-id", REJECTED, "(400 bad_request: Invalid workflow_id format: 'zzz'", UNKNOWN),
    # Keys and kinds of apps.
    Row("err-badkey err-badkey-stream", WRONG, "(401 unauthorized: Access token is invalid)", UNKNOWN),
    Row("err-noauth err-nobearer", WRONG, "(401 unauthorized: Authorization header must be provided", UNKNOWN),
    Row("err-basic", WRONG, "(401 unauthorized: Authorization scheme must be 'Bearer')", UNKNOWN),
    Row("err-wf-on-chat", WRONG, "(400 not_workflow_app: Please check if your app mode", UNKNOWN),
    Row("err-chat-on-wf", WRONG, "(400 not_chat_app: Please check if your app mode", UNKNOWN),
    Row("err-completion-on-wf", WRONG, "(400 app_unavailable: App unavailable", UNKNOWN),
    # Slow and stopped runs; before 1.14 another user's stop had no effect.
    Row("wf-slow-stream-23s", OK, '{"path": "/slow", "method": "POST", "q": {"ms": "23000"}', FREE),
    Row("stop-wf stop-cf", FAILED, "was stopped in Dify before it was done (Stopped by user.)", FREE, "1.7.2"),
    Row("stop-wf stop-cf", FAILED, "was stopped in Dify before it was done (Aborted: User requested", FREE, "1.14.0"),
    Row("stop-wf-otheruser", OK, '{"path": "/slow", "method": "POST", "q": {"ms": "8000"}', FREE, "1.7.2"),
    Row("stop-wf-otheruser", FAILED, "was stopped in Dify before it was done (Stopped by user.)", FREE, "1.14.0"),
]

NOT_RUNS = frozenset(
    [
        "wf-http:info",
        "cf-echo:info",
        "wf-http:parameters",
        "cf-echo:parameters",
        "wf-files:parameters",
        "params-with-user",
        "wf-http:meta",
        "cf-echo:meta",
        "wf-http:site",
        "cf-echo:site",
        "version-probe",
        "messages",
        "conversations",
        "conv-rename",
        "conv-delete",
        "feedback",
        "suggested",
        "run-detail",
        "run-detail-failed",
        "run-detail-unknown",
        "run-detail-badid",
        "logs",
        "upload",
        "upload-nofile",
        "upload-nouser",
        "upload-badext",
        "upload-toolarge",
        "err-get",
        "err-404",
        "stop-wf:stopcall",
        "stop-cf:stopcall",
        "stop-wf-otheruser:stopcall",
        "stop-unknown",
    ]
)
"""Recordings of something other than running an app."""

CASES = [
    pytest.param(service_api(version)[name], row, id=f"{version}-{name}")
    for row in ROWS
    for version in VERSIONS
    if row.only in (None, version)
    for name in row.names.split()
]


def read(recording: Recording) -> tuple[Reply, Verdict | None]:
    if recording.chunks:
        reader = StreamReader("market (dify.test)")
        # Chunks of the recordings made with a stop are lines without their ends.
        reader.feed("".join(text if recording.status else f"{text}\n" for _, text in recording.chunks).encode())
        return reader.end(), reader.verdict
    assert recording.status is not None
    body = recording.body if isinstance(recording.body, str) else json.dumps(recording.body)
    return read_blocking(recording.status, recording.headers, body.encode(), "market (dify.test)")


def outputs(recording: Recording, text: str) -> dict[str, Any]:
    """The run's outputs as they stand in the recording, by another way than the reader's."""
    if not recording.chunks:
        body: dict[str, Any] = recording.body
        return {"answer": text} if "answer" in body else body["data"]["outputs"]
    found = next(event["data"]["outputs"] for event in recording.events if event["event"] == "workflow_finished")
    return {name: value for name, value in found.items() if (name, value) != ("files", [])}


@pytest.mark.parametrize(("recording", "row"), CASES)
def test_a_recording_is_read_for_what_it_means(recording: Recording, row: Row) -> None:
    reply, verdict = read(recording)

    assert (row.outcome, row.usage) == (reply.outcome, reply.usage)
    if row.outcome is OK:
        whole = reply.text[: len(row.words)] if "wf-slow" in recording.name or "stop-" in recording.name else reply.text
        assert (row.words, outputs(recording, reply.text)) == (whole, reply.data)
        assert (None, "") == (verdict, reply.message)
        assert reply.remote is not None
        assert reply.remote.task_id
    else:
        assert verdict is not None
        assert row.words in reply.message
        assert reply.message.startswith("market (dify.test)")
        assert ("", {}) == (reply.text, reply.data)
        assert reply.retry_allowed is (row.outcome in (FAILED, DOWN))


@pytest.mark.parametrize("version", VERSIONS)
def test_no_recording_is_left_out_of_the_table(version: Version) -> None:
    rows = [name for row in ROWS if row.only in (None, version) for name in row.names.split()]

    assert len(set(rows)) == len(rows)
    assert set(service_api(version)) - NOT_RUNS == set(rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_only_the_app_that_cannot_block_asks_for_streaming(version: Version) -> None:
    asking = {
        recording.name
        for recording in service_api(version).values()
        if recording.name not in NOT_RUNS and (verdict := read(recording)[1]) is not None and verdict.needs_streaming
    }

    assert asking == {"basic-agent:blocking"}

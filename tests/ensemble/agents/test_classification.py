"""Every way Dify or the network can say no has one outcome, and words that tell a builder what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from ensemble.agents.classification import judge_event, judge_response, judge_status, quote, retry_after_s
from ensemble.contract.outcomes import Outcome

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HTML = b"<!doctype html><html><style>b{}</style><title>502 Bad Gateway</title><h1>nginx</h1></html>"


def error(code: str, message: str) -> bytes:
    return json.dumps({"code": code, "message": message, "status": 400}).encode()


def invalid(message: str) -> bytes:
    return error("invalid_param", message)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "words"),
    [
        (400, invalid("Run failed: [Errno 111] Connection refused"), Outcome.AGENT_FAILED, "ran and failed"),
        (400, error("completion_request_error", "[openai] Server Error"), Outcome.AGENT_FAILED, "ran and failed"),
        (400, invalid("Too many requests. Please try again later. The current maximum"), Outcome.THROTTLED, "limit"),
        (400, invalid("Run failed: [openai] Rate Limit Error, Error code: 429"), Outcome.THROTTLED, "limit"),
        (400, error("completion_request_error", "[x] RateLimitError: TPM"), Outcome.THROTTLED, "limit"),
        (400, error("completion_request_error", "HTTP 429 from upstream"), Outcome.THROTTLED, "limit"),
        (400, invalid("Run failed: node 429 not found"), Outcome.AGENT_FAILED, "ran and failed"),
        (
            400,
            invalid("rate_limit in input form must be a valid number"),
            Outcome.REJECTED,
            "Correct the step's inputs",
        ),
        (400, invalid("Failed to request plugin daemon, url: x"), Outcome.UNAVAILABLE, "plugin daemon"),
        (400, invalid("Workflow not published"), Outcome.MISCONFIGURED, "Publish the app"),
        (400, error("provider_not_initialize", "no"), Outcome.MISCONFIGURED, "Set up the model provider"),
        (400, error("provider_quota_exceeded", "no"), Outcome.MISCONFIGURED, "quota"),
        (400, error("model_currently_not_support", "no"), Outcome.MISCONFIGURED, "another model"),
        (400, error("app_unavailable", "no"), Outcome.MISCONFIGURED, "publish"),
        (400, error("not_chat_app", "no"), Outcome.MISCONFIGURED, "another kind"),
        (400, error("not_workflow_app", "no"), Outcome.MISCONFIGURED, "another kind"),
        (400, error("not_completion_app", "no"), Outcome.MISCONFIGURED, "another kind"),
        (400, invalid("Max workflow call depth 5 reached."), Outcome.REJECTED, "refused"),
        (400, error("conversation_completed", "over"), Outcome.REJECTED, "refused"),
        (
            400,
            b'{"message": "Input payload validation failed", "errors": {"query": "missing"}}',
            Outcome.REJECTED,
            "query",
        ),
        (400, b'{"message": {"query": "missing"}}', Outcome.REJECTED, "missing"),
        (400, b"{}", Outcome.REJECTED, "no reason given"),
        (407, HTML, Outcome.MISCONFIGURED, "Proxy URL"),
        (407, error("unknown", "no"), Outcome.MISCONFIGURED, "Proxy URL"),
        (400, HTML, Outcome.UNAVAILABLE, "ends in /v1"),
        (400, b"", Outcome.UNAVAILABLE, "400, no content type"),
        (400, b"[1]", Outcome.UNAVAILABLE, "did not answer as Dify does"),
        (401, error("unauthorized", "Access token is invalid"), Outcome.MISCONFIGURED, "new key"),
        (401, HTML, Outcome.MISCONFIGURED, "new key"),
        (403, error("forbidden", "The app's API service has been disabled."), Outcome.MISCONFIGURED, "Switch on"),
        (404, error("not_found", "Conversation Not Exists."), Outcome.REJECTED, "begin a new one"),
        (404, HTML, Outcome.UNAVAILABLE, "ends in /v1"),
        (405, error("method_not_allowed", "no"), Outcome.REJECTED, "refused"),
        (413, error("file_too_large", "File size exceeded. {message}"), Outcome.REJECTED, "Send less"),
        (413, HTML, Outcome.REJECTED, "Send less"),
        (415, error("unsupported_media_type", "no"), Outcome.REJECTED, "refused"),
        (429, error("rate_limit_error", "slow down"), Outcome.THROTTLED, "later"),
        (429, HTML, Outcome.THROTTLED, "later"),
        (302, b"", Outcome.MISCONFIGURED, "Redirects are not followed"),
        (500, b'{"message": "Internal Server Error", "code": "unknown"}', Outcome.UNAVAILABLE, "not working"),
        (502, HTML, Outcome.UNAVAILABLE, "502 Bad Gateway nginx"),
        (503, b"", Outcome.UNAVAILABLE, "503"),
        (504, b"upstream timed out", Outcome.UNAVAILABLE, "upstream timed out"),
        (200, HTML, Outcome.UNAVAILABLE, "ends in /v1"),
        (200, b'{"hello": 1}', Outcome.UNAVAILABLE, "did not answer as Dify does"),
        (201, b"{}", Outcome.UNAVAILABLE, "did not answer as Dify does"),
        (200, b"\xff\xfe", Outcome.UNAVAILABLE, "did not answer as Dify does"),
    ],
)
def test_an_answer_without_result_has_one_outcome(status: int, body: bytes, outcome: Outcome, words: str) -> None:
    verdict = judge_response(status, {}, body, "market (dify.test)", NOW)

    assert outcome == verdict.outcome
    assert words in verdict.message
    assert verdict.message.startswith("market (dify.test)")
    assert verdict.retry_allowed is (outcome in {Outcome.AGENT_FAILED, Outcome.THROTTLED, Outcome.UNAVAILABLE})
    assert not verdict.needs_streaming


def test_an_app_that_cannot_block_was_not_called() -> None:
    assert judge_response(400, {}, invalid("Agent Chat App does not support blocking mode"), "x").needs_streaming


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ({"code": "invalid_param", "status": 400, "message": "Run failed: no"}, Outcome.AGENT_FAILED),
        ({"code": "internal_server_error", "status": 500, "message": "oops"}, Outcome.UNAVAILABLE),
        ({"code": "internal_server_error", "message": "oops"}, Outcome.UNAVAILABLE),
        ({"code": "completion_request_error", "message": "rate limit"}, Outcome.THROTTLED),
        ({"message": "x", "status": 500}, Outcome.UNAVAILABLE),
        ({"message": "lang is required in input form", "status": 400}, Outcome.REJECTED),
        ({"message": "x", "status": True}, Outcome.UNAVAILABLE),
        ({}, Outcome.UNAVAILABLE),
    ],
)
def test_an_error_event_is_judged_as_an_http_answer(event: dict[str, object], outcome: Outcome) -> None:
    assert outcome == judge_event(event, "market").outcome


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        ("succeeded", "", None),
        ("partial-succeeded", "", None),
        ("failed", "boom", Outcome.AGENT_FAILED),
        ("failed", "Aborted: User requested stop", Outcome.AGENT_FAILED),
        ("stopped", "Stopped by user.", Outcome.AGENT_FAILED),
        ("paused", "", Outcome.INPUT_REQUIRED),
        ("running", "", Outcome.UNAVAILABLE),
        ("", "", Outcome.UNAVAILABLE),
    ],
)
def test_a_run_ends_as_its_status_says(status: str, error: str, outcome: Outcome | None) -> None:
    verdict = judge_status(status, error, "market")

    assert outcome == (verdict.outcome if verdict is not None else None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("999999", 3600.0),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("-3", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert seconds == retry_after_s({"retry-AFTER": value}, NOW)
    assert seconds == judge_response(429, {"Retry-After": value}, b"{}", "market", NOW).retry_after_s
    assert seconds == judge_response(503, {"Retry-After": value}, HTML, "market", NOW).retry_after_s


def test_a_redirect_names_where_it_leads() -> None:
    verdict = judge_response(301, {"Location": "https://b.test/v1/info?token=x"}, b"", "market")

    assert "to https://b.test/v1/info." in verdict.message


def test_keys_in_somebody_elses_words_are_taken_out() -> None:
    words = quote("Bearer app-abcdefgh12345678 and sk-proj-abcdefgh1234 said\n no")

    assert words == "[key] and [key] said no"


def test_long_words_are_cut() -> None:
    assert len(judge_response(400, {}, invalid("y" * 100_000), "market").message) < 1000

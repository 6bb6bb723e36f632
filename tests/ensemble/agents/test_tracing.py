"""The trace goes out in headers and comes back out of them, whoever wrote them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.agents.tracing import trace_headers, trace_of
from ensemble.contract.tracing import w3c_trace_id

HEX = "0af7651916cd43dd8448eb211c80319c"
TRACE_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)


@given(TRACE_IDS)
def test_what_is_handed_on_is_found_again(trace_id: str) -> None:
    headers = trace_headers(trace_id)

    assert trace_id == trace_of(headers)
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", headers["traceparent"])


@given(TRACE_IDS, st.from_regex(r"[0-9a-f]{16}", fullmatch=True).filter(lambda each: each.strip("0")))
def test_a_call_hangs_below_the_span_it_is_made_in(trace_id: str, span_id: str) -> None:
    assert trace_headers(trace_id, span_id)["traceparent"] == f"00-{w3c_trace_id(trace_id)}-{span_id}-01"


@pytest.mark.parametrize("span_id", ["0" * 16, "what", "AB" * 8, "ab" * 8 + "\r\n"])
def test_a_span_that_is_none_is_not_handed_on(span_id: str) -> None:
    parent = trace_headers(HEX, span_id)["traceparent"].split("-")[2]

    assert re.fullmatch("[0-9a-f]{16}", parent)
    assert parent != span_id


@given(TRACE_IDS)
def test_two_calls_of_one_trace_are_told_apart_but_belong_together(trace_id: str) -> None:
    one, other = trace_headers(trace_id)["traceparent"], trace_headers(trace_id)["traceparent"]

    assert one[:36] == other[:36]
    assert one != other


@pytest.mark.parametrize(
    ("headers", "trace_id"),
    [
        ({"X-Trace-Id": "ticket-7"}, "ticket-7"),
        ({"x-trace-id": " ticket-7 "}, "ticket-7"),
        ({"Traceparent": f"00-{HEX}-b7ad6b7169203331-01"}, HEX),
        ({"X-Trace-Id": "ticket-7", "traceparent": f"00-{HEX}-b7ad6b7169203331-01"}, "ticket-7"),
        ({"X-Trace-Id": "no\r\nheader", "traceparent": f"00-{HEX}-b7ad6b7169203331-01"}, HEX),
        ({"traceparent": f"cc-{HEX}-b7ad6b7169203331-01-more"}, HEX),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, ""),
        ({"traceparent": f"00-{HEX.upper()}-b7ad6b7169203331-01"}, ""),
        ({"traceparent": "what"}, ""),
        ({"X-Trace-Id": "x" * 129}, ""),
        ({}, ""),
    ],
)
def test_the_trace_of_a_request(headers: dict[str, str], trace_id: str) -> None:
    assert trace_id == trace_of(headers)


@pytest.mark.parametrize("trace_id", ["", "a b", "x" * 129, "é"])
def test_an_unusable_id_goes_nowhere(trace_id: str) -> None:
    assert {} == trace_headers(trace_id)

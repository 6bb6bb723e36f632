"""Ids of traces and spans: the same for everybody who makes them, such as W3C allows, and never one for two things."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract import tracing
from ensemble.contract.tracing import attempt_span, run_span, step_span, w3c_trace_id

HEX_IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
TRACE_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
STEPS = st.text(min_size=1, max_size=40)
SPAN = re.compile(r"(?!0{16})[0-9a-f]{16}")


@given(HEX_IDS.filter(lambda each: each.strip("0")))
def test_a_trace_that_w3c_knows_keeps_its_id(trace_id: str) -> None:
    assert w3c_trace_id(trace_id) == trace_id


@given(TRACE_IDS.filter(lambda each: not re.fullmatch("[0-9a-f]{32}", each)))
def test_any_other_is_known_by_the_head_of_its_hash(trace_id: str) -> None:
    assert w3c_trace_id(trace_id) == sha256(trace_id.encode()).digest()[:16].hex()


def test_a_trace_of_zeros_is_none_to_w3c() -> None:
    assert w3c_trace_id("0" * 32) == sha256(b"0" * 32).hexdigest()[:32]


@given(st.integers(0, 2**128 - 2))
def test_attempts_are_told_apart_though_their_tickets_were_counted(number: int) -> None:
    """Or begin with the time, as some do."""
    one, next_one = attempt_span(f"{number:032x}"), attempt_span(f"{number + 1:032x}")

    assert SPAN.fullmatch(one)
    assert one != next_one


@given(HEX_IDS, st.integers(1, 9), STEPS)
def test_runs_epochs_and_steps_are_told_apart(run_id: str, epoch: int, step: str) -> None:
    ids = [
        attempt_span(run_id),
        run_span(run_id, epoch),
        run_span(run_id, epoch + 1),
        step_span(run_id, epoch, step),
        step_span(run_id, epoch + 1, step),
        step_span(run_id, epoch, f"{step}/part"),
    ]

    assert all(SPAN.fullmatch(each) for each in ids)
    assert len(set(ids)) == len(ids)


def test_a_hash_of_zeros_is_hashed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody will ever see one; it must not be the day on which a trace has no root."""
    zeros_first = iter(["0" * 64, "ab" * 32])

    class Hash:
        def hexdigest(self) -> str:
            return next(zeros_first)

    monkeypatch.setattr(tracing, "sha256", lambda _: Hash())

    assert run_span("0" * 32, 1) == "ab" * 8

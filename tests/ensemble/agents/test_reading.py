"""Text, usage and ids are taken as an app gave them; what it did not tell stays unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ensemble.agents.reading import read_blocking, read_usage, remote_of
from ensemble.contract.answers import text_of
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"report": "r", "output": "o", "text": "t", "result": "s", "answer": "a"}, "a"),
        ({"report": "r", "output": "o"}, "o"),
        ({"result": {"score": 1}, "text": "t"}, "t"),
        ({"result": {"scöre": 1}, "note": "n"}, '{"scöre": 1}'),
        ({"result": None, "note": "n", "count": 3}, "n"),
        ({"a": "x", "b": "y"}, '{"a": "x", "b": "y"}'),
        ({"count": 3}, '{"count": 3}'),
        ({"answer": ""}, ""),
        ({}, ""),
    ],
)
def test_the_text_of_a_workflow_is_a_known_name_or_the_only_text_or_everything(
    outputs: dict[str, Any], text: str
) -> None:
    assert text == text_of(outputs)


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        (None, Usage()),
        ({}, Usage()),
        (
            {"total_tokens": 0, "total_price": "0.0", "currency": "USD"},
            Usage(tokens=0, price=Decimal(0), currency="USD"),
        ),
        ({"total_tokens": 5, "total_price": None, "currency": "USD"}, Usage(tokens=5)),
        ({"total_tokens": 5, "total_price": 0.25}, Usage(tokens=5, price=Decimal("0.25"))),
        ({"total_tokens": True, "total_price": "NaN"}, Usage()),
        ({"total_tokens": -1, "total_price": "-1"}, Usage()),
        ({"total_tokens": "5", "total_price": "1e999999", "currency": "USD"}, Usage()),
        ({"total_tokens": 1, "total_price": "1", "currency": "far too long"}, Usage(tokens=1, price=Decimal(1))),
    ],
)
def test_unknown_usage_is_not_zero_and_a_reported_zero_is_known(told: Any, usage: Usage) -> None:
    assert usage == read_usage(told)


@pytest.mark.parametrize("value", [-0.1, 1.5, "high", True, None])
def test_a_confidence_is_a_number_from_0_to_1(value: Any) -> None:
    body = f'{{"data": {{"status": "succeeded", "outputs": {{"confidence": {value!r}}}}}}}'.replace("'", '"')
    reply, _ = read_blocking(200, {}, body.replace("True", "true").replace("None", "null").encode(), "market")

    assert reply.outcome is Outcome.SUCCEEDED
    assert reply.confidence is None


def test_numbers_json_does_not_know_become_null() -> None:
    body = b'{"data": {"status": "succeeded", "outputs": {"a": NaN, "b": Infinity, "confidence": 1}}}'
    reply, _ = read_blocking(200, {}, body, "market")

    assert ({"a": None, "b": None, "confidence": 1}, 1.0) == (reply.data, reply.confidence)


def test_no_ids_are_no_remote_and_odd_ones_are_left_out() -> None:
    assert remote_of({}, {"task_id": 5, "message_id": "", "workflow_run_id": "x" * 200}) is None
    remote = remote_of({"task_id": None}, {"task_id": "t"}, {"task_id": "u"})

    assert remote is not None
    assert remote.task_id == "t"

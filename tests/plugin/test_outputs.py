"""What a workflow reads of a run: text and variables, and what a failed node says."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from ensemble.contract.outcomes import RunStatus
from ensemble.contract.plain import plain
from ensemble.contract.results import Usage
from plugin.failing import hard_failure
from plugin.outputs import VARIABLES, answer_text, result_entry, usage_entry, variables
from tests.plugin.reports import BAD, GOOD, SKIPPED, a_report


def test_a_result_has_all_its_fields() -> None:
    """The price is text with all its digits, never in powers of ten; what the agent gave is passed on as it is."""
    assert result_entry(GOOD) == {
        "step": "one",
        "agent": "market",
        "status": "succeeded",
        "text": "fine",
        "data": {"answer": "fine", "score": None},
        "source": "agent",
        "usage": {"tokens": 5, "price": "0.0000001", "currency": "USD", "estimated": False},
        "confidence": 0.5,
        "sources": ["a"],
        "attempts": 1,
        "started_ms": 0,
        "took_ms": 12,
    }


def test_fields_without_a_value_are_left_out() -> None:
    """No null anywhere: Dify 1.9 refuses a variable that is None."""
    assert result_entry(SKIPPED) == {
        "step": "three",
        "agent": "writer",
        "status": "skipped",
        "text": "",
        "data": {},
        "error": {"code": "upstream_failed", "message": "two failed.", "retry_allowed": False},
        "usage": {"estimated": False},
        "attempts": 0,
        "took_ms": 0,
    }


def test_unknown_usage_is_not_zero() -> None:
    """Nor is a known zero unknown."""
    assert usage_entry(Usage()) == {"estimated": False}
    assert usage_entry(Usage(tokens=0, price=Decimal("0.0012300"))) == {
        "tokens": 0,
        "price": "0.0012300",
        "estimated": False,
    }


def test_the_variables_of_a_run() -> None:
    """Each one is there, and none is None."""
    sent = variables(a_report([GOOD, BAD, SKIPPED], status=RunStatus.PARTIAL))

    assert tuple(sent) == VARIABLES
    assert sent["status"] == "partial"
    assert [entry["step"] for entry in sent["results"]] == ["one", "two", "three"]
    assert sent["errors"][0] == {
        "step": "two",
        "agent": "tech",
        "status": "timed_out",
        "code": "timed_out",
        "message": "No answer\nwithin 3 s.",
        "retry_allowed": True,
    }
    assert sent["warnings"] == ["careful"]
    assert sent["run_url"] == ""
    assert all(type(value) in (str, list, dict) for value in sent.values())


def test_the_runs_link_is_handed_on_as_it_came() -> None:
    """For an End node, or a message to whoever asked."""
    url = "https://ops.example/console/shared/default.0.1.x"

    assert variables(replace(a_report([GOOD]), run_url=url))["run_url"] == url


def test_the_text_names_each_agent_that_failed_in_a_line() -> None:
    """What was skipped only because another failed is the other's story."""
    text = answer_text(a_report([GOOD, BAD, SKIPPED]))

    assert text == "the answer\n\n[tech (two) timed_out: No answer within 3 s.]"


def test_what_json_can_spell_but_utf8_cannot_is_replaced() -> None:
    """An agent's answer may hold half of a character or a number that is none; the SDK could not write either."""
    odd = {"a": "x\ud800", "b": [float("nan"), float("inf")], "c": (1, True), 3: Decimal(2), "d": 16**4000}

    assert plain(odd) == {"a": "x?", "b": [None, None], "c": [1, True], "3": "2", "d": None}


def test_a_failure_of_many_is_still_short() -> None:
    """Dify shows the text in a small box and stores it with the node."""
    many = a_report([BAD.model_copy(update={"step": f"s{n}"}) for n in range(500)], failed_hard=True)

    failure = hard_failure(many)

    assert failure is not None
    assert "… and 480 more" in str(failure)
    assert len(str(failure)) < 50_000

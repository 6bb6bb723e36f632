"""Functions as agents: what they are called with, and what their values and exceptions mean."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.team.functions import FunctionAgent, unfit


def ask(function: Callable[..., Any], scope: CallScope | None = None, **call: Any) -> Reply:
    return FunctionAgent("it", function).call(Call(**{"query": "the task", **call}), scope or CallScope(5.0))


def of_text(text: str) -> str:
    return f"<{text}>"


def of_names(symbol: str, days: int = 5) -> str:
    return f"{symbol} over {days!r}"


def of_call(call: Call) -> str:
    return f"{call.query} {call.inputs} {call.trace_id}"


def unannotated(call):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    return type(call).__name__


class Teller:
    """Something that can be called."""

    def __call__(self, text: str) -> str:
        return text.upper()


@pytest.mark.parametrize(
    ("function", "call", "text"),
    [
        (of_text, {}, "<the task>"),
        (of_text, {"inputs": {"text": "x"}}, "<x>"),
        (of_text, {"query": "why?", "asked": True}, "<why?>"),
        (of_names, {"inputs": {"symbol": "ACME", "days": 2}}, "ACME over 2"),
        (of_names, {"inputs": {"symbol": "ACME"}, "fixed_inputs": {"days": 9}}, "ACME over 9"),
        (of_names, {"query": "ACME", "asked": True, "inputs": {"days": 3}}, "ACME over 3"),
        (of_call, {"inputs": {"a": 1}, "trace_id": "t-1"}, "the task {'a': 1} t-1"),
        (unannotated, {}, "Call"),
        (lambda: "nothing asked", {}, "nothing asked"),
        (lambda **all_: str(sorted(all_)), {"inputs": {"b": 1, "a": 2}}, "['a', 'b']"),
        (functools.partial(of_names, "ACME"), {"inputs": {"days": 1}}, "ACME over 1"),
        (Teller(), {}, "THE TASK"),
        (Teller().__call__, {}, "THE TASK"),
    ],
)
def test_what_it_is_called_with(function: Callable[..., Any], call: dict[str, Any], text: str) -> None:
    reply = ask(function, **call)

    assert (Outcome.SUCCEEDED, text, 0) == (reply.outcome, reply.text, reply.usage.tokens), reply.message


@pytest.mark.parametrize(
    ("function", "inputs"),
    [(of_names, {"nope": 1}), (of_names, {}), (of_text, {"text": "x", "more": 1}), (lambda: "", {"a": 1})],
)
def test_inputs_that_do_not_fit_are_refused_before_it_is_called(function: Callable[..., Any], inputs: Any) -> None:
    reply = ask(function, inputs=inputs)

    assert (Outcome.REJECTED, False, False) == (reply.outcome, reply.sent, reply.retry_allowed)
    assert "Correct the step's inputs" in reply.message


def test_an_error_of_its_own_about_arguments_is_its_own_failure() -> None:
    def inside(_: str) -> str:
        return of_names()  # type: ignore[call-arg]

    assert Outcome.AGENT_FAILED is ask(inside).outcome


@pytest.mark.parametrize(
    ("value", "text", "data"),
    [
        ("words", "words", {"text": "words"}),
        (None, "", {}),
        ({"answer": "a", "score": 2}, "a", {"answer": "a", "score": 2}),
        ({"x": 1, "y": 2}, '{"x": 1, "y": 2}', {"x": 1, "y": 2}),
        ({"only": "one text"}, "one text", {"only": "one text"}),
        ([1, "b"], '[1, "b"]', {"result": [1, "b"]}),
        (3.5, "3.5", {"result": 3.5}),
        (True, "true", {"result": True}),
        (float("nan"), "null", {"result": None}),
        ({1: {2}}, '{"1": [2]}', {"1": [2]}),
    ],
)
def test_what_its_value_means(value: Any, text: str, data: dict[str, Any]) -> None:
    reply = ask(lambda _text: value)

    assert (Outcome.SUCCEEDED, text, data) == (reply.outcome, reply.text, reply.data)


def test_a_reply_is_passed_on_as_it_is() -> None:
    reply = Reply(outcome=Outcome.SUCCEEDED, text="x", usage=Usage(tokens=12))

    assert reply is ask(lambda _text: reply)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("no such city"), Outcome.AGENT_FAILED),
        (TimeoutError("5 s"), Outcome.TIMED_OUT),
        (ConnectionResetError("by peer"), Outcome.UNAVAILABLE),
        (KeyError("x"), Outcome.AGENT_FAILED),
        (RuntimeError(), Outcome.AGENT_FAILED),
        (SystemExit(3), Outcome.AGENT_FAILED),
        (KeyboardInterrupt(), Outcome.AGENT_FAILED),
    ],
)
def test_what_its_exception_means(error: BaseException, outcome: Outcome) -> None:
    """Also what would end a thread without a word: the run would wait for it until its timeout."""

    def fail(_text: str) -> str:
        raise error

    reply = ask(fail)

    assert (outcome, True) == (reply.outcome, reply.retry_allowed)
    assert reply.message.startswith(f"it failed: {type(error).__name__}: ")
    assert str(error) in reply.message


def test_no_key_stands_in_a_message() -> None:
    def fail(_text: str) -> str:
        raise ValueError("401 for app-abcdefghijklmnop")

    assert "abcdefghijklmnop" not in ask(fail).message


def test_what_it_yields_is_told_as_it_comes() -> None:
    pieces: list[str] = []

    def speak(text: str) -> Iterator[str]:
        yield "I say "
        assert ["I say "] == pieces
        yield text

    reply = ask(speak, CallScope(5.0, pieces.append))

    assert ("I say the task", ["I say ", "the task"]) == (reply.text, pieces)


@pytest.mark.parametrize("how", ["cancelled", "late"])
def test_one_that_yields_is_stopped_between_two_pieces(how: str) -> None:
    scope = CallScope(5.0 if how == "cancelled" else 0.05)
    left = threading.Event()

    def speak(_text: str) -> Iterator[str]:
        try:
            for number in range(1_000_000):
                if number == 3 and how == "cancelled":
                    scope.cancel()
                threading.Event().wait(0.01)
                yield "x"
        finally:
            left.set()

    reply = ask(speak, scope)

    assert Outcome.TIMED_OUT is reply.outcome
    assert left.is_set()


async def late(text: str) -> str:
    return text


@pytest.mark.parametrize(("given", "why"), [("market", "neither"), (None, "neither"), (late, "async"), (3, "neither")])
def test_what_can_be_no_agent(given: object, why: str) -> None:
    assert why in unfit(given)


def test_two_lambdas_are_two_agents_and_an_identity_has_its_bound() -> None:
    one, other = FunctionAgent("a", lambda: ""), FunctionAgent("b", lambda: "")

    assert one.identity != other.identity
    assert one.identity.startswith("python:")
    assert len(FunctionAgent("n" * 600, of_text).identity) <= 512

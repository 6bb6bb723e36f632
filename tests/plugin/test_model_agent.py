"""Models as agents: what they are told, what their chunks add up to, and what their failures mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from dify_plugin.entities.model.llm import LLMResultChunkDelta, LLMResultChunkWithStructuredOutput, LLMUsage
from dify_plugin.entities.model.message import AssistantPromptMessage

from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome
from plugin.adapters.model import ModelAgentCaller


def chunk(text: str, tokens: int | None = None, structure: dict[str, Any] | None = None) -> Any:
    usage = None
    if tokens is not None:
        told = {"total_tokens": tokens, "total_price": Decimal("0.25"), "currency": "USD"}
        usage = LLMUsage.empty_usage().model_copy(update=told)
    delta = LLMResultChunkDelta(index=0, message=AssistantPromptMessage(content=text), usage=usage)
    return LLMResultChunkWithStructuredOutput(model="gpt", delta=delta, structured_output=structure)


class Model:
    """Stands in for ``session.model``; keeps what it was asked."""

    def __init__(self, script: Callable[[], Iterable[Any]]) -> None:
        """Answer by *script*."""
        self.asked: list[tuple[Any, ...]] = []
        self.llm = self.llm_structured_output = SimpleNamespace(invoke=self._invoke)
        self._script = script

    def _invoke(self, *asked: Any, stream: bool) -> Iterator[Any]:
        assert stream
        self.asked.append(asked)
        yield from self._script()


def ask(model: Any, timeout_s: float = 5.0, on_text: Callable[[str], None] | None = None, **call: Any) -> Reply:
    agent = ModelAgentCaller("p/p/openai", "gpt", "Be brief.", label="judge", models=model, host="dify")
    return agent.call(Call(**{"query": "do it", **call}), CallScope(timeout_s, on_text))


def test_chunks_add_up_and_the_last_tells_the_usage() -> None:
    pieces: list[str] = []
    model = Model(lambda: [chunk("Hel"), chunk("lo"), chunk("", 12)])

    reply = ask(model, on_text=pieces.append)

    assert (Outcome.SUCCEEDED, "Hello", {"answer": "Hello"}) == (reply.outcome, reply.text, reply.data)
    assert (12, Decimal("0.25"), "USD") == (reply.usage.tokens, reply.usage.price, reply.usage.currency)
    assert ["Hel", "lo"] == pieces
    config, prompt = model.asked[0]
    assert ("p/p/openai", "gpt") == (config.provider, config.model)
    assert ["Be brief.", "do it"] == [message.content for message in prompt]


def test_without_a_word_on_usage_it_is_unknown() -> None:
    assert None is ask(Model(lambda: [chunk("x")])).usage.tokens


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({}, "do it"),
        ({"inputs": {"topic": "bees"}}, "bees"),
        ({"inputs": {"topic": "bees", "n": 3}}, "### topic\nbees\n\n### n\n3"),
        ({"inputs": {"topic": "bees"}, "asked": True}, "do it\n\n### topic\nbees"),
        ({"fixed_inputs": {"tone": "dry"}}, "do it\n\n### tone\ndry"),
    ],
)
def test_what_a_model_is_told(call: dict[str, Any], told: str) -> None:
    model = Model(lambda: [chunk("x")])

    ask(model, **call)

    assert told == model.asked[0][1][1].content


def test_declared_outputs_hold_it_to_a_structure() -> None:
    model = Model(lambda: [chunk('{"score": 3}'), chunk("", 4, {"score": 3, "why": "so"})])

    reply = ask(model, outputs={"score": "number", "why": "string"})

    assert {"score": 3, "why": "so"} == reply.data
    assert {"score": {"type": "number"}, "why": {"type": "string"}} == model.asked[0][2]["properties"]


def test_a_structure_in_its_text_will_do_and_none_is_a_failure() -> None:
    asked = {"score": "number"}

    assert {"score": 3} == ask(Model(lambda: [chunk('Sure:\n```json\n{"score": 3}\n```')]), outputs=asked).data
    reply = ask(Model(lambda: [chunk("three", 5)]), outputs=asked)
    assert (Outcome.AGENT_FAILED, 5) == (reply.outcome, reply.usage.tokens)


def test_one_text_output_needs_no_structure() -> None:
    model = Model(lambda: [chunk("x")])

    assert "x" == ask(model, outputs={"summary": "string"}).text
    assert 2 == len(model.asked[0])


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("[openai] Rate Limit Error, 429", Outcome.THROTTLED),
        ("[openai] Incorrect model credentials provided, please check and try again. ", Outcome.MISCONFIGURED),
        ("[openai] Bad Request Error, context too long", Outcome.REJECTED),
        ("[openai] Connection Error, no route", Outcome.UNAVAILABLE),
        ("[openai] Server Unavailable Error, 503", Outcome.UNAVAILABLE),
        ("Provider p/p/openai does not exist.", Outcome.MISCONFIGURED),
        (
            'request failed with status code: 400 and respond with: {"message": "Failed to request plugin daemon"}',
            Outcome.UNAVAILABLE,
        ),
        ("invocation exited without response after 580 seconds", Outcome.UNAVAILABLE),
    ],
)
def test_every_error_text_has_its_meaning(words: str, outcome: Outcome) -> None:
    def script() -> Iterator[Any]:
        yield chunk("a")
        raise Exception(words)  # noqa: TRY002 - what the SDK raises

    assert outcome is ask(Model(script)).outcome


def test_a_call_ends_with_its_time() -> None:
    def script() -> Iterator[Any]:
        yield chunk("a")
        gevent.sleep(60)

    begun = time.monotonic()

    assert Outcome.TIMED_OUT is ask(Model(script), 0.2).outcome
    assert time.monotonic() - begun < 2

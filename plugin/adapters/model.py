"""Calls a model of the caller's workspace through Dify, with a prompt: an agent without an app.

Dify takes the workspace's own credentials for the model, and streams its answer in chunks of which the last tells the
usage. A call after the tool's end is answered by nobody, so every call ends with its scope.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol, cast

import gevent
from dify_plugin.entities.model.llm import LLMModelConfig, LLMResultChunk, LLMUsage
from dify_plugin.entities.model.message import PromptMessage, SystemPromptMessage, UserPromptMessage

from ensemble.agents.identity import model_identity
from ensemble.agents.models import answer_schema, judge_model, message_for, structure_in
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.agents.reading import failure
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage

__all__ = ["ModelAgentCaller", "Models"]

MAX_ANSWER_CHARS = 16 * 1024 * 1024
"""The longest answer that is read."""
_LONGEST_CURRENCY = 8


class Models(Protocol):
    """The part of the SDK's ``session.model`` that is used."""

    @property
    def llm(self) -> Any:
        """Runs a model."""

    @property
    def llm_structured_output(self) -> Any:
        """Runs a model that keeps to a schema."""


class ModelAgentCaller:
    """One model with its prompt, for the length of one tool call."""

    def __init__(self, provider: str, model: str, prompt: str, *, label: str, models: Models, host: str) -> None:
        """Take the model, what it shall be, and the tool call's way into Dify, whose connections *host* names."""
        self._config = LLMModelConfig(provider=provider, model=model, mode="chat", completion_params={})
        self._prompt = prompt
        self._subject = f"{label} (model {model})"
        self._models = models
        self._host = host
        self._identity = model_identity(provider, model, prompt)

    @property
    def identity(self) -> str:
        """``model:<provider>/<model>#<hash of the prompt>``."""
        return self._identity

    @property
    def host(self) -> str:
        """The workspace's own Dify, through which the model is called."""
        return self._host

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Make one attempt. A model has no inputs of its own: it is told everything in words."""
        if scope.cancelled:
            return Reply(outcome=Outcome.CANCELLED, message="The call was cancelled.", sent=False)
        message = message_for(call)
        if not message:
            words = f"{self._subject} is given nothing to answer. Write a task."
            return Reply(outcome=Outcome.REJECTED, message=words, sent=False)
        schema = answer_schema(call.outputs)
        answer = _Answer(scope)
        try:
            with gevent.Timeout(scope.left_s(), _Late()):
                with closing(self._chunks(message, schema)) as chunks:
                    answer.read(chunks)
                reply = self._reply(answer, structured=schema is not None)
        except _Late:
            seconds = f"{scope.timeout_s:.1f}".removesuffix(".0")
            words = f"{self._subject} did not answer within {seconds} s. Give the step a longer timeout if it needs it."
            reply = Reply(outcome=Outcome.TIMED_OUT, message=words, retry_allowed=True, usage=answer.usage)
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more exact
            reply = failure(judge_model(f"{type(error).__name__}: {error}", self._subject), usage=answer.usage)
        if call.files:
            words = f"{self._subject} is given no files: models take text here. Use an app for files."
            reply = replace(reply, warnings=(words,))
        return reply

    def _chunks(self, message: str, schema: dict[str, Any] | None) -> Generator[LLMResultChunk]:
        prompt: list[PromptMessage] = [SystemPromptMessage(content=self._prompt), UserPromptMessage(content=message)]
        if schema is None:
            chunks = self._models.llm.invoke(self._config, prompt, stream=True)
        else:
            chunks = self._models.llm_structured_output.invoke(self._config, prompt, schema, stream=True)
        return cast("Generator[LLMResultChunk]", chunks)

    def _reply(self, answer: _Answer, *, structured: bool) -> Reply:
        text = "".join(answer.pieces)
        if answer.too_long:
            words = f"{self._subject} answered with more than {MAX_ANSWER_CHARS:,} characters, more than is read."
            return Reply(outcome=Outcome.UNAVAILABLE, message=words, usage=answer.usage)
        if structured:
            data = answer.structure or structure_in(text)
            if data is None:
                words = f"{self._subject} did not keep to the outputs the step declares."
                return Reply(outcome=Outcome.AGENT_FAILED, message=words, retry_allowed=True, usage=answer.usage)
            return Reply(outcome=Outcome.SUCCEEDED, text=text, data=data, usage=answer.usage)
        if not answer.seen:
            words = f"{self._subject}: Dify ended the call without a word."
            return Reply(outcome=Outcome.UNAVAILABLE, message=words, retry_allowed=True)
        return Reply(outcome=Outcome.SUCCEEDED, text=text, data={"answer": text}, usage=answer.usage)


class _Answer:
    """What came of a model so far."""

    def __init__(self, scope: CallScope) -> None:
        self.pieces: list[str] = []
        self.structure: dict[str, Any] | None = None
        self.usage = Usage()
        self.seen = self.too_long = False
        self._scope = scope

    def read(self, chunks: Iterable[LLMResultChunk]) -> None:
        """Take every chunk; usage that is told in parts is summed by Dify itself, so the last word counts."""
        size = 0
        for chunk in chunks:
            self.seen = True
            for piece in _texts(chunk.delta.message.content):
                size += len(piece)
                self.pieces.append(piece)
                self._scope.text(piece)
            self.usage = _usage(chunk.delta.usage) or self.usage
            structure = getattr(chunk, "structured_output", None)
            self.structure = dict(structure) if structure else self.structure
            if size > MAX_ANSWER_CHARS:
                self.too_long = True
                return


def _texts(content: Any) -> Iterable[str]:
    if isinstance(content, str):
        return (content,) if content else ()
    parts = content if isinstance(content, list) else ()
    return tuple(part.data for part in parts if getattr(part, "type", None) == "text" and part.data)


def _usage(told: LLMUsage | None) -> Usage | None:
    if told is None:
        return None
    known = told.total_price.is_finite() and told.total_price >= 0
    currency = told.currency if known and 0 < len(told.currency) <= _LONGEST_CURRENCY else None
    tokens = told.total_tokens if told.total_tokens >= 0 else None
    return Usage(tokens=tokens, price=told.total_price if known else None, currency=currency)


class _Late(BaseException):
    """The call's time is over. No handler of the SDK's may take it for a failure, so it is no Exception."""

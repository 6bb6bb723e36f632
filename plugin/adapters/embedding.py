"""Embeds texts by a model of the caller's workspace through Dify; what lasts is embedded once and then remembered.

One attempt is one call at most: query and missing texts go together. Dify's model plugins cut long lists into the
batches their provider takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import gevent
from dify_plugin.entities.model.text_embedding import TextEmbeddingModelConfig

from ensemble.agents.identity import model_identity
from ensemble.agents.models import judge_model
from ensemble.agents.port import CallScope, Reply
from ensemble.agents.reading import failure
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.routing.deciders import Embedded
from ensemble.routing.nearness import Vector, unit

__all__ = ["EmbeddingModels", "ModelEmbedder", "Remembered"]

_LONGEST_CURRENCY = 8


class EmbeddingModels(Protocol):
    """The part of the SDK's ``session.model`` that is used."""

    @property
    def text_embedding(self) -> Any:
        """Embeds texts."""


class Remembered(Protocol):
    """Vectors of one model, kept from earlier calls. Neither method raises."""

    def get(self, texts: Sequence[str]) -> Mapping[str, Vector]:
        """Return the vectors that are known."""

    def put(self, vectors: Mapping[str, Vector]) -> None:
        """Keep *vectors*."""


class ModelEmbedder:
    """One embedding model, for the length of one tool call."""

    def __init__(
        self, provider: str, model: str, *, models: EmbeddingModels, remembered: Remembered, host: str
    ) -> None:
        """Take the model, the tool call's way into Dify, whose connections *host* names, and what is remembered."""
        self._config = TextEmbeddingModelConfig(provider=provider, model=model)
        self._subject = f"The embedding model {model}"
        self._models = models
        self._remembered = remembered
        self._host = host
        self._identity = model_identity(provider, model, "")

    @property
    def identity(self) -> str:
        """``model:<provider>/<model>#<hash of nothing>``: it has no prompt."""
        return self._identity

    @property
    def host(self) -> str:
        """The workspace's own Dify, through which the model is called."""
        return self._host

    def embed(self, query: str, lasting: Sequence[str], scope: CallScope) -> Embedded | Reply:
        """Return vectors of *query* and *lasting*, or how the call failed."""
        known = dict(self._remembered.get(lasting))
        missing = [text for text in dict.fromkeys((query, *lasting)) if text not in known]
        if not missing:
            return Embedded(known, Usage(tokens=0))  # The query is one of the routes' own examples.
        try:
            with gevent.Timeout(scope.left_s(), _Late()):
                result = self._models.text_embedding.invoke(self._config, missing)
        except _Late:
            seconds = f"{scope.timeout_s:.1f}".removesuffix(".0")
            words = f"{self._subject} did not answer within {seconds} s."
            return Reply(outcome=Outcome.TIMED_OUT, message=words, retry_allowed=True)
        except Exception as error:  # noqa: BLE001 - the SDK raises nothing more exact
            return failure(judge_model(f"{type(error).__name__}: {error}", self._subject))
        usage = _usage(result.usage)
        vectors = [unit(values) for values in result.embeddings]
        if len(vectors) != len(missing) or None in vectors:
            words = f"{self._subject} gave {len(vectors)} vectors for {len(missing)} texts, or some that are none."
            return Reply(outcome=Outcome.UNAVAILABLE, message=words, retry_allowed=True, usage=usage)
        new = {text: vector for text, vector in zip(missing, vectors, strict=True) if vector is not None}
        self._remembered.put({text: new[text] for text in lasting if text in new})
        return Embedded({**known, **new}, usage)


def _usage(told: Any) -> Usage:
    price = told.total_price if told.total_price.is_finite() and told.total_price >= 0 else None
    currency = told.currency if price is not None and 0 < len(told.currency) <= _LONGEST_CURRENCY else None
    return Usage(tokens=told.total_tokens if told.total_tokens >= 0 else None, price=price, currency=currency)


class _Late(BaseException):
    """The call's time is over."""

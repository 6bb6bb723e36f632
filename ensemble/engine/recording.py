"""What of a result goes on record: all of it, unless it is so long that the ledger would refuse the whole exchange."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json

from ensemble.contract.exchange import Settlement
from ensemble.contract.results import StepResult

__all__ = ["ANSWER_CHARS", "RECORDED_BYTES", "recorded", "within"]

RECORDED_BYTES = 4 * 1024 * 1024
"""The longest result that is recorded whole, as JSON; a request to the ledger may take 32 MiB in all."""
ANSWER_CHARS = 1024 * 1024
"""How much of a run's answer is recorded."""
_HEAD_CHARS = 64 * 1024
_TOLD_BYTES = 24 * 1024 * 1024
"""The most that settlements and results take of one request."""
_SURELY_WITHIN = _TOLD_BYTES // (RECORDED_BYTES + 1024 * 1024)
"""So many settlements always fit, whatever they hold; they need no measuring."""


def recorded(result: StepResult) -> StepResult:
    """Return *result* as it is recorded: of one too long for it, the beginning of its text and nothing else it gave."""
    if len(to_json(result)) <= RECORDED_BYTES:
        return result
    text = f"{result.text[:_HEAD_CHARS]}… [cut for the record: {len(result.text):,} characters in all]"
    return result.model_copy(update={"text": text, "data": {}, "sources": ()})


def within(news: Sequence[Settlement | StepResult]) -> int:
    """Return how many of *news*, from the first on, one request can tell."""
    if len(news) <= _SURELY_WITHIN:
        return len(news)
    total = 0
    for number, each in enumerate(news):
        total += len(to_json(each))
        if total > _TOLD_BYTES:
            return number
    return len(news)

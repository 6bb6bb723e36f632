"""Reads the aggregator's parameters, in whatever type Dify hands them over.

A list that comes from a variable into a field of text arrives as Python writes it (``[{'agent': 'a', ...}]``): Dify
casts it so. That is read as well as JSON and YAML are.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ensemble.aggregate.merging import Rule
from ensemble.aggregate.voting import Weights
from ensemble.contract.context import EACH_TOKENS, LIMIT_TOKENS, Compression, Order
from ensemble.plan.faults import Faults, PlanError
from ensemble.plan.limits import Limits
from ensemble.plan.reading.source import parse_text
from plugin.errors import BadParameters, in_words
from plugin.reader import Reader

__all__ = ["AGGREGATOR_PARAMETERS", "AggregatorParameters", "Strategy", "read_aggregator_parameters"]

AGGREGATOR_PARAMETERS = (
    "strategy", "results", "run_id", "task", "agent", "vote_on", "weights", "conflicts", "compression", "order",
    "max_tokens", "max_tokens_each", "limits", "budgets", "run_key", "trace_id", "parent",
)  # fmt: skip
"""Every parameter the aggregator reads."""

_MOST_TOKENS = 1_000_000
_RUN_ID_CHARS = 32


class Strategy(StrEnum):
    """How one result is made out of several."""

    CONCAT = "concat"
    MERGE_JSON = "merge_json"
    VOTE = "vote"
    BEST = "best"
    SYNTHESIZE = "synthesize"


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatorParameters:
    """One call of the aggregator, read."""

    strategy: Strategy
    results: Any
    """Text, list or map; None where a run is named instead."""
    run_id: str
    """Empty where the results are given."""
    task: str
    agent: str
    """The judge or the writer: an agent's name, or ``provider/model``; empty where there is none."""
    vote_on: str
    weights: Weights
    conflicts: Rule
    compression: Compression
    order: Order
    max_tokens: int
    max_tokens_each: int
    limits: Limits
    """What asking the agent may take."""
    budgets: tuple[str, ...]
    run_key: str | None
    trace_id: str
    parent: str = field(default="", repr=False)
    """The token of the call this one is made in, as it came; empty where there is none."""


def read_aggregator_parameters(raw: Mapping[str, Any]) -> AggregatorParameters:
    """Return the parameters as read.

    Raises:
        BadParameters: something can't be read; the text names every field concerned.

    """
    reader = Reader(raw)
    results, run_id = _results(reader), (reader.text("run_id") or "").lower()
    if (results is None) == (not run_id):
        fix = "Give the results of an orchestrator (or any list), or the run_id of one."
        reader.blame("results", "and run_id are both given." if run_id else "is empty, and so is run_id.", fix)
    if run_id and (len(run_id) != _RUN_ID_CHARS or set(run_id) - set("0123456789abcdef")):
        reader.blame(
            "run_id", "is not a run's id.", "It is the orchestrator's output run_id: 32 digits and letters a-f."
        )
    read = AggregatorParameters(
        strategy=reader.chosen("strategy", Strategy.CONCAT),
        results=results,
        run_id=run_id,
        task=reader.text("task") or "",
        agent=reader.text("agent") or "",
        vote_on=reader.text("vote_on") or "",
        weights=reader.chosen("weights", Weights.EQUAL),
        conflicts=reader.chosen("conflicts", Rule.FIRST),
        compression=reader.chosen("compression", Compression.HEAD_TAIL),
        order=reader.chosen("order", Order.GIVEN),
        max_tokens=_tokens(reader, "max_tokens", LIMIT_TOKENS),
        max_tokens_each=_tokens(reader, "max_tokens_each", EACH_TOKENS),
        limits=reader.limits(),
        budgets=reader.budgets(),
        run_key=reader.run_key(),
        trace_id=reader.trace_id(),
        parent=reader.text("parent") or "",
    )
    if read.strategy is Strategy.SYNTHESIZE and not read.agent:
        reader.blame("agent", "is empty.", "Name the agent that writes the answer, or a model as provider/model.")
    if reader.faults:
        raise BadParameters(in_words(reader.faults))
    return read


def _tokens(reader: Reader, name: str, default: int) -> int:
    text = reader.text(name)
    if text is None:
        return default
    digits = text.replace(",", "").replace("_", "").removesuffix(".0")
    if not digits.isdecimal() or not 0 < int(digits[:12]) <= _MOST_TOKENS:
        reader.blame(name, f"can't be {text[:64]!r}.", f"Write a whole number from 1 to {_MOST_TOKENS:,}.")
        return default
    return int(digits)


def _results(reader: Reader) -> Any:
    value = reader.structure("results")
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    for read in (json.loads, ast.literal_eval, lambda text: parse_text(text, "results", Faults())):
        try:
            found = read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError, PlanError):
            continue
        return found or None
    return value

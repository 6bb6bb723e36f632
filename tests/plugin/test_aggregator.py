"""What the aggregator's form promises is what the code reads and sends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ensemble.aggregate.merging import Rule
from ensemble.aggregate.voting import Weights
from ensemble.contract.context import EACH_TOKENS, LIMIT_TOKENS, Compression, Order
from plugin.aggregator.messages import AGGREGATOR_VARIABLES
from plugin.aggregator.parameters import AGGREGATOR_PARAMETERS, Strategy, read_aggregator_parameters
from plugin.errors import BadParameters

TOOL = yaml.safe_load((Path(__file__).resolve().parents[2] / "plugin/tools/aggregator.yaml").read_text("utf-8"))
DECLARED = {each["name"]: each for each in TOOL["parameters"]}


def test_every_declared_parameter_is_read_and_every_output_sent() -> None:
    """And nothing else."""

    class Watched(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            looked_at.add(name)
            return super().get(name, default)

    looked_at: set[str] = set()
    read_aggregator_parameters(Watched(results="x"))

    assert set(DECLARED) == set(AGGREGATOR_PARAMETERS) == looked_at
    assert set(TOOL["output_schema"]["properties"]) == {*AGGREGATOR_VARIABLES, "progress"}
    assert not any(each.get("required") for each in DECLARED.values())


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("strategy", Strategy),
        ("weights", Weights),
        ("conflicts", Rule),
        ("compression", Compression),
        ("order", Order),
    ],
)
def test_every_choice_of_the_form_is_understood(name: str, choices: Any) -> None:
    """Those and no others; where the form has a default, the code has the same."""
    options = [each["value"] for each in DECLARED[name]["options"]]

    assert sorted(options) == sorted(choices)
    for value in options:
        assert getattr(read_aggregator_parameters({"results": "x", "agent": "a", name: value}), name) == value
    assert DECLARED[name].get("default", "concat") == getattr(read_aggregator_parameters({"results": "x"}), name)


def test_the_limits_the_form_names_are_those_that_hold() -> None:
    """In every language."""
    for name, tokens in (("max_tokens", LIMIT_TOKENS), ("max_tokens_each", EACH_TOKENS)):
        assert getattr(read_aggregator_parameters({"results": "x"}), name) == tokens
        for text in DECLARED[name]["human_description"].values():
            assert f"{tokens:,}" in text or f"{tokens:,}".replace(",", ".") in text


@pytest.mark.parametrize(
    "given",
    [
        [{"agent": "a", "text": 'it\'s "so"', "confidence": None, "data": {"ok": True}}],
        {"a": {"x": 1}, "b": {"x": [1, None]}},
    ],
)
def test_results_are_read_however_they_were_written(given: Any) -> None:
    """As a value, as Python writes it (Dify's cast of a variable into a field of text), as JSON and as YAML."""
    for written in (given, str(given), json.dumps(given), yaml.safe_dump(given, default_flow_style=True, width=10**6)):
        assert read_aggregator_parameters({"results": written}).results == given


def test_everything_wrong_is_said_at_once() -> None:
    """With the fields' names."""
    with pytest.raises(BadParameters) as raised:
        read_aggregator_parameters({"strategy": "guess", "max_tokens": "-1", "order": "any", "trace_id": "ä"})

    assert all(name in str(raised.value) for name in ("results", "strategy", "max_tokens", "order", "trace_id"))

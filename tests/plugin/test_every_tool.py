"""Every tool's YAML against its code: what is declared is read or sent, what is read or sent is declared."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugin.aggregator.messages import AGGREGATOR_VARIABLES
from plugin.aggregator.parameters import AGGREGATOR_PARAMETERS, read_aggregator_parameters
from plugin.doctor.parameters import DOCTOR_PARAMETERS, read_doctor_parameters
from plugin.doctor.report import DOCTOR_VARIABLES
from plugin.errors import BadParameters
from plugin.messenger.parameters import MESSENGER_PARAMETERS, read_messenger_parameters
from plugin.messenger.service import MESSENGER_VARIABLES
from plugin.orchestrator.parameters import PARAMETERS, read_parameters
from plugin.outputs import VARIABLES
from plugin.router.messages import ROUTER_VARIABLES
from plugin.router.parameters import ROUTER_PARAMETERS, read_router_parameters
from plugin.shared_state.parameters import SHARED_STATE_PARAMETERS, read_shared_state_parameters
from plugin.shared_state.service import SHARED_STATE_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"en_US", "zh_Hans", "ja_JP", "pt_BR"}

type Reads = Callable[[Mapping[str, Any]], object]
CODE: Mapping[str, tuple[Collection[str], Reads, Collection[str]]] = {
    "orchestrator": (PARAMETERS, read_parameters, {*VARIABLES, "progress", "answer"}),
    "aggregator": (AGGREGATOR_PARAMETERS, read_aggregator_parameters, {*AGGREGATOR_VARIABLES, "progress"}),
    "router": (ROUTER_PARAMETERS, read_router_parameters, {*ROUTER_VARIABLES, "progress"}),
    "shared_state": (SHARED_STATE_PARAMETERS, read_shared_state_parameters, SHARED_STATE_VARIABLES),
    "messenger": (MESSENGER_PARAMETERS, read_messenger_parameters, MESSENGER_VARIABLES),
    "doctor": (DOCTOR_PARAMETERS, read_doctor_parameters, {*DOCTOR_VARIABLES, "progress"}),
}
"""What each tool reads, how, and what it sends."""


def loaded(name: str) -> Any:
    """Return the YAML file *name*."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


TOOLS = {tool["identity"]["name"]: tool for tool in map(loaded, loaded("provider/ensemble.yaml")["tools"])}


def test_every_tool_of_the_provider_is_compared_here() -> None:
    """A new one is noticed."""
    assert set(TOOLS) == set(CODE)


@pytest.mark.parametrize("name", TOOLS)
def test_every_declared_parameter_is_read(name: str) -> None:
    """And every one that is read is declared; the reader looks at each of them, and at nothing else."""

    class Watched(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            looked_at.add(key)
            return super().get(key, default)

    looked_at: set[str] = set()
    parameters, read, _ = CODE[name]
    with contextlib.suppress(BadParameters):  # some can't do without a value
        read(Watched())

    assert sorted(each["name"] for each in TOOLS[name]["parameters"]) == sorted(parameters)
    assert looked_at == set(parameters)


@pytest.mark.parametrize("name", TOOLS)
def test_every_declared_output_is_sent(name: str) -> None:
    """And every one that is sent is declared, under a name that Dify's templates can spell."""
    declared = TOOLS[name]["output_schema"]["properties"]

    assert set(declared) == set(CODE[name][2])
    assert not {"text", "json", "files"} & set(declared)
    assert all(len(each) <= 30 for each in declared)


@pytest.mark.parametrize("name", TOOLS)
def test_what_a_model_fills_in_is_explained_to_it(name: str) -> None:
    """In words of its own, the tool itself too; and people are told in four languages what every field is."""
    tool = TOOLS[name]

    assert 100 < len(tool["description"]["llm"]) < 1024
    assert set(tool["description"]["human"]) == set(tool["identity"]["label"]) == LANGUAGES
    for parameter in tool["parameters"]:
        assert (parameter["form"] == "llm") == bool(parameter.get("llm_description")), parameter["name"]
        assert set(parameter["label"]) == set(parameter["human_description"]) == LANGUAGES, parameter["name"]
        for option in parameter.get("options", ()):
            assert set(option["label"]) == LANGUAGES, (parameter["name"], option["value"])


@pytest.mark.parametrize("name", TOOLS)
def test_no_language_is_a_copy_of_another(name: str) -> None:
    """A text that was pasted and never translated is noticed; of one or two words it may be the same word."""
    for parameter in TOOLS[name]["parameters"]:
        texts = parameter["human_description"]
        assert len(set(texts.values())) == len(LANGUAGES), parameter["name"]
        for language in ("zh_Hans", "ja_JP"):
            assert not texts[language].isascii(), (parameter["name"], language)


@pytest.mark.parametrize("name", ["shared_state", "messenger"])
def test_every_choice_can_be_read(name: str) -> None:
    """What can be selected is understood, and a word that can't is refused with those that can."""
    _, read, _ = CODE[name]
    enough = {
        "trace_id": "t", "key": "k", "value": json.dumps({"x": 1}), "agent": "a", "to": "b", "receipt": "r",
    }  # fmt: skip
    for parameter in TOOLS[name]["parameters"]:
        for option in parameter.get("options", ()):
            given = enough | {parameter["name"]: option["value"]}
            if option["value"] == "increment":
                given["value"] = "1"
            read(given)
        if parameter["type"] == "select":
            with pytest.raises(BadParameters, match=parameter["options"][0]["value"]):
                read(enough | {parameter["name"]: "no such word"})
            assert parameter["default"] in {option["value"] for option in parameter["options"]}

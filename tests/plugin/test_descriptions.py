"""What the YAML files promise is what the code does, in four languages, and stays so for workflows that exist."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from ensemble.contract.outcomes import Outcome, RunStatus, Source, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult, Usage
from plugin.credentials import FIELDS, HOST_PARALLEL, ON_SIDECAR_LOSS
from plugin.orchestrator.parameters import PARAMETERS, read_parameters
from plugin.outputs import VARIABLES, error_entry, result_entry, usage_entry
from plugin.reader import LIMITS

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"en_US", "zh_Hans", "ja_JP", "pt_BR"}
GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))


def loaded(name: str) -> Any:
    """Return the YAML file *name*."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


MANIFEST = loaded("manifest.yaml")
PROVIDER = loaded("provider/ensemble.yaml")
TOOLS = {name: loaded(name) for name in PROVIDER["tools"]}
(ORCHESTRATOR,) = (tool for tool in TOOLS.values() if tool["identity"]["name"] == "orchestrator")
FILES = {"manifest.yaml": MANIFEST, "provider/ensemble.yaml": PROVIDER, **TOOLS}


def spoken(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every text in several languages below *value*, with its place."""
    if isinstance(value, dict):
        if "en_US" in value:
            yield path, value
        for key, each in value.items():
            yield from spoken(each, f"{path}.{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from spoken(each, f"{path}[{number}]")


@pytest.mark.parametrize("name", FILES)
def test_every_text_speaks_four_languages(name: str) -> None:
    """Dify refuses a text of 1,024 characters and more."""
    texts = list(spoken(FILES[name]))

    assert texts
    for path, text in texts:
        assert set(text) == LANGUAGES, path
        assert all(0 < len(each) < 1024 and each == each.strip() for each in text.values()), path


@pytest.mark.parametrize("name", FILES)
def test_whoever_reads_a_label_finds_one(name: str) -> None:
    """Every label, help and description people see is one of those texts."""

    def check(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, each in value.items():
                if key in {"label", "help", "placeholder", "human_description", "human"}:
                    assert set(each) == LANGUAGES, f"{path}.{key}"
                check(each, f"{path}.{key}")
        elif isinstance(value, list):
            for number, each in enumerate(value):
                check(each, f"{path}[{number}]")

    check({key: each for key, each in FILES[name].items() if key != "output_schema"}, name)


def test_every_credential_of_the_form_is_read() -> None:
    """And every one that is read stands in the form, secrets as secrets, with the default the code has."""
    form = PROVIDER["credentials_for_provider"]

    assert set(form) == set(FIELDS)
    assert {name for name, field in form.items() if field["type"] == "secret-input"} == {
        "sidecar_token",
        "app_keys",
        "proxy_url",
    }
    assert not any(field["required"] for field in form.values())
    assert form["host_parallel"]["default"] == str(HOST_PARALLEL)


def test_every_declared_parameter_is_read() -> None:
    """And every one that is read is declared; the reader looks at each of them, and at nothing else."""

    class Watched(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            looked_at.add(name)
            return super().get(name, default)

    looked_at: set[str] = set()
    read_parameters(Watched(task="x"))

    declared = [parameter["name"] for parameter in ORCHESTRATOR["parameters"]]
    assert sorted(declared) == sorted(PARAMETERS)
    assert looked_at == set(PARAMETERS)


def test_only_the_task_is_required_and_nothing_needs_a_selector() -> None:
    """So that a model, a variable or a hand can fill in everything."""
    required = [parameter["name"] for parameter in ORCHESTRATOR["parameters"] if parameter.get("required")]

    assert required == ["task"]
    assert {parameter["type"] for parameter in ORCHESTRATOR["parameters"]} == {"string", "select", "files"}


def test_what_a_model_fills_in_is_explained_to_it() -> None:
    """In words of its own."""
    for parameter in ORCHESTRATOR["parameters"]:
        assert (parameter["form"] == "llm") == bool(parameter.get("llm_description")), parameter["name"]


def test_the_choices_of_on_failure_are_understood() -> None:
    """Each one that can be selected is one that is read."""
    (parameter,) = (each for each in ORCHESTRATOR["parameters"] if each["name"] == "on_failure")

    read = {each["value"]: read_parameters({"task": "x", "on_failure": each["value"]}) for each in parameter["options"]}

    assert {value: each.fail_fast for value, each in read.items()} == {"best_effort": False, "fail_fast": True}
    assert parameter["default"] == "best_effort"


def test_neither_form_chooses_for_anybody_what_happens_without_the_sidecar() -> None:
    """Dify fills a default in, and nobody could tell it from a choice; each word that can be chosen is read."""
    (parameter,) = (each for each in ORCHESTRATOR["parameters"] if each["name"] == "on_sidecar_loss")
    field = PROVIDER["credentials_for_provider"]["on_sidecar_loss"]

    for form in (parameter, field):
        assert "default" not in form
        assert form["required"] is False
        assert [each["value"] for each in form["options"]] == list(ON_SIDECAR_LOSS)


def test_every_limit_is_explained_in_every_language() -> None:
    """The help of the parameter names each one."""
    (parameter,) = (each for each in ORCHESTRATOR["parameters"] if each["name"] == "limits")

    for text in (*parameter["human_description"].values(), parameter["llm_description"]):
        assert all(name in text for name in LIMITS)


def test_every_declared_output_is_sent() -> None:
    """And every one that is sent is declared, under a name that Dify's templates can spell."""
    declared = ORCHESTRATOR["output_schema"]["properties"]

    assert set(declared) == {*VARIABLES, "progress", "answer"}
    assert not {"text", "json", "files"} & set(declared)
    assert all(len(name) <= 30 for name in declared)


def test_the_fields_of_the_outputs_are_those_declared() -> None:
    """A full result, a full error and a full usage have all declared fields and no other, in the declared types."""
    usage = Usage(tokens=1, price=Decimal("0.1"), currency="USD")
    result = StepResult(
        step="s",
        agent="a",
        status=StepStatus.FAILED,
        text="t",
        data={"x": 1},
        source=Source.CACHE,
        age_ms=1,
        stale=True,
        error=ErrorInfo(code=Outcome.REJECTED, message="m"),
        usage=usage,
        confidence=0.5,
        sources=({"u": 1},),
        attempts=1,
        started_ms=1,
        took_ms=1,
    )
    assert result.error is not None
    declared = ORCHESTRATOR["output_schema"]["properties"]

    _agree(result_entry(result), declared["results"]["items"])
    _agree(error_entry(result, result.error), declared["errors"]["items"])
    _agree(usage_entry(usage), declared["usage"])


TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "dict": "object", "list": "array"}


def _agree(value: Any, schema: dict[str, Any]) -> None:
    assert TYPES[type(value).__name__] == schema["type"]
    if "properties" in schema:
        assert set(value) == set(schema["properties"])
        for name, each in value.items():
            _agree(each, schema["properties"][name])


def test_every_status_is_explained() -> None:
    """The words a workflow may branch on stand in the schema; a failed or cancelled run has no outputs."""
    declared = ORCHESTRATOR["output_schema"]["properties"]
    final = {StepStatus.PENDING, StepStatus.RUNNING}

    items = declared["results"]["items"]["properties"]
    assert all(str(word) in items["status"]["description"] for word in set(StepStatus) - final)
    assert all(str(word) in items["source"]["description"] for word in Source)
    failing = {RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}
    assert all(str(word) in declared["status"]["description"] for word in set(RunStatus) - failing)


def test_one_version_one_name() -> None:
    """Manifest and project file say the same, and author and name are those that users' workflows hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert MANIFEST["version"] == project["version"]
    assert MANIFEST["author"] == PROVIDER["identity"]["author"] == ORCHESTRATOR["identity"]["author"] == "ensemble"


def test_the_manifest_was_not_made_tomorrow() -> None:
    """The marketplace refuses dates in the future."""
    assert MANIFEST["created_at"] < datetime.now(UTC)


def test_the_manifest_asks_for_what_dify_knows() -> None:
    """Tags that old Difys know as well, and a minimum version."""
    assert MANIFEST["tags"] == PROVIDER["identity"]["tags"] == ["utilities", "productivity"]
    assert MANIFEST["meta"]["minimum_dify_version"] == "1.9.0"
    for owner in (MANIFEST, PROVIDER["identity"]):
        assert (ROOT / "_assets" / owner["icon"]).is_file()
        assert (ROOT / "_assets" / owner["icon_dark"]).is_file()


def frozen() -> dict[str, Any]:
    """Return what saved workflows depend on, as the files have it now."""
    return {
        "plugin": f"{MANIFEST['author']}/{MANIFEST['name']}/{PROVIDER['identity']['name']}",
        "credentials": {name: field["type"] for name, field in PROVIDER["credentials_for_provider"].items()},
        "tools": {
            tool["identity"]["name"]: {
                "parameters": {each["name"]: _shape(each) for each in tool["parameters"]},
                "outputs": _types(tool["output_schema"])["properties"],
            }
            for tool in TOOLS.values()
        },
    }


def _shape(parameter: dict[str, Any]) -> dict[str, Any]:
    shape: dict[str, Any] = {
        name: parameter[name] for name in ("type", "form", "required", "default") if name in parameter
    }
    if "options" in parameter:
        shape["options"] = {option["value"]: True for option in parameter["options"]}
    return shape


def _types(schema: dict[str, Any]) -> dict[str, Any]:
    shape: dict[str, Any] = {"type": schema["type"]}
    if "properties" in schema:
        shape["properties"] = {name: _types(each) for name, each in schema["properties"].items()}
    if "items" in schema:
        shape["items"] = _types(schema["items"])
    return shape


def lost(golden: Any, now: Any, path: str = "") -> list[str]:
    """Return the places where *now* lacks or changes something *golden* has."""
    if isinstance(golden, dict) and isinstance(now, dict):
        gone = [f"{path}.{name} is gone" for name in golden if name not in now]
        return gone + [
            line for name in golden if name in now for line in lost(golden[name], now[name], f"{path}.{name}")
        ]
    return [] if golden == now else [f"{path} was {golden!r} and is {now!r}"]


def test_nothing_that_saved_workflows_use_has_changed() -> None:
    """Names, types and choices stay; new ones may come."""
    assert lost(GOLDEN, frozen()) == []


def test_what_is_new_is_taken_down() -> None:
    """From its first release on, a new parameter or output is kept like the others: add it to golden.json."""
    assert lost(frozen(), GOLDEN) == []


def test_a_loss_is_noticed() -> None:
    """A parameter that goes, changes its type or loses a choice is each reported."""
    golden = {"a": {"type": "string"}, "b": {"options": {"x": True, "y": True}}, "c": 1}
    now = {"a": {"type": "number"}, "b": {"options": {"x": True}}}

    assert lost(golden, now) == [".c is gone", ".a.type was 'string' and is 'number'", ".b.options.y is gone"]

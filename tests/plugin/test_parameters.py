"""How the orchestrator's parameters are read, whatever type Dify hands over."""

from typing import Any

import pytest
from dify_plugin.file.entities import FileType
from dify_plugin.file.file import File

from ensemble.plan.limits import Limits
from plugin.errors import BadParameters
from plugin.orchestrator.parameters import PARAMETERS, read_parameters


def read(**raw: Any) -> Any:
    """Read *raw* with a task."""
    return read_parameters({"task": "do it", **raw})


def test_what_is_unset_is_not_there() -> None:
    """Absent, None and empty text mean the same."""
    alone = read()

    assert alone == read(**dict.fromkeys(PARAMETERS[1:])) == read(**dict.fromkeys(PARAMETERS[1:], " "))
    assert alone.agents is None
    assert alone.inputs == {}
    assert alone.limits == Limits()
    assert not alone.fail_fast


@pytest.mark.parametrize(
    "limits",
    [
        "max_parallel: 2, timeout: 1.5, max_calls: 7",
        "max_parallel=2; timeout=1.5; max_calls=7;",
        "max_parallel: 2\ntimeout: 1.5\nmax_calls: 7\n",
        '{"max_parallel": 2, "timeout": 1.5, "max_calls": 7.0}',
        "{'max_parallel': 2, 'timeout': '1.5', 'max_calls': '7'}",
        {"max_parallel": "2", "timeout": 1.5, "max_calls": 7, "max_tokens": None, "max_seconds": ""},
    ],
)
def test_limits_can_be_written_in_many_ways(limits: Any) -> None:
    """As pairs in one line, as YAML, as JSON, as Python's text of an object, or as an object."""
    assert read(limits=limits).limits == Limits(max_parallel=2, timeout_s=1.5, max_calls=7)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ('{"company": "ACME", "n": 1}', {"company": "ACME", "n": 1}),
        ("company: ACME\nn: 1", {"company": "ACME", "n": 1}),
        ("{'company': 'ACME', 'n': None}", {"company": "ACME", "n": None}),
        ({"company": "ACME", "n": [1]}, {"company": "ACME", "n": [1]}),
        ("{}", {}),
        ("null", {}),
    ],
)
def test_inputs_can_be_text_or_object(inputs: Any, expected: dict[str, Any]) -> None:
    """An object from a variable arrives as it is, everything typed as text."""
    assert read(inputs=inputs).inputs == expected


def test_lists_and_maps_of_agents_are_left_to_the_plan() -> None:
    """The plan's reader knows all their forms."""
    assert read(agents=["a", "b"]).agents == ["a", "b"]
    assert read(agents="a, b", plan={"steps": []}).plan == {"steps": []}


def test_text_that_is_an_object_is_taken_as_json() -> None:
    """A task out of an object variable is still a task; half of a character does no harm."""
    assert read_parameters({"task": {"q": "é"}}).task == '{"q": "é"}'
    assert read_parameters({"task": "a\ud800b"}).task == "a?b"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"task": " "}, "task: is empty."),
        ({"task": "x" * 1_000_001}, "task: is 1,000,001 characters long."),
        ({"inputs": "just words"}, "inputs: is not an object."),
        ({"inputs": [1]}, "inputs: is not an object."),
        ({"inputs": '{"a": 1, "a": 2}'}, "inputs: The field 'a' is given twice"),
        ({"inputs": "a: ["}, "inputs: Line"),
        ({"run_key": "k" * 257}, "run_key: is 257 characters long."),
        ({"trace_id": "a b"}, "trace_id: holds other characters."),
        ({"trace_id": "1711000000000.trace_id"}, "trace_id: looks like what Dify leaves of a variable"),
        ({"on_failure": "ignore"}, "on_failure: knows no 'ignore'."),
        ({"limits": "fast"}, "limits: can't be read."),
        ({"limits": {"speed": 3}}, "limits: knows no 'speed'."),
        ({"limits": "max_calls: 1.5"}, "limits.max_calls: can't be '1.5'."),
        ({"limits": {"max_calls": True}}, "limits.max_calls: can't be 'True'."),
        ({"limits": "timeout: 0"}, "limits.timeout: can't be '0'."),
        ({"limits": "timeout: nan"}, "limits.timeout: can't be 'nan'."),
        ({"limits": {"max_parallel": 1001}}, "limits.max_parallel: can't be '1001'."),
        ({"limits": {"max_tokens": [1]}}, "limits.max_tokens: can't be '[1]'."),
    ],
)
def test_a_fault_names_its_parameter(raw: dict[str, Any], said: str) -> None:
    """In the words of the tool, once."""
    with pytest.raises(BadParameters) as caught:
        read(**raw)

    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1


def test_all_faults_are_told_at_once() -> None:
    """One failed run is enough to hear of all."""
    with pytest.raises(BadParameters) as caught:
        read(inputs="x", run_key="k" * 300, trace_id="?", on_failure="?", limits="speed: 1, timeout: -1")

    assert len(str(caught.value).splitlines()) == 6


SHOWN = {
    "dify_model_identity": "__dify__file__",
    "type": "image",
    "transfer_method": "local_file",
    "related_id": "u-1",
    "url": "http://dify/files/u-1/file-preview?sign=x",
}


def test_files_come_as_the_sdk_makes_them_or_as_dify_shows_them() -> None:
    """One or several; what is passed on is their address."""
    wanted = {"type": "image", "transfer_method": "remote_url", "url": SHOWN["url"]}
    made = File(url=SHOWN["url"], type=FileType.IMAGE)

    assert read(files=[made, SHOWN]).files == (wanted, wanted)
    assert read(files=SHOWN).files == (wanted,)
    assert read(files=[None]).files == ()


@pytest.mark.parametrize("value", ["a.pdf", [SHOWN | {"url": "/files/x", "transfer_method": "remote_url"}], [3]])
def test_what_can_not_be_passed_on_is_named(value: Any) -> None:
    """With the setting that a Dify without addresses lacks."""
    with pytest.raises(BadParameters, match=r"files\[0\]: has no address.*FILES_URL"):
        read(files=value)


def test_there_is_a_most_of_files() -> None:
    """A loop gone wrong is told from a wish."""
    with pytest.raises(BadParameters, match="files: are 101"):
        read(files=[SHOWN] * 101)

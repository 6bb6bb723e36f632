"""Every strategy of the aggregator through the real plugin process, as a workflow calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.standin.apps import App, Usage
from tests.standin.invocation import Invocation, Result
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT
from tests.together.schema import violations
from tests.together.team import Team

type MakeTeam = Callable[..., Team]

SCHEMA = yaml.safe_load((Path(ROOT) / "plugin/tools/aggregator.yaml").read_text("utf-8"))["output_schema"]
ANSWERS = [
    {"agent": "market", "text": "Yes.", "confidence": 0.6, "sources": [{"url": "https://a.example"}]},
    {"agent": "tech", "text": "no", "confidence": 0.9, "sources": [{"url": "https://b.example"}]},
    {"agent": "finance", "text": "yes", "confidence": 0.4, "sources": [{"url": "https://a.example"}]},
]


def aggregate(team: Team, saved: Mapping[str, Any] | None = None, **given: Any) -> Result:
    """Call the aggregator as a workflow does; what is no text comes from a variable."""
    values = {name: each if isinstance(each, str) else variable(each) for name, each in given.items()}
    result = team.scene.plugin.invoke("aggregator", values, saved or team.credentials()).result()
    if result.error is None:
        assert set(result.variables) == set(SCHEMA["properties"])
        assert list(violations(result.variables, SCHEMA)) == []
    return result


def test_results_are_listed_with_their_tokens_and_sources(make_team: MakeTeam) -> None:
    """The default; a list from a variable arrives as Python writes it, and is read."""
    result = aggregate(make_team(), results=ANSWERS)

    assert result.text == "### market\nYes.\n\n### tech\nno\n\n### finance\nyes"
    assert result.variables["kept"] == ["market", "tech", "finance"]
    assert result.variables["sources"] == [{"url": "https://a.example"}, {"url": "https://b.example"}]
    assert [each["confidence"] for each in result.variables["results"]] == [0.6, 0.9, 0.4]
    # Counted with o200k: 3 headings of 3 tokens and a line break each, two breaks between, five tokens of text.
    assert 14 <= result.variables["tokens"] <= 24
    assert result.variables["warnings"] == []


def test_long_results_are_kept_within_the_limit_and_told(make_team: MakeTeam) -> None:
    """Whole, cut and dropped are three lists that name every result once."""
    results = {"short": "brief", "long": "word and " * 5000, "longer": "more of it " * 9000}

    result = aggregate(make_team(), results=results, max_tokens="500", max_tokens_each="400")

    assert result.variables["tokens"] <= 500
    assert result.variables["kept"] == ["short"]
    assert result.variables["cut"] == ["long", "longer"]
    assert "...[compressed]" in result.text
    assert "was given" not in result.text


def test_what_has_to_do_with_the_task_is_extracted(make_team: MakeTeam) -> None:
    """From the middle of a text, where head and tail would lose it."""
    filler = "The weather was fine and nothing much happened on that day. "
    text = filler * 300 + "The launch code of the zebra project is 4711. " + filler * 300

    given: dict[str, Any] = {
        "results": [text],
        "task": "What is the launch code?",
        "max_tokens": "300",
        "compression": "extractive",
    }
    result = aggregate(make_team(), **given)

    assert "4711" in result.text
    assert result.variables["tokens"] <= 300


def test_objects_are_merged_and_conflicts_told(make_team: MakeTeam) -> None:
    """Fields come together, lists are joined, the rule decides where two disagree."""
    results = [
        {"agent": "a", "text": '{"size": 5, "tags": ["x"], "at": {"eu": 1}}', "confidence": 0.2},
        {"agent": "b", "text": '```json\n{"size": 7, "tags": ["x", "y"], "at": {"us": 2}}\n```', "confidence": 0.8},
        {"agent": "c", "text": "no object"},
    ]

    result = aggregate(make_team(), strategy="merge_json", results=results, conflicts="confidence")

    merged = {"size": 7, "tags": ["x", "y"], "at": {"eu": 1, "us": 2}}
    assert json.loads(result.text) == merged == result.variables["data"]["merged"]
    assert result.variables["data"]["conflicts"] == [{"path": "size", "values": {"a": 5, "b": 7}}]
    assert result.variables["dropped"] == ["c"]
    assert any("disagree on size" in warning for warning in result.variables["warnings"])


def test_a_conflict_can_fail_the_node(make_team: MakeTeam) -> None:
    """The error names the field and who disagrees."""
    results = {"a": {"size": 5}, "b": {"size": 7}}

    result = aggregate(make_team(), strategy="merge_json", results=results, conflicts="fail")

    assert result.error is not None
    assert result.error.error_type == "ResultsDisagree"
    assert "size: a, b" in result.error.message


def test_most_votes_win_and_confidence_can_weigh_them(make_team: MakeTeam) -> None:
    """Two say yes; two with 0.5 on average are still more than one with 0.9."""
    team = make_team()

    plain = aggregate(team, strategy="vote", results=ANSWERS)
    weighed = aggregate(
        team, strategy="vote", results=[*ANSWERS[:2], ANSWERS[2] | {"confidence": 0.1}], weights="confidence"
    )

    assert plain.text == "Yes."
    assert plain.variables["confidence"] == pytest.approx(2 / 3)
    assert plain.variables["sources"] == [{"url": "https://a.example"}]
    assert weighed.text == "no"
    assert weighed.variables["data"]["share"] == pytest.approx(0.9 / 1.6)


def test_the_surest_result_is_the_best_without_a_judge(make_team: MakeTeam) -> None:
    """With its confidence and its sources."""
    result = aggregate(make_team(), strategy="best", results=ANSWERS)

    assert (result.text, result.variables["kept"]) == ("no", ["tech"])
    assert (result.variables["confidence"], result.variables["data"]["by"]) == (0.9, "confidence")
    assert result.variables["dropped"] == ["market", "finance"]


def test_a_judge_is_asked_once_and_on_record(make_team: MakeTeam) -> None:
    """It sees task and candidates; its usage is told, its run is in the sidecar."""
    verdict = json.dumps({"choice": "market", "confidence": 0.7, "reason": "It is complete."})
    team = make_team(App(name="judge", answer=f"I say: {verdict}", usage=Usage(prompt_tokens=90, completion_tokens=10)))

    given: dict[str, Any] = {
        "strategy": "best",
        "results": ANSWERS,
        "agent": "judge",
        "task": "Shall we?",
        "run_key": "key-of-the-judge",
    }
    first, again = aggregate(team, **given), aggregate(team, **given)

    assert (first.text, first.variables["data"]["by"]) == ("Yes.", "judge")
    assert first.variables["data"]["reason"] == "It is complete."
    assert first.variables["usage"]["tokens"] == 100
    assert again.text == first.text
    (call,) = team.calls("judge")
    assert all(words in str(call) for words in ("Shall we?", "### tech", "### finance"))
    assert len(first.variables["run_id"]) == 32
    assert "judge" in first.variables["progress"] or "best" in first.variables["progress"]


@pytest.mark.parametrize("says", ["the fourth one", '{"choice": "nobody"}', '{"choice": ["tech"]}', "market tech"])
def test_a_judge_that_names_none_of_them_does_not_count(make_team: MakeTeam, says: str) -> None:
    """The confidence decides then, and the node says so."""
    team = make_team(App(name="judge", answer=says))

    result = aggregate(team, strategy="best", results=ANSWERS, agent="judge")

    assert (result.text, result.variables["data"]["by"], result.variables["status"]) == ("no", "confidence", "partial")
    assert any("named none of the results" in warning for warning in result.variables["warnings"])


def test_one_answer_is_written(make_team: MakeTeam) -> None:
    """By an app, which is given the task and the sections; braces in results are not templates."""
    team = make_team(App(name="writer", answer="Both agree."))
    results = [{"agent": "a", "text": "{{ start.x }}"}, {"agent": "b", "text": "fine"}]

    result = aggregate(team, strategy="synthesize", results=results, agent="writer", task="Write it up.")

    assert (result.text, result.variables["status"]) == ("Both agree.", "succeeded")
    assert result.variables["kept"] == ["a", "b"]
    (call,) = team.calls("writer")
    assert all(words in str(call) for words in ("Write it up.", "### a", "{{ start.x }}", "### b"))


def test_a_writer_that_fails_leaves_the_sections(make_team: MakeTeam) -> None:
    """The results were paid for; the node is green, partial, and says why."""
    team = make_team(App(name="writer", published=False))

    result = aggregate(team, strategy="synthesize", results=ANSWERS, agent="writer")

    assert result.text.startswith("### market\nYes.")
    assert result.variables["status"] == "partial"
    assert any("writer gave no answer" in warning for warning in result.variables["warnings"])


def test_a_model_can_write(make_team: MakeTeam) -> None:
    """Named as provider/model, it is called through Dify."""
    asked: list[dict[str, Any]] = []

    def answer(request: dict[str, Any], _: Invocation) -> Iterator[Mapping[str, Any]]:
        asked.append(request)
        message = {"role": "assistant", "content": "Written by a model.", "tool_calls": []}
        yield {"model": "m", "prompt_messages": [], "delta": {"index": 0, "message": message}}

    team = make_team()
    team.scene.plugin.on("llm", answer)

    result = aggregate(team, strategy="synthesize", results=ANSWERS, agent="langgenius/openai/openai/gpt-4o")

    assert result.text == "Written by a model."
    assert asked[0]["provider"] == "langgenius/openai/openai"
    assert "### tech" in json.dumps(asked[0])


def test_a_run_is_aggregated_by_its_id(make_team: MakeTeam) -> None:
    """The sidecar has its results; those of agents that failed are left out and named."""
    team = make_team(
        App(name="one", answer="first"), App(name="two", answer="second"), App(name="off", published=False)
    )
    run = team.run("go", pattern="parallel")

    result = aggregate(team, run_id=run.variables["run_id"])

    assert result.text == "### one\nfirst\n\n### two\nsecond"
    assert any("off" in warning for warning in result.variables["warnings"])


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, "BadParameters", "results"),
        ({"results": [], "run_id": ""}, "BadParameters", "results"),
        ({"run_id": "0" * 32}, "BadParameters", "No run 0000"),
        ({"run_id": "nonsense"}, "BadParameters", "run_id"),
        ({"results": ["a"], "strategy": "synthesize"}, "BadParameters", "agent"),
        (
            {"results": ["a", "b"], "strategy": "best", "agent": "nobody"},
            "UnknownAgent",
            "agent: There is no agent 'nobody'",
        ),
        ({"results": ["a", "b"], "strategy": "merge_json"}, "BadParameters", "nothing to merge"),
        ({"results": ["a"], "max_tokens": "lots"}, "BadParameters", "max_tokens"),
        ({"results": [{"agent": "a", "status": "failed"}]}, "BadParameters", "a"),
    ],
)
def test_what_can_not_be_done_is_said(make_team: MakeTeam, given: dict[str, Any], kind: str, words: str) -> None:
    """The node fails and names the field."""
    result = aggregate(make_team(), **given)

    assert result.error is not None
    assert result.error.error_type == kind
    assert words in result.error.message


def test_without_a_sidecar_tokens_are_estimated_and_said_so(make_team: MakeTeam) -> None:
    """Local mode."""
    team = make_team()
    saved = team.credentials(sidecar_url="", sidecar_token="")

    result = aggregate(team, saved, results=ANSWERS)

    assert result.text.startswith("### market\nYes.")
    assert any("estimated" in warning for warning in result.variables["warnings"])

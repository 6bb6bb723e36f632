"""Agents' text as it comes: told in lines, and streamed as the answer by the step whose answer it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome
from ensemble.engine.attempts.streaming import BROKEN, SHOWN_CHARS
from ensemble.engine.events import AnswerText, Progress
from tests.ensemble.engine.kit import Played, Scripted, bad, chain, good, play, side_by_side

type Line = Callable[[Call, CallScope], Reply]


def saying(*pieces: str, reply: Reply | None = None) -> Line:
    """A script that speaks piece by piece, then replies."""

    def speak(_call: Call, scope: CallScope) -> Reply:
        for piece in pieces:
            scope.text(piece)
        return reply or good("".join(pieces))

    return speak


def answer(played: Played) -> str:
    return "".join(event.text for event in played.events if isinstance(event, AnswerText))


def progress(played: Played) -> list[str]:
    return [event.line.partition("] ")[2] for event in played.events if isinstance(event, Progress)]


def test_the_last_steps_text_is_the_answer_as_it_comes() -> None:
    """And every agent's text is told, under its step's name."""
    agents: dict[str, Agent] = {
        "a": Scripted("a", [saying("first ", "draft")]),
        "b": Scripted("b", [saying("the ", "answer")]),
    }
    played = play(chain("a", "b"), agents)

    assert "the answer" == answer(played) == played.report.answer
    assert {"a: first draft", "b: the answer"} <= set(progress(played))


@pytest.mark.parametrize(
    ("plan", "streams"),
    [
        (side_by_side("a", "b", synthesizer="b"), True),
        (side_by_side("a", "b"), False),
        (
            {
                "steps": [{"id": "a", "agent": "a"}, {"id": "b", "agent": "b", "depends_on": "a"}],
                "output": "{{ b.text }}!",
            },
            False,
        ),
        ({"steps": [{"id": "b", "agent": "b", "stream": False}]}, False),
        ({"steps": [{"id": "b", "agent": "b", "stream": True}]}, True),
    ],
)
def test_only_the_step_whose_answer_is_the_runs_streams_into_it(plan: object, streams: bool) -> None:  # noqa: FBT001 - a table
    """A synthesizer, or the only leaf; not where an output is composed, several end the plan, or nobody wants it."""
    agents: dict[str, Agent] = {"a": Scripted("a"), "b": Scripted("b", [saying("x", "y")])}

    assert ("xy" if streams else "") == answer(play(plan, agents))


def test_what_a_step_wishes_reaches_its_agent() -> None:
    agents = {name: Scripted(name) for name in "abc"}
    steps = [
        {"id": "a", "agent": "a", "stream": True},
        {"id": "b", "agent": "b", "stream": False},
        {"id": "c", "agent": "c"},
    ]

    play({"steps": steps}, agents)

    assert [True, False, None] == [agents[name].calls[0].stream for name in "abc"]


@pytest.mark.parametrize("outcome", [Outcome.AGENT_FAILED, Outcome.UNAVAILABLE])
def test_an_attempt_after_one_that_spoke_does_not_stream(outcome: Outcome) -> None:
    """There is no taking back: the report's answer is whole, and a warning says which of the two is the truth."""
    agent = Scripted("a", [saying("half an", reply=bad(outcome)), saying("the ", "answer")])

    played = play({"steps": [{"id": "a", "agent": "a", "retry_times": 1, "stream": True}]}, {"a": agent})

    assert ("half an", "the answer") == (answer(played), played.report.answer)
    assert [True, False] == [call.stream for call in agent.calls]
    assert BROKEN in played.report.warnings


def test_an_attempt_after_one_that_said_nothing_streams() -> None:
    agent = Scripted("a", [bad(), saying("the ", "answer")])

    played = play({"steps": [{"id": "a", "agent": "a", "retry_times": 1}]}, {"a": agent})

    assert ("the answer", ()) == (answer(played), played.report.warnings)


def test_a_replacement_of_what_was_streamed_is_warned_of() -> None:
    """Dify's moderation answers something else than what it let through."""
    played = play({"steps": [{"id": "a", "agent": "a"}]}, {"a": Scripted("a", [saying("bad words", reply=good("…"))])})

    assert ("bad words", "…") == (answer(played), played.report.answer)
    assert BROKEN in played.report.warnings


def test_a_pause_in_the_middle_ends_the_step() -> None:
    paused = Reply(outcome=Outcome.INPUT_REQUIRED, message="It paused for a human.")
    plan = {"steps": [{"id": "a", "agent": "a", "retry_times": 3}, {"id": "b", "agent": "b"}]}

    played = play(plan, {"a": Scripted("a", [saying("so far", reply=paused)]), "b": Scripted("b")})

    assert {"a": "input_required", "b": "succeeded"} == played.statuses()
    assert "a: so far" in progress(played)


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        (["one\ntw", "o\n\nthree"], ["a: one", "a: two", "a: three"]),
        (["word " * 60], ["a: " + ("word " * 40).strip(), "a: " + ("word " * 20).strip()]),
        (["x" * 450], ["a: " + "x" * 200] * 2 + ["a: " + "x" * 50]),
        (["  \n \n"], []),
    ],
)
def test_text_is_told_in_lines_of_a_sensible_length(pieces: Sequence[str], lines: Sequence[str]) -> None:
    played = play({"steps": [{"id": "a", "agent": "a"}]}, {"a": Scripted("a", [saying(*pieces)])})

    assert list(lines) == [line for line in progress(played) if line.startswith("a: ")]


def test_a_flood_is_told_to_a_point_and_streamed_whole() -> None:
    """Progress is for people; the answer is for the next node."""
    flood = ["y" * 1000] * 300

    played = play({"steps": [{"id": "a", "agent": "a"}]}, {"a": Scripted("a", [saying(*flood)])})

    told = [line for line in progress(played) if line.startswith("a: ")]
    assert SHOWN_CHARS <= sum(map(len, told)) < SHOWN_CHARS * 1.1
    assert told[-1].endswith("(the rest is not shown here)")
    assert 300_000 == len(answer(played))

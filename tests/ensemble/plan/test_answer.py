"""What a run answers, given how its steps ended."""

from typing import Any

import pytest

from ensemble.contract.outcomes import Outcome, StepStatus
from ensemble.contract.results import ErrorInfo, StepResult
from ensemble.plan.answer import compose, failure_lines
from ensemble.plan.reading.plan import read_plan
from ensemble.plan.rendering import Scope

DIAMOND = [{"agent": "a"}, {"agent": "b", "depends_on": "a"}, {"agent": "c", "depends_on": "a"}]


def answer(source: Any, ends: str, left: str = "", **more: Any) -> str:
    """Answer with each step's text as its id in capitals; *ends* names the steps that succeeded."""
    plan = read_plan(source, known="abcd", **more)
    results = {
        step.id: StepResult(
            step=step.id,
            agent=step.agent,
            status=StepStatus.SUCCEEDED if step.id in ends else StepStatus.FAILED,
            text=step.id.upper() if step.id in ends else "",
        )
        for step in plan.steps
    }
    return compose(plan, Scope(task="t", steps=results), left)[0]


@pytest.mark.parametrize(
    ("source", "ends", "left", "expected"),
    [
        ({"pattern": "sequential", "agents": ["a", "b"]}, "ab", "", "B"),
        ({"pattern": "sequential", "agents": ["a", "b"]}, "a", "", "### a\n\nA"),
        ({"agents": ["a", "b"]}, "ab", "", "### a\n\nA\n\n### b\n\nB"),
        ({"agents": ["a", "b"]}, "b", "", "### b\n\nB"),
        ({"agents": ["a", "b"]}, "b", "a", "B"),
        ({"agents": ["a", "b"], "synthesizer": "c"}, "abc", "", "C"),
        ({"agents": ["a", "b"], "synthesizer": "c"}, "ab", "", "### a\n\nA\n\n### b\n\nB"),
        ({"agents": ["a", "b"], "synthesizer": "c"}, "", "", ""),
        ({"steps": DIAMOND}, "abc", "", "### b\n\nB\n\n### c\n\nC"),
        ({"steps": DIAMOND}, "a", "", "### a\n\nA"),
        ({"steps": DIAMOND}, "ab", "", "### b\n\nB"),
        ({"steps": DIAMOND, "output": "b"}, "abc", "", "B"),
        ({"steps": DIAMOND, "output": "{{ a.text }}-{{ c.text }}"}, "ab", "", "A-"),
        ({"steps": DIAMOND, "output": {"x": "{{ a.text }}"}}, "abc", "", '{"x": "A"}'),
        ({"steps": DIAMOND, "output": "{{ c.text }}"}, "ab", "", "### b\n\nB"),
    ],
)
def test_the_answer_is_the_output_the_synthesizer_the_leaf_or_sections(
    source: Any, ends: str, left: str, expected: str
) -> None:
    assert answer(source, ends, left) == expected


def test_each_failed_step_has_a_line_and_skipped_ones_have_none() -> None:
    plan = read_plan(None, agents="a, b, c", known="abc")
    error = ErrorInfo(code=Outcome.TIMED_OUT, message="No answer\nin 3 s.")
    results = {
        "a": StepResult(step="a", agent="a", status=StepStatus.TIMED_OUT, error=error),
        "b": StepResult(step="b", agent="b", status=StepStatus.SKIPPED),
        "c": StepResult(step="c", agent="c", status=StepStatus.SUCCEEDED),
    }

    assert failure_lines(plan, results) == ("a: timed_out - No answer in 3 s.",)

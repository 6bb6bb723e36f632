"""Templates outside a run: what they refer to, what keeps its type, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.team import PlanError, Team, UnknownOutput, resolve

RESULTS = {
    "market": {"report": "grew", "size": 4.1, "rows": [{"name": "a"}, {"name": "b"}]},
    "critic": "too dear",
    "市场": {"text": "涨"},
    "count": [1, 2],
}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ market.report }} by {{ market.size }}", "grew by 4.1"),
        ("{{ market.size }}", 4.1),
        ("{{ market.data.rows[1].name }}", "b"),
        ("{{ critic }}", "too dear"),
        ("{{ critic.output }}", "too dear"),
        ("{{ critic.anything }}", "too dear"),
        ('{{ "市场".text }}', "涨"),
        ("{{ count.result }}", [1, 2]),
        ("{{ task }} of {{ start.company }}", "Q3 of ACME"),
        ("{{ start.years }}", [2023, 2024]),
        ("\\{{ task }}", "{{ task }}"),
        ("no reference", "no reference"),
        ({"a": ["{{ market.size }}", 7]}, {"a": [4.1, 7]}),
        (None, None),
    ],
)
def test_what_is_filled_in(template: Any, value: Any) -> None:
    inputs = {"company": "ACME", "years": [2023, 2024]}

    assert value == resolve(template, task="Q3", inputs=inputs, results=RESULTS)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ markt.report }}", "Did you mean 'market'?"),
        ("{{ market report }}", "template"),
        ({"a": ["{{ nobody }}"]}, "template.a[0]"),
    ],
)
def test_what_leads_nowhere_is_refused(template: Any, words: str) -> None:
    with pytest.raises(PlanError, match=r".") as refused:
        resolve(template, results=RESULTS)

    assert words in str(refused.value)


def test_an_output_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UnknownOutput, match="There are: text, a, b"):
        resolve("{{ two.c }}", results={"two": {"a": "x", "b": "y"}})


def test_a_report_is_read_like_a_plan_reads_it() -> None:
    """Steps that failed are empty, and say why."""

    def fails(_text: str) -> str:
        raise ValueError("no")

    report = Team({"fails": fails, "works": lambda text: {"found": text, "n": 2}}).parallel("x")

    assert 2 == resolve("{{ works.n }}", results=report)
    assert "x " == resolve("{{ works.found }} {{ fails.text }}", results=report.results)
    assert resolve("{{ fails.text }}", results=report) is None
    assert "failed: fails failed: ValueError: no" == resolve("{{ fails.status }}: {{ fails.error }}", results=report)

"""Texts of plans, harmless and hostile."""

import itertools
from typing import Any

import pytest

from ensemble.plan.faults import Faults, PlanError
from ensemble.plan.reading.source import parse_text


def parsed(text: str) -> Any:
    faults = Faults()
    value = parse_text(text, "plan", faults)
    faults.stop()
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: no\nb: on\nc: 12:30\nd: 2024-01-01\ne: 007", {"a": "no", "b": "on", "c": "12:30", "d": "2024-01-01", "e": "007"}),
        ("[1, -2, 1.5, 1e3, true, null, ~, '1', \"x\", .5]", [1, -2, 1.5, 1000.0, True, None, None, "1", "x", 0.5]),
        ("a: 12345678901234567890", {"a": "12345678901234567890"}),
        ("base: &b {t: 1, u: 2}\nx: {<<: *b, t: 3}", {"base": {"t": 1, "u": 2}, "x": {"t": 3, "u": 2}}),
        ('{\n\t"a": "\\ud83d\\ude00"\n}', {"a": "😀"}),
        ("{'a': None, 'b': [True, \"it's\\n\"]}", {"a": None, "b": [True, "it's\n"]}),
        ("```yaml\na: 1\n```\n", {"a": 1}),
        ("1: !!str 2", {"1": "2"}),
        ("", None),
        ("{a: 1,}", {"a": 1}),
    ],
)  # fmt: skip
def test_a_text_means_what_its_writer_meant(text: str, value: Any) -> None:
    assert parsed(text) == value


@pytest.mark.parametrize(
    ("text", "field", "problem", "fix"),
    [
        ("a: 1\nb: {c: 1, c: 2}", "b.c", "Line 2: The field is given twice.", "Keep one"),
        ('{"a": {"b": 1, "b": 2}}', "plan", "The field 'b' is given twice in one object.", "Keep one"),
        ("a:\n\tb: 1", "plan", "Line 2, column 1 is no valid YAML", "spaces"),
        ("a: {{ x.y }}", "plan", "Line 1: The name of a field is a map", "quotes"),
        ("a: {{ x.y }} and", "plan", "Line 1: The name of a field is a map", "quotes"),
        ("a: b: c", "plan", "Line 1, column 5 is no valid YAML", "quotes"),
        ("--- 1\n--- 2", "plan", "A second document", "one plan"),
        ("a: *x", "plan", "Line 1: '*x' stands for nothing", "quotes"),
        ("&a [*a]", "plan", "Line 1: '*a' stands for nothing", "quotes"),
        ("a: !!python/object:os.system x", "plan", "Line 1: The tag", "Remove"),
        ("a: \x00", "plan", "It holds a control character", "Remove"),
        ("a: \ud800", "plan", "It holds half of a character", "anew"),
        ('{"a": "\\ud800"}', "plan", "It holds half of a character", "anew"),
        ("[" * 1_000_000, "plan", "Its maps and lists stand too deep", "40"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "plan", "Its maps and lists stand too deep", "40"),
        ("[" + "1," * 200_000 + "1]", "plan", "It holds too many values.", "100,000"),
        ("x" * 1_048_577, "plan", "It is 1,048,577 characters long.", "At most"),
    ],
)
def test_a_text_that_can_not_be_meant_is_refused_in_words(text: str, field: str, problem: str, fix: str) -> None:
    with pytest.raises(PlanError) as caught:
        parsed(text)

    (fault,) = caught.value.faults
    assert fault.field == field
    assert fault.problem.startswith(problem)
    assert fix in fault.fix


def test_aliases_that_unfold_without_end_are_refused_before_they_do() -> None:
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in itertools.pairwise(names)]

    with pytest.raises(PlanError, match="too many values"):
        parsed("\n".join(lines))


def test_aliases_count_towards_the_depth() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)]

    with pytest.raises(PlanError, match="too deep"):
        parsed("\n".join(lines))

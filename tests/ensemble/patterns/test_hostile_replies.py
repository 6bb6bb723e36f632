"""What managers say, careless and hostile: it is read, or refused in words, and never costs the run."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from ensemble.patterns.replies import Answered, BadPlan, Given, read_reply
from tests.ensemble.engine.kit import Scripted, good, play
from tests.ensemble.engine.teams import answer

TEAM = ("market", "tech")


def read(text: str) -> Given | Answered:
    """Read *text* as the reply of a manager of two."""
    return read_reply(text, TEAM, (), 20)


@pytest.mark.parametrize(("reply", "text"), [
    ('{"answer": {"a": 1}}', '{"a": 1}'),
    ('{"answer": ["x"]}', '["x"]'),
    (r'{"answer": "half \ud800"}', "half ?"),
    ("{'answer': 'x', 'e': ..., 'b': b'\\xff', 's': {1, 2}, 'c': 1j}", "x"),
    ('{"answer": "x", "deep": ' + "[" * 500 + "]" * 500 + "}", "x"),
    ('{"answer": "x", "n": NaN, "i": 1e999}', "x"),
    ("{'answer': 'x', 'n': 0x" + "f" * 5_000 + "}", "x"),
    ('Begin with { and go on. {"answer": "x"}', "x"),
    ('<think>{"answer": "no"}</think>{"answer": "x"}<think>', "x"),
])  # fmt: skip
def test_an_answer_is_read_and_can_be_put_on_record(reply: str, text: str) -> None:
    said = read(reply)

    assert isinstance(said, Answered)
    assert said.text == text
    to_json(dict(said.data))


@pytest.mark.parametrize("name", ["x²", "①", "ask[1]", "../x", "a/b", "x\ny", "y" * 65, "\ud800"])
def test_an_id_that_can_be_none_is_refused_in_words(name: str) -> None:
    """Some of these are letters and digits to Python, and not to the ledger."""
    with pytest.raises(BadPlan, match="is no id; write a short name"):
        read(json.dumps({"subtasks": [{"id": name, "agent": "tech", "input": "work"}]}))


@pytest.mark.parametrize("text", [
    "<think>" * 28_000, "{" * 200_000, "{" * 90_000 + "}" * 90_000, "{'a':" + "-" * 100_000 + "1}",
    "{'answer': 0x" + "f" * 150_000 + "}",
    "{'a':" + "(" * 90_000 + ")" * 90_000 + "}", '{"a' * 60_000,
])  # fmt: skip
def test_what_is_made_to_take_long_does_not(text: str) -> None:
    begun = time.monotonic()

    with pytest.raises(BadPlan):
        read(text)

    assert time.monotonic() - begun < 3


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
tasks = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["id", "agent", "input", "depends_on"], anything | st.just("tech"))
)
objects = st.fixed_dictionaries({}, optional=dict.fromkeys(["subtasks", "tasks", "answer", "x"], anything))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=objects | st.fixed_dictionaries({"subtasks": st.lists(tasks, max_size=3)}))
def test_any_object_is_read_or_refused_in_words(said: dict[str, object]) -> None:
    with contextlib.suppress(BadPlan):
        to_json(read(json.dumps(said)))


def test_half_characters_in_subtasks_do_not_cost_the_run() -> None:
    reply = r'{"subtasks": [{"id": "x", "agent": "a", "input": "half \ud800 a \"character\""}]}'
    agent = Scripted("a")

    played = play(
        {"pattern": "hierarchical", "manager": "boss", "agents": ["a"]},
        {"boss": Scripted("boss", [good(reply), answer("done")]), "a": agent},
    )

    assert played.report.answer == "done"
    assert agent.calls[0].query == 'half ? a "character"'

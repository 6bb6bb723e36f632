"""What goes along to an agent goes whole where it fits, is packed where it does not, and what was cut is named."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.context import Compression
from ensemble.engine.carrying import ESTIMATED, carry, fits_surely
from ensemble.packing.counting import ESTIMATE
from ensemble.packing.model import CUT_MARK, Packed, Part, Policy
from tests.ensemble.engine.kit import Scripted, good, play


class Watched:
    """A context that notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Policy] = []

    def pack(self, parts: Sequence[Part], policy: Policy) -> tuple[Packed, tuple[str, ...]]:
        self.asked.append(policy)
        return ESTIMATED.pack(parts, policy)


def test_short_results_go_along_whole_and_nobody_is_asked() -> None:
    context = Watched()

    carried = carry("The task", [("market", "up"), ("tech", "down")], to="writer", context=context)

    assert carried.text == "The task\n\n### market\nup\n\n### tech\ndown"
    assert carried.warnings == ()
    assert context.asked == []


def test_a_long_result_is_cut_and_named_and_the_short_one_is_whole() -> None:
    context = Watched()

    carried = carry("t", [("short", "brief"), ("long", "word " * 30_000)], to="writer", context=context)

    assert "### short\nbrief" in carried.text
    assert CUT_MARK in carried.text
    assert ESTIMATE.count(carried.text) <= 10_020
    assert carried.warnings[0].startswith("writer was given a shortened answer of long:")
    assert "estimated" in carried.warnings[1]
    assert [policy.query for policy in context.asked] == ["t"]


def test_what_is_left_out_altogether_is_named() -> None:
    policy = Policy(limit_tokens=60)

    carried = carry("t", [("one", "word " * 100), ("two", "word " * 100)], to="x", policy=policy)

    assert "x was not given the answer of two" in carried.warnings[1]


@given(
    texts=st.lists(st.text(max_size=400), max_size=6),
    limit=st.integers(0, 600),
    each=st.integers(0, 300),
    compression=st.sampled_from(Compression),
)
def test_what_surely_fits_is_never_cut(texts: list[str], limit: int, each: int, compression: Compression) -> None:
    """So leaving out the question changes nothing of the answer."""
    parts = [Part(name=f"agent {n}", text=text) for n, text in enumerate(texts)]
    policy = Policy(limit_tokens=limit, each_tokens=each, compression=compression, dedupe=False)

    if fits_surely(parts, policy):
        assert ESTIMATED.pack(parts, policy)[1] == ()


@pytest.mark.parametrize(
    "plan",
    [
        {"agents": ["long", "last"], "pattern": "sequential"},
        {"agents": ["long", "short"], "pattern": "parallel", "synthesizer": "last"},
    ],
)
def test_a_run_asks_the_context_it_was_given(plan: dict[str, object]) -> None:
    """For the answer before it, and for those a synthesizer is given."""
    context, last = Watched(), Scripted("last")
    agents = {"long": Scripted("long", [good("word " * 30_000)]), "short": Scripted("short"), "last": last}

    played = play(plan, agents, context=context)

    assert len(context.asked) == 1
    assert any("last was given a shortened answer of long" in warning for warning in played.report.warnings)
    assert CUT_MARK in last.calls[0].query

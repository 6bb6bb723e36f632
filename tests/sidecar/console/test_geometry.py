"""Where bars, marks, boxes and arrows stand, whatever a run did."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.console.graph import HEIGHT, MOST_STEPS, WIDTH, drawn, levels_of, shortened
from sidecar.console.waterfall import FOLD_FROM_MS, FOLDED, placed, scale_of, ticks

TIMES = st.integers(0, 10**9) | st.integers(0, 2000)
SPANS = st.lists(st.tuples(TIMES, TIMES).map(lambda pair: (min(pair), max(pair))), max_size=30)


@given(spans=SPANS, end_ms=TIMES)
def test_the_scale_runs_forward_from_edge_to_edge(spans: list[tuple[int, int]], end_ms: int) -> None:
    """What was later stands further to the right; nothing leaves the drawing."""
    scale = scale_of(spans, end_ms)

    assert scale.at_ms[0] == 0
    assert (scale.at_x[0], round(scale.at_x[-1], 6)) == (0.0, 100.0)
    assert all(before < after for before, after in pairwise(scale.at_ms))
    assert all(before <= after for before, after in pairwise(scale.at_x))
    moments = sorted({0, end_ms, *(each for span in spans for each in span)})
    places = [scale.x(ms) for ms in moments]
    assert places == sorted(places)
    for span in spans:
        x, width = placed(scale, span)
        assert x >= 0
        assert width > 0
        assert x + width <= 100.01


@given(spans=SPANS, end_ms=TIMES)
def test_nothing_is_folded_in_which_something_went_on(spans: list[tuple[int, int]], end_ms: int) -> None:
    """Folds are of idle time only, long ones, and drawn as narrow as they say."""
    scale = scale_of(spans, end_ms)

    for fold in scale.folds:
        start = next(ms for ms, x in zip(scale.at_ms, scale.at_x, strict=True) if x >= fold.x - 1e-9)
        assert fold.ms > FOLD_FROM_MS
        assert fold.width == FOLDED
        assert not any(begin < start + fold.ms and end > start and end > begin for begin, end in spans)


@given(spans=SPANS, end_ms=TIMES)
def test_marks_are_few_in_order_and_inside(spans: list[tuple[int, int]], end_ms: int) -> None:
    """Whatever the run's length."""
    scale = scale_of(spans, end_ms)
    marks = ticks(scale)

    assert 1 <= len(marks) <= 13
    assert marks[0].ms == 0
    assert all(0 <= mark.x <= 100 for mark in marks)
    assert all(before.ms < after.ms and before.x < after.x for before, after in pairwise(marks))


def test_an_hour_in_which_nobody_ran_the_run_is_a_sliver() -> None:
    """Both engines' work is seen at its length."""
    scale = scale_of([(0, 1000), (3_600_000, 3_602_000)], 3_602_000)

    first, second = placed(scale, (0, 1000)), placed(scale, (3_600_000, 3_602_000))
    assert [fold.ms for fold in scale.folds] == [3_599_000]
    assert second[1] == pytest.approx(2 * first[1], abs=0.01)
    assert first[1] + second[1] == pytest.approx(97, abs=0.01)


PLANS = st.integers(0, 12).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, max(0, size - 1)), max_size=4), min_size=size, max_size=size).map(
        lambda before: {f"s{n}": [f"s{m}" for m in sorted(each) if m < n] for n, each in enumerate(before)}
    )
)


@given(plan=PLANS)
def test_every_step_stands_right_of_all_it_waits_for(plan: dict[str, list[str]]) -> None:
    """Boxes don't cover each other, lie inside the drawing, and each arrow goes from one box to the other."""
    levels = levels_of(plan)
    graph = drawn(plan)

    assert levels is not None
    level_of = {step: number for number, level in enumerate(levels) for step in level}
    assert sorted(level_of) == sorted(plan)
    assert all(level_of[each] < level_of[step] for step, before in plan.items() for each in before)
    if not any(plan.values()):
        assert graph is None
        return
    assert graph is not None
    boxes = {box.step: box for box in graph.boxes}
    assert boxes.keys() == plan.keys()
    for box in boxes.values():
        assert 0 <= box.x <= graph.width - WIDTH
        assert 0 <= box.y <= graph.height - HEIGHT
    for one, other in combinations(boxes.values(), 2):
        assert one.x != other.x or abs(one.y - other.y) >= HEIGHT
    assert sorted((a.before, a.after) for a in graph.arrows) == sorted((b, s) for s, bs in plan.items() for b in bs)
    for arrow in graph.arrows:
        assert boxes[arrow.before].x < boxes[arrow.after].x
        numbers = [int(each) for each in re.findall(r"-?\d+", arrow.path)]
        assert numbers[:2] == [boxes[arrow.before].x + WIDTH, boxes[arrow.before].y + HEIGHT // 2]
        assert numbers[-1] == boxes[arrow.after].y + HEIGHT // 2


@given(plan=PLANS)
def test_no_arrow_runs_behind_a_box(plan: dict[str, list[str]]) -> None:
    """Where it passes a column it does so between the boxes."""
    graph = drawn(plan)
    for arrow in graph.arrows if graph else ():
        y, x = 0, 0
        for kind, numbers in re.findall(r"([MCH])([\d \-]+)", arrow.path):
            given = [int(each) for each in numbers.split()]
            if kind == "H":
                for box in graph.boxes if graph else ():
                    assert not (box.x <= x and box.x + WIDTH >= given[0] and box.y < y < box.y + HEIGHT)
                x = given[0]
            else:
                x, y = given[-2:]


def test_what_can_not_be_drawn_is_not() -> None:
    """A circle, which no plan holds, a step nobody knows, and more than anybody could look at."""
    many: dict[str, list[str]] = {f"s{n}": [f"s{n - 1}"] if n else [] for n in range(MOST_STEPS + 1)}

    assert levels_of({"a": ["b"], "b": ["a"]}) is None
    assert drawn({"a": ["b"], "b": ["a"]}) is None
    assert drawn({"a": ["nobody"]}) is None
    assert drawn(many) is None
    assert drawn({}) is None


@given(name=st.text(max_size=60))
def test_a_name_is_cut_to_what_fits(name: str) -> None:
    """Letters of the far east take two places."""
    short = shortened(name, 10)

    assert short == name or (short.endswith("…") and name.startswith(short[:-1]))
    assert shortened("ab" * 5, 10) == "ab" * 5
    assert shortened("市场分析报告", 10) == "市场分析…"

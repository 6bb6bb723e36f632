"""When steps start: the table of joins, and a plain model of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.outcomes import StepStatus
from ensemble.plan.joins import Decision, Join, JoinKind, SkipReason, Standing, Verdict, join_verdict, standing

O, S, F, L = Standing.OPEN, Standing.SUCCEEDED, Standing.FAILED, Standing.LEFT  # noqa: E741 - columns of a table
READY, WAIT = Verdict(Decision.READY), Verdict(Decision.WAIT)
UPSTREAM = Verdict(Decision.SKIPPED, SkipReason.UPSTREAM_FAILED)
CONDITION = Verdict(Decision.SKIPPED, SkipReason.CONDITION)
QUORUM = Verdict(Decision.SKIPPED, SkipReason.QUORUM_IMPOSSIBLE)
ALL, DONE, ANY, TWO = Join(), Join(JoinKind.ALL_DONE), Join(JoinKind.ANY), Join(JoinKind.QUORUM, 2)


@pytest.mark.parametrize(
    ("join", "dependencies", "verdict"),
    [
        (ALL, [], READY), (ALL, [S, S], READY), (ALL, [S, O], WAIT), (ALL, [O, F], UPSTREAM), (ALL, [S, L], READY),
        (ALL, [L, L], CONDITION), (ALL, [L, O], WAIT), (ALL, [L, F], UPSTREAM),
        (DONE, [S, F], READY), (DONE, [S, O], WAIT), (DONE, [F, F], UPSTREAM), (DONE, [F, O], WAIT), (DONE, [S, L], READY),
        (ANY, [S, O], READY), (ANY, [F, O], WAIT), (ANY, [F, F], UPSTREAM), (ANY, [L, L], CONDITION),
        (TWO, [S, S, O], READY), (TWO, [S, O, F], WAIT), (TWO, [S, F, F], QUORUM), (TWO, [S, L, L], QUORUM),
        (TWO, [O, F, F], QUORUM), (TWO, [L, L, L], CONDITION),
    ],
)  # fmt: skip
def test_the_table_of_joins(join: Join, dependencies: list[Standing], verdict: Verdict) -> None:
    assert join_verdict(join, dependencies) == verdict


def joins() -> st.SearchStrategy[Join]:
    return st.sampled_from([ALL, DONE, ANY, TWO, Join(JoinKind.QUORUM, 3)])


@given(joins(), st.lists(st.sampled_from([S, F, L]), max_size=6))
def test_once_everything_has_ended_a_step_runs_exactly_if_enough_succeeded(join: Join, ended: list[Standing]) -> None:
    here = [one for one in ended if one is not L]
    needed = {JoinKind.ALL_SUCCESS: len(here), JoinKind.QUORUM: join.n}.get(join.kind, 1)
    runs = not ended or (bool(here) and here.count(S) >= needed)

    assert (join_verdict(join, ended).decision is Decision.READY) == runs
    assert join_verdict(join, ended).decision is not Decision.WAIT


@given(joins(), st.lists(st.tuples(st.sampled_from([S, F, L]), st.booleans()), max_size=6))
def test_a_verdict_holds_whatever_happens_later(join: Join, dependencies: list[tuple[Standing, bool]]) -> None:
    now = join_verdict(join, [end if ended else O for end, ended in dependencies])
    later = join_verdict(join, [end for end, _ in dependencies])

    if now.decision is Decision.READY:
        assert later == now
    if now.decision is Decision.SKIPPED:
        assert later.decision is Decision.SKIPPED


@pytest.mark.parametrize("status", list(StepStatus))
def test_only_success_counts_as_success_and_only_a_condition_leaves(status: StepStatus) -> None:
    expected = {StepStatus.PENDING: O, StepStatus.RUNNING: O, StepStatus.SUCCEEDED: S}.get(status, F)

    assert standing(status, SkipReason.UPSTREAM_FAILED) is expected
    assert (standing(status, SkipReason.CONDITION) is L) == (status is StepStatus.SKIPPED)

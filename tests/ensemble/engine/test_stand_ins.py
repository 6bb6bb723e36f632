"""The one order in which things stand in for an agent that failed: the rule by tables, and runs held against it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensemble.contract.exchange import Why
from ensemble.contract.outcomes import Outcome, Source
from ensemble.engine.attempts.stand_ins import StandIn, stand_ins
from tests.ensemble.engine.falls import FALLS, STANDS, Shelf, result
from tests.ensemble.engine.kit import Scripted, bad, good, play


def test_the_two_lists_are_all_outcomes() -> None:
    assert {*FALLS, *STANDS} == {*Outcome}


@pytest.mark.parametrize("outcome", FALLS)
@pytest.mark.parametrize(("cached", "backup", "default"), list(itertools.product([False, True], repeat=3)))
def test_what_is_configured_is_tried_in_order(outcome: Outcome, cached: bool, backup: bool, default: bool) -> None:  # noqa: FBT001
    wanted = [
        each for each, there in ((StandIn.CACHE, cached), (StandIn.BACKUP, backup), (StandIn.DEFAULT, default)) if there
    ]

    assert list(stand_ins(outcome, cached=cached, backup=backup, default=default)) == wanted


@pytest.mark.parametrize("outcome", STANDS)
def test_nothing_stands_in_for_what_did_not_fail(outcome: Outcome) -> None:
    assert stand_ins(outcome, cached=True, backup=True, default=True) == ()


@pytest.mark.parametrize("why", Why)
def test_a_refusal_of_the_run_itself_is_final(why: Why) -> None:
    ends = why in {Why.CANCELLED, Why.SUPERSEDED}

    assert bool(stand_ins(Outcome.REFUSED, why, default=True)) is not ends


@given(
    outcome=st.sampled_from(Outcome),
    why=st.none() | st.sampled_from(Why),
    given_=st.fixed_dictionaries(dict.fromkeys(("first", "cached", "backup", "default", "in_time"), st.booleans())),
)
def test_the_order_is_never_violated(outcome: Outcome, why: Why | None, given_: dict[str, bool]) -> None:
    """Each once, in the order of the chain; the cache for the plan's agent only, no attempt past the deadline."""
    found = stand_ins(outcome, why, **given_)

    assert list(found) == [each for each in StandIn if each in found]
    assert StandIn.CACHE not in found or (given_["first"] and given_["cached"])
    assert StandIn.BACKUP not in found or (given_["backup"] and given_["in_time"])
    assert StandIn.DEFAULT not in found or given_["default"]


@settings(max_examples=60, deadline=None)
@given(
    good_ones=st.sets(st.sampled_from("abcd")),
    backups=st.lists(st.sampled_from("bcd"), unique=True),
    default=st.booleans(),
    kept=st.none() | st.sampled_from(["fresh", "stale", "old"]),
)
def test_in_a_run_too_the_first_stand_in_that_holds_is_used(
    good_ones: set[str],
    backups: list[str],
    default: bool,  # noqa: FBT001
    kept: str | None,
) -> None:
    """Whatever agents answer and whatever is configured: agent, cache, each backup in turn, default, error."""
    book = Shelf()
    agents = {name: Scripted(name, [good(f"by {name}")]) for name in "abcd"}
    chain: dict[str, Any] = dict(zip(["a", *backups], [*backups, None], strict=True))
    plan: dict[str, Any] = {
        "agents": {name: {"fallback": after} for name, after in chain.items() if after},
        "steps": [{"id": "a", "agent": "a"}],
    }
    if default:
        plan["agents"][[*chain][-1]] = {"fallback": {"default": "value"}}
    if kept:
        plan["steps"][0]["cache"] = {"fresh": 100, "stale": 100}
        play(plan, agents, ledger=book)
        book.ahead_ms += {"fresh": 50_000, "stale": 150_000, "old": 250_000}[kept]
    agents = {
        name: Scripted(name, [good(f"by {name}") if name in good_ones else bad(Outcome.REJECTED)]) for name in "abcd"
    }

    got = result(play(plan, agents, ledger=book))

    working = [name for name in ["a", *backups] if name in good_ones]
    wanted: tuple[str, Source | None]
    if "a" in good_ones:
        wanted = ("by a", Source.AGENT)
    elif kept in {"fresh", "stale"}:
        wanted = ("by a", Source.CACHE)
    elif working:
        wanted = (f"by {working[0]}", Source.BACKUP)
    else:
        wanted = ("value", Source.DEFAULT) if default else ("", None)
    assert (got.text, got.source) == wanted
    assert got.stale is (kept == "stale" and got.source is Source.CACHE)
    tried = [name for name in ["a", *backups] if agents[name].calls]
    assert tried == (["a", *backups][: len(tried)])

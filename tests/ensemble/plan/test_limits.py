"""Limits of a run, its priority, and the budgets it names."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.budgets import Money
from ensemble.plan.faults import Faults, PlanError
from ensemble.plan.limits import Limits
from ensemble.plan.model import Plan
from ensemble.plan.reading.budgets import read_budgets
from ensemble.plan.reading.plan import read_plan

NUMBER = st.none() | st.integers(1, 50)
LIMITS = st.builds(
    Limits,
    max_parallel=NUMBER,
    timeout_s=NUMBER,
    max_tokens=NUMBER,
    max_calls=NUMBER,
    max_seconds=NUMBER,
    max_money=st.none()
    | st.decimals("0.000000001", 9, places=9).map(lambda amount: Money(amount=amount, currency="EUR")),
    priority=st.none() | st.integers(-9, 9),
)


def plan(**more: Any) -> Plan:
    """Return a plan of one agent with *more* in it."""
    return read_plan({"steps": [{"id": "market"}], **more}, known=("market",))


@given(LIMITS, LIMITS)
def test_limits_only_ever_lower(one: Limits, other: Limits) -> None:
    """Each is the lower of two, whoever is asked first; what only one says holds."""
    lowered = one.lowered(other)

    assert lowered == other.lowered(one) == lowered.lowered(one)
    for each in fields(Limits):
        said = [getattr(limits, each.name) for limits in (one, other) if getattr(limits, each.name) is not None]
        assert getattr(lowered, each.name) == min(said, key=lambda value: getattr(value, "amount", value), default=None)


def test_priority_stands_in_limits_or_at_the_top() -> None:
    """The lower counts where it stands in both."""
    assert plan(priority="3").limits.priority == 3
    assert plan(limits={"priority": -9}).limits.priority == -9
    assert plan(priority=3, limits={"priority": 0}).limits.priority == 0


@pytest.mark.parametrize("wrong", [10, -10, 1.5, "soon", True])
def test_a_priority_that_is_none_is_named(wrong: Any) -> None:
    """With its field."""
    with pytest.raises(PlanError) as refused:
        plan(limits={"priority": wrong})

    assert [fault.field for fault in refused.value.faults] == ["limits.priority"]


@pytest.mark.parametrize(
    "written",
    [["workspace", "user:42"], "workspace, user:42", "workspace\nuser:42\n", ["workspace", "user:42", "workspace"]],
)
def test_budgets_are_a_list_or_names_in_a_line(written: Any) -> None:
    """Each once, in order."""
    assert plan(budgets=written).budgets == ("workspace", "user:42")


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"user": 42}, "budgets"),
        (["a", "b#c"], "budgets[1]"),
        (["a", ""], "budgets[1]"),
        (["a" * 129], "budgets[0]"),
        ([None], "budgets[0]"),
        ([f"b{number}" for number in range(17)], "budgets"),
    ],
)
def test_what_is_no_budget_is_named(wrong: Any, where: str) -> None:
    """With the place it stands at."""
    with pytest.raises(PlanError) as refused:
        plan(budgets=wrong)

    assert [fault.field for fault in refused.value.faults] == [where]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=20)))
def test_anything_is_read_as_names_or_blamed(value: Any) -> None:
    """What is read can be sent."""
    faults = Faults()
    names = read_budgets(value, "budgets", faults)

    assert len(names) == len(set(names)) <= 16
    assert all(name == name.strip() and 0 < len(name) <= 128 for name in names)


@pytest.mark.parametrize("amount", ["2.50 USD", "2.50usd", {"amount": "2.50", "currency": "USD"}])
def test_money_is_read_exactly(amount: Any) -> None:
    """As text or as a map."""
    assert plan(limits={"max_money": amount}).limits.max_money == Money(amount=Decimal("2.50"), currency="USD")


@pytest.mark.parametrize("wrong", [2.5, "2.50", "0 USD", "-1 USD", "1e3 USD", "9000001 USD", {"amount": 1}, ["1 USD"]])
def test_what_is_no_money_is_named(wrong: Any) -> None:
    """An amount without a currency is none."""
    with pytest.raises(PlanError) as refused:
        plan(max_money=wrong)

    assert [fault.field for fault in refused.value.faults] == ["max_money"]


def test_two_currencies_in_one_plan_are_a_fault() -> None:
    """Neither is the lower one."""
    with pytest.raises(PlanError, match="another currency"):
        plan(max_money="1 USD", limits={"max_money": "1 EUR"})

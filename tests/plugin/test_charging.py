"""Named budgets of a run: where they come from, and what becomes of them without a sidecar."""

from __future__ import annotations

from typing import Any

import pytest

from ensemble.client.fallback import Absence, FallbackLedger
from ensemble.contract.budgets import BudgetName
from ensemble.contract.exchange import Exchange, Role
from ensemble.contract.problems import ProblemCode
from ensemble.engine.ledger.book import Book
from ensemble.engine.request import RunRequest
from plugin.adapters.pools import Pools
from plugin.casting import Caller
from plugin.charging import going_on, unknown_budget
from plugin.credentials import read_credentials
from plugin.errors import BadCredentials, BadParameters, SidecarNeeded, SidecarRefused, SidecarUnavailable
from plugin.orchestrator.parameters import read_parameters
from plugin.orchestrator.service import run_request
from tests.plugin.ledgers import Clock, Sidecar, opening, wish

SAVED = {"dify_base_url": "http://dify.invalid/v1", "app_keys": f"market = app-{'M' * 24}"}
SIDECAR = {"sidecar_url": "http://s", "sidecar_token": "t"}


def request(saved: dict[str, Any], **parameters: Any) -> RunRequest:
    """Return the request for *parameters*."""
    read = read_parameters({"task": "x", **parameters})
    return run_request(read, read_credentials(SAVED | saved), Caller(user_id="u"), Pools())


def test_tool_and_plan_charge_together() -> None:
    """More budgets only ever allow less; the lower priority counts."""
    plan = {"steps": [{"id": "market"}], "budgets": ["b", "c"], "priority": 5}

    made = request(SIDECAR, plan=plan, budgets="a, b", limits="priority: -2")

    assert made.budgets == ("a", "b", "c")
    assert made.priority == -2


@pytest.mark.parametrize(
    "written", ["a, user:42", '["a", "user:42"]', "- a\n- user:42", ["a", "user:42"], ("a", "user:42")]
)
def test_the_parameter_is_read_however_it_arrives(written: Any) -> None:
    """As text, as JSON or YAML in a text, or as a list from a variable."""
    assert read_parameters({"task": "x", "budgets": written}).budgets == ("a", "user:42")


@pytest.mark.parametrize("nothing", [None, "", [], " , "])
def test_nothing_is_no_budget(nothing: Any) -> None:
    """Unset, null and empty mean the same."""
    assert read_parameters({"task": "x", "budgets": nothing}).budgets == ()


@pytest.mark.parametrize("wrong", ["a#b", {"a": 1}, ["a", {"b": 1}], "[a, {b: 1}]", [f"n{each}" for each in range(17)]])
def test_a_wrong_name_is_blamed(wrong: Any) -> None:
    """By the parameter's name."""
    with pytest.raises(BadParameters, match=r"^budgets"):
        read_parameters({"task": "x", "budgets": wrong})


@pytest.mark.parametrize("wrong", ["10", "-10", "0.5", "high"])
def test_a_wrong_priority_is_blamed(wrong: str) -> None:
    """With the numbers there are."""
    with pytest.raises(BadParameters, match=r"limits\.priority.*from -9, at most 9"):
        read_parameters({"task": "x", "limits": {"priority": wrong}})


def test_zero_and_negative_priorities_are_read() -> None:
    """Though no other limit may be either."""
    assert read_parameters({"task": "x", "limits": "priority: 0"}).limits.priority == 0
    assert read_parameters({"task": "x", "limits": "priority=-9"}).limits.priority == -9


def test_too_many_together_are_refused() -> None:
    """Each list alone would do."""
    plan = {"steps": [{"id": "market"}], "budgets": [f"p{each}" for each in range(9)]}

    with pytest.raises(BadParameters, match="together name 18"):
        request(SIDECAR, plan=plan, budgets=[f"t{each}" for each in range(9)])


def test_without_a_sidecar_a_budget_is_refused() -> None:
    """Naming the field, the budget and the fix."""
    with pytest.raises(SidecarNeeded, match=r"budgets: 'user:42' can't hold without a sidecar\. Fill in Sidecar URL"):
        request({}, agents="market", budgets="user:42")


@pytest.mark.parametrize(
    ("asked", "saved", "goes_on"),
    [
        (None, True, True),
        (None, False, False),
        (True, None, True),
        (True, True, True),
        (True, False, False),
        (False, None, False),
        (False, True, False),
        (False, False, False),
    ],
)
@pytest.mark.parametrize("budgets", [(), ("a",)], ids=["without budgets", "with budgets"])
def test_what_is_chosen_counts_and_the_stricter_choice_most(
    *, budgets: tuple[str, ...], asked: bool | None, saved: bool | None, goes_on: bool
) -> None:
    """Whether there are named budgets or not: who says so goes on uncounted."""
    assert going_on(budgets, asked=asked, saved=saved) is goes_on


def test_where_nothing_is_chosen_only_a_run_without_named_budgets_goes_on() -> None:
    """Another would go uncounted, and nobody said it may."""
    assert going_on((), asked=None, saved=None)
    assert not going_on(("a",), asked=None, saved=None)


def test_only_the_budget_the_sidecar_blames_is_named() -> None:
    """Another refusal is left as it is."""
    refused = SidecarRefused("no", ProblemCode.CONFLICT, ("open.budgets.1",))
    told = unknown_budget(refused, ("a", "b"))

    assert told is not None
    assert str(told).startswith("budgets: No budget 'b' is defined. Define it")
    assert unknown_budget(SidecarRefused("no", ProblemCode.CONFLICT, ("run_id",)), ("a", "b")) is None
    assert unknown_budget(SidecarRefused("no", ProblemCode.CONFLICT, ("open.budgets.7",)), ("a", "b")) is None


def test_a_run_that_goes_on_is_handed_in_with_its_budgets() -> None:
    """The book knows none; what is handed in is charged."""
    handed_in: list[Exchange] = []
    sidecar = Sidecar()
    sidecar.away = SidecarUnavailable("It is away.")
    ledger = FallbackLedger(sidecar, Book(), Absence(Clock()), hand_in=lambda _, asks: handed_in.extend(asks))
    ask = opening(wish("one", "1"))
    assert ask.open is not None
    budgets: tuple[BudgetName, ...] = ("user:42",)

    answer = ledger.exchange(ask.model_copy(update={"open": ask.open.model_copy(update={"budgets": budgets})}))
    ledger.leave()

    assert answer.run.role is Role.OWNER
    assert [each.open.budgets for each in handed_in if each.open] == [budgets]


@pytest.mark.parametrize(("word", "fail_open"), [(None, None), ("", None), ("fail_open", True), ("fail_closed", False)])
def test_a_choice_is_told_from_none(*, word: str | None, fail_open: bool | None) -> None:
    """In the tool's form and in the provider's alike; a form that is not touched sends nothing, null or nothing in text."""
    assert read_parameters({"task": "x", "on_sidecar_loss": word}).fail_open is fail_open
    assert read_credentials({"on_sidecar_loss": word}).fail_open is fail_open


def test_nothing_said_at_all_is_no_choice() -> None:
    """As where a form is saved untouched."""
    assert read_parameters({"task": "x"}).fail_open is None
    assert read_credentials({}).fail_open is None


def test_another_word_is_blamed_with_both_choices() -> None:
    """In the tool's form and in the provider's."""
    with pytest.raises(BadParameters, match=r"^on_sidecar_loss: knows no 'maybe'\. Write fail_open or fail_closed\.$"):
        read_parameters({"task": "x", "on_sidecar_loss": "maybe"})
    with pytest.raises(BadCredentials, match=r"is no choice\. Write fail_open or fail_closed, or leave it open\."):
        read_credentials({"on_sidecar_loss": "maybe"})


def test_money_is_lowered_to_the_ceiling_and_never_converted() -> None:
    """Of two currencies the operator's counts alone; both are said."""
    saved = SIDECAR | {"max_money": "1.5 EUR"}
    lowered = request(saved, agents="market", limits="max_money: 2.50 EUR, timeout: 60")
    other = request(saved, agents="market", limits={"max_money": {"amount": "1", "currency": "USD"}})
    less = request(saved, agents="market", limits="max_money: 1 EUR")

    assert [str(each.limits.money and each.limits.money.amount) for each in (lowered, other, less)] == [
        "1.5",
        "1.5",
        "1",
    ]
    assert "max_money was lowered from 2.50 EUR to 1.5 EUR" in lowered.warnings[0]
    assert "1 USD can't be compared" in other.warnings[0]
    assert less.warnings == ()


def test_tool_and_plan_in_two_currencies_are_refused() -> None:
    """Neither is the lower one."""
    with pytest.raises(BadParameters, match=r"limits\.max_money: 1 USD can't be compared with the plan's 2 EUR"):
        request(SIDECAR, plan={"steps": [{"id": "market"}], "max_money": "2 EUR"}, limits="max_money: 1 USD")

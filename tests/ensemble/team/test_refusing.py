"""Teams, plans and options that can't be meant are refused in words, before anything is called."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from ensemble.team import PlanError, Sidecar, Team, dify


def says(words: str) -> Callable[[str], str]:
    return lambda text: f"{words}({text})"


async def asynchronous(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("agents", "words"),
    [
        ({}, "The team has no agent."),
        ({"a": "market"}, "agents['a']: It is neither a Dify app nor a function."),
        ({"a": asynchronous}, "It is async"),
        ({"a/b": says("x")}, "'a/b' is no name."),
        ({"task": says("x")}, "The name is taken by the task."),
        ({"Start": says("x")}, "The name is taken by the run's inputs."),
        ({"A": says("x"), "a": says("y")}, "The name is taken by the agent 'A'."),
    ],
)
def test_a_team_that_can_t_be_is_refused_in_words(agents: Any, words: str) -> None:
    with pytest.raises(PlanError) as refused:
        Team(agents)

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ({"app": "b"}, "There is no agent 'b'. There are: a."),
        ({"app": "a675a0c4-332f-4255-811e-e0d750b808df"}, "out of a Python program's reach"),
        ({"model": "p/p/p/m", "prompt": "x"}, "out of a Python program's reach"),
        ({"tool": "a/b/c/d", "inputs": {"q": 1}}, "out of a Python program's reach"),
    ],
)
def test_a_plan_that_needs_a_workspace_is_refused_in_words(agent: Any, words: str) -> None:
    with pytest.raises(PlanError) as refused:
        Team({"a": says("A")}).run({"agents": {"x": agent}}, "x")

    assert words in str(refused.value)


@pytest.mark.parametrize("agents", [{"b": {"memory": True}}, {"x": {"app": "b", "memory": True}}])
def test_a_function_can_have_no_memory(agents: Any) -> None:
    with pytest.raises(PlanError) as refused:
        Team({"a": dify("http://127.0.0.1:1/v1", "app-x"), "b": says("B")}).plan(
            {"agents": {**agents, "a": {"memory": True}}}
        )

    (fault,) = refused.value.faults
    assert (fault.field, fault.fix) == (
        f"agents.{next(iter(agents))}.memory",
        "Leave it out, or name an app given as dify(url, key).",
    )


def test_models_can_t_route_here() -> None:
    plan = {"pattern": "routing", "agents": ["a", "b"], "route": {"model": "p/p/p/m"}}

    with pytest.raises(PlanError, match="out of a Python program's reach"):
        Team({"a": says("A"), "b": says("B")}).run(plan, "x")


def test_a_plan_read_by_another_team_is_checked() -> None:
    plan = Team({"a": says("A"), "b": says("B")}).plan({"agents": ["a", "b"]})

    with pytest.raises(PlanError, match="This team has no agent 'b'"):
        Team({"a": says("A")}).run(plan, "x")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"timeot": 3}, TypeError, "There is no option 'timeot'"),
        ({"inputs": ["x"]}, TypeError, "inputs is no map"),
        ({"trace_id": "a b"}, ValueError, "trace_id takes letters"),
        ({"run_key": ""}, ValueError, "run_key takes 1 to 256"),
        ({"run_key": "k" * 257}, ValueError, "run_key takes 1 to 256"),
        ({"timeout": 0}, ValueError, "more than 0"),
        ({"timeout": float("nan")}, ValueError, "more than 0"),
    ],
)
def test_an_option_that_can_t_be_meant_is_refused(options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Team({"a": says("A")}).parallel("x", **options)


@pytest.mark.parametrize("numbers", [{"max_parallel": 0}, {"host_parallel": -1}])
def test_a_number_below_one_is_refused(numbers: Any) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Team({"a": says("A")}, **numbers)


@pytest.mark.parametrize(
    ("url", "key"), [("dify", "app-1"), ("http://d/v1", ""), ("http://d/v1", "a b"), ("http://d/v2", "k")]
)
def test_an_app_that_can_t_be_is_refused(url: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"base URL|key"):
        dify(url, key)


@pytest.mark.parametrize(
    ("url", "token"), [("sidecar:1", "t"), ("http://", "t"), ("http://s", ""), ("http://s", "a\nb")]
)
def test_a_sidecar_that_can_t_be_is_refused(url: str, token: str) -> None:
    with pytest.raises(ValueError, match=r"The sidecar's (url|token)"):
        Sidecar(url, token)


def test_neither_key_nor_token_is_shown() -> None:
    assert "secret" not in repr(dify("http://d/v1", "app-secret")) + repr(Sidecar("http://s:1", "secret"))


def test_a_client_that_trusts_what_is_no_certificate_is_refused() -> None:
    """In words that name what is wrong and what to pass."""
    with pytest.raises(ValueError, match=r"certificates holds no certificate\. Pass the PEM text"):
        Sidecar("http://s:1", "secret").client(certificates="none")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificates": "trust me"}, "certificates holds no certificate. Pass the PEM text"),
        ({"proxy": "https://u:s3cret@proxy.example"}, "proxy does not begin with http://. Write it like"),
        ({"proxy": "http://u:s3cret@"}, "proxy is not an address."),
    ],
)
def test_a_way_that_is_none_is_refused_in_words(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        Team({"a": says("x")}, **options)

    assert "s3cret" not in str(refused.value)

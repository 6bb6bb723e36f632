"""Every strategy of the router through the real plugin process, and the orchestrator's pattern routing beside it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.standin.apps import App, Usage
from tests.standin.backwards import BackwardsRefused
from tests.standin.failures import always
from tests.standin.invocation import Result
from tests.standin.parameters import variable
from tests.standin.service_api import ROOT
from tests.together.models import Embedding, Model
from tests.together.schema import violations
from tests.together.team import Team, entry

type MakeTeam = Callable[..., Team]

SCHEMA = yaml.safe_load((Path(ROOT) / "plugin/tools/router.yaml").read_text("utf-8"))["output_schema"]
ROUTES: list[dict[str, Any]] = [
    {
        "name": "billing",
        "description": "invoices, payments and refunds",
        "examples": ["I was charged twice", "发票在哪里下载"],
        "keywords": ["invoice", "发票", "請求書"],
        "patterns": [r"INV-\d{3,}"],
    },
    {
        "name": "tech",
        "description": "errors, crashes and bugs of the software",
        "examples": ["the app crashes when I open it", "软件打不开"],
        "keywords": ["crash", "error"],
    },
    {"name": "vip", "description": "anything of big customers", "when": "{{ start.plan }} is enterprise"},
]
_numbers = itertools.count(1)


def names(prefix: str = "scripted/models") -> str:
    """Return a model nobody else uses: breakers and vectors go by it."""
    return f"{prefix}/model-{next(_numbers)}"


def ask(team: Team, query: str, **given: Any) -> Result:
    """Call the router as a workflow does; what is no text comes from a variable."""
    given.setdefault("routes", ROUTES)
    # Fields of the form arrive as they are configured; a list in a field of text is JSON.
    values = {
        name: json.dumps(each, ensure_ascii=False) if isinstance(each, list) else each for name, each in given.items()
    }
    values = {name: each if isinstance(each, str | bool) else variable(each) for name, each in values.items()}
    result = team.scene.plugin.invoke("router", {"query": query, **values}, team.credentials()).result()
    if result.error is None:
        assert set(result.variables) == set(SCHEMA["properties"])
        assert list(violations(result.variables, SCHEMA)) == []
    return result


def chosen(result: Result) -> tuple[str, str]:
    """Return the route and who decided."""
    assert result.error is None, result.error
    return result.variables["route"], result.variables["strategy"]


@pytest.mark.parametrize(
    ("query", "inputs", "route"),
    [
        ("Where is my INVOICE?", {}, "billing"),
        ("发票金额不对", {}, "billing"),
        ("請求書の再発行", {}, "billing"),
        ("what about inv-20931", {}, "billing"),
        ("an error and a crash, and one invoice", {}, "tech"),
        ("hello", {"plan": "enterprise"}, "vip"),
        ("hello", {}, ""),
    ],
)
def test_rules(make_team: MakeTeam, query: str, inputs: dict[str, str], route: str) -> None:
    """Keywords of three languages, patterns, conditions; they cost no call, and what fits nothing takes no route."""
    result = ask(make_team(), query, strategy="rules", inputs=inputs)

    assert chosen(result) == (route, "rules" if route else "")
    assert result.text == route
    assert (result.variables["run_id"], result.variables["usage"]) == ("", {"tokens": 0, "estimated": False})
    assert result.variables["reason"]


def test_the_nearest_meaning(make_team: MakeTeam) -> None:
    """One call to the embedding model; the routes' texts are embedded once and remembered."""
    team, model = make_team(), Embedding()
    team.scene.plugin.on("text_embedding", model)
    given = {"strategy": "semantic", "embedding_name": names()}

    first = ask(team, "my app crashes when I open it", **given)
    second = ask(team, "why was I charged twice", **given)

    assert (chosen(first), chosen(second)) == (("tech", "semantic"), ("billing", "semantic"))
    assert [len(texts) for texts in model.texts] == [8, 1]
    assert first.variables["usage"]["tokens"] > second.variables["usage"]["tokens"] > 0
    assert 0.4 < first.variables["confidence"] <= 1
    assert [each["route"] for each in first.variables["alternatives"]] != []
    assert entry(first, "router_semantic")["attempts"] == 1

    example = ask(team, "I was charged twice", **given)

    assert (chosen(example), example.variables["confidence"]) == (("billing", "semantic"), 1.0)
    assert len(model.asked) == 2
    assert example.variables["usage"]["tokens"] == 0
    assert len(first.variables["run_id"]) == 32


def test_vectors_are_remembered_by_the_sidecar(make_team: MakeTeam, second_plugin: Any) -> None:
    """Another process embeds the query only."""
    team, model, here = make_team(), Embedding(), Embedding()
    team.scene.plugin.on("text_embedding", here)
    second_plugin.on("text_embedding", model)
    given = {"routes": json.dumps(ROUTES), "strategy": "semantic", "embedding_name": names(), "query": "I was charged"}

    team.scene.plugin.invoke("router", given, team.credentials()).result()
    result = second_plugin.invoke("router", given, team.credentials()).result()

    assert chosen(result) == ("billing", "semantic")
    assert model.texts == [["I was charged"]]


def test_what_is_near_to_nothing_takes_the_default(make_team: MakeTeam) -> None:
    """And says how near the nearest was."""
    team = make_team()
    team.scene.plugin.on("text_embedding", Embedding())

    result = ask(team, "zzz qqq", strategy="semantic", embedding_name=names(), default_route="tech")

    assert chosen(result) == ("tech", "default")
    assert "below the threshold" in result.variables["reason"]
    assert any("Nobody decided" in warning for warning in result.variables["warnings"])


def test_a_model_is_asked(make_team: MakeTeam) -> None:
    """By a schema first; its words and its confidence are passed on, its usage is told, its call is on record."""
    team, model = make_team(), Model('{"route": "tech", "confidence": 0.8, "reason": "It is a bug."}')
    team.scene.plugin.on("llm_structured_output", model)
    provider, _, name = names().rpartition("/")

    result = ask(team, "it broke", strategy="llm", model={"provider": provider, "model": name, "mode": "chat"})

    assert chosen(result) == ("tech", "llm")
    assert (result.variables["confidence"], result.variables["reason"]) == (0.8, "It is a bug.")
    assert result.variables["warnings"] == []
    assert result.variables["usage"] == {"tokens": 100, "price": "0.001", "currency": "USD", "estimated": False}
    (asked,) = model.asked
    assert (asked["provider"], asked["model"]) == (provider, name)
    assert "route" in asked["structured_output_schema"]["properties"]
    assert all(words in json.dumps(asked, ensure_ascii=False) for words in ("发票在哪里下载", "it broke", "vip"))


@pytest.mark.parametrize("bad", ["I would say tech", '{"route": "admin"}', '{"route": "te', "", '{"route": ["tech"]}'])
def test_a_bad_reply_is_asked_for_once_more(make_team: MakeTeam, bad: str) -> None:
    """Each ask is an attempt; the second one says what was wrong with the first."""
    team, by_schema, model = make_team(), Model(bad), Model('{"route": "tech"}')
    team.scene.plugin.on("llm_structured_output", by_schema)
    team.scene.plugin.on("llm", model)

    result = ask(team, "it broke", strategy="llm", model_name=names())

    assert chosen(result) == ("tech", "llm")
    assert (len(by_schema.asked), len(model.asked)) == (1, 1)
    assert entry(result, "router_llm")["attempts"] == 2


def test_a_model_that_never_names_a_route_leads_to_the_default_or_fails(make_team: MakeTeam) -> None:
    """A reply outside the routes is never taken."""
    team = make_team()
    for kind in ("llm", "llm_structured_output"):
        team.scene.plugin.on(kind, Model('{"route": "admin"}'))

    saved = ask(team, "it broke", strategy="llm", model_name=names(), default_route="billing")
    failed = ask(team, "it broke", strategy="llm", model_name=names())

    assert chosen(saved) == ("billing", "default")
    assert [error["code"] for error in saved.variables["errors"]] == ["agent_failed"]
    assert failed.error is not None
    assert failed.error.error_type == "NoRouteChosen"
    assert "admin" in failed.error.message


def test_an_app_can_be_the_classifier(make_team: MakeTeam) -> None:
    """It is given routes and query, and replies with a name."""
    team = make_team(App(name="sorter", answer="billing", usage=Usage(prompt_tokens=40, completion_tokens=2)))

    result = ask(team, "it broke", strategy="llm", classifier="sorter")

    assert chosen(result) == ("billing", "llm")
    assert result.variables["usage"]["tokens"] == 42
    (call,) = team.calls("sorter")
    assert "- tech: errors, crashes" in str(call.query)


def test_auto_goes_on_until_somebody_decides(make_team: MakeTeam) -> None:
    """Rules cost nothing, the embedding model little, the model is asked last; nobody is asked in vain."""
    team, near, model = make_team(), Embedding(), Model('{"route": "none"}', '{"route": "vip"}')
    team.scene.plugin.on("text_embedding", near)
    team.scene.plugin.on("llm_structured_output", model)
    given = {"embedding_name": names(), "model_name": names()}

    by_rules = ask(team, "send the invoice", **given)
    by_meaning = ask(team, "the app crashes when I open it today", **given | {"routes": _without_keywords()})
    by_nobody = ask(team, "zzz", **given)
    by_model = ask(team, "qqq", **given)

    assert chosen(by_rules) == ("billing", "rules")
    assert chosen(by_meaning) == ("tech", "semantic")
    assert chosen(by_nobody) == ("", "")
    assert chosen(by_model) == ("vip", "llm")
    assert (len(near.asked), len(model.asked)) == (3, 2)


def _without_keywords() -> list[dict[str, Any]]:
    return [{key: value for key, value in route.items() if key != "keywords"} for route in ROUTES]


def test_auto_survives_an_embedding_model_that_fails(make_team: MakeTeam) -> None:
    """The model is asked then; the failure is told."""
    team = make_team()
    team.scene.plugin.on("text_embedding", Embedding(BackwardsRefused("[openai] Bad Request Error, no such model")))
    team.scene.plugin.on("llm_structured_output", Model('{"route": "vip"}'))

    result = ask(team, "zzz", embedding_name=names(), model_name=names())

    assert chosen(result) == ("vip", "llm")
    assert [error["step"] for error in result.variables["errors"]] == ["router_semantic"]


def test_the_chosen_agent_is_called(make_team: MakeTeam) -> None:
    """Its answer is the text; the others are skipped; the same key costs nothing again."""
    team = make_team(App(name="billing", answer="Paid: {query}"), App(name="tech"), App(name="vip"))

    given = {"strategy": "rules", "call": True, "run_key": f"call-{next(_numbers)}"}
    first, again = ask(team, "the invoice", **given), ask(team, "the invoice", **given)

    assert chosen(first) == ("billing", "rules")
    assert first.text == first.variables["answer"] == "Paid: the invoice"
    assert entry(first, "tech")["status"] == "skipped"
    assert again.text == first.text
    assert {name: len(team.calls(name)) for name in team.apps} == {"billing": 1, "tech": 0, "vip": 0}


def test_a_called_agent_that_fails_fails_the_node(make_team: MakeTeam) -> None:
    """Though the model that chose it succeeded."""
    team = make_team(App(name="billing", failures=always("node_failed")), App(name="tech"), App(name="vip"))
    team.scene.plugin.on("llm_structured_output", Model('{"route": "billing"}'))

    result = ask(team, "hm", strategy="llm", model_name=names(), call=True)

    assert result.error is not None
    assert result.error.error_type == "NoAgentSucceeded"
    assert "billing" in result.error.message


def test_a_route_with_an_open_breaker_is_passed_over(make_team: MakeTeam) -> None:
    """By rules the next one is taken, a model is not offered it; the node says so."""
    broken = App(name="billing", failures=always("node_failed"))
    team = make_team(broken, App(name="tech"), App(name="vip"))
    for _ in range(5):
        team.run("break it", agents="billing")
    model = Model('{"route": "billing"}', '{"route": "tech"}')
    team.scene.plugin.on("llm_structured_output", model)
    team.scene.plugin.on("llm", model)

    by_rules = ask(team, "invoice INV-1234 with an error", strategy="rules")
    by_model = ask(team, "hm", strategy="llm", model_name=names())
    nobody = ask(team, "invoice", strategy="rules", default_route="billing")

    assert chosen(by_rules) == ("tech", "rules")
    assert by_rules.variables["passed_over"] == ["billing"]
    assert any("billing" in warning and "breaker" in warning for warning in by_rules.variables["warnings"])
    assert chosen(by_model) == ("tech", "llm")
    assert "- billing:" not in json.dumps(model.asked[0])
    assert chosen(nobody) == ("", "")


def test_it_works_without_a_sidecar(make_team: MakeTeam) -> None:
    """Vectors and breakers are the process's then."""
    team, model = make_team(App(name="billing", failures=always("node_failed")), App(name="tech")), Embedding()
    team.scene.plugin.on("text_embedding", model)
    alone = team.credentials(sidecar_url="", sidecar_token="")
    given = {"routes": json.dumps(ROUTES), "strategy": "semantic", "embedding_name": names()}

    first, second = (
        team.scene.plugin.invoke("router", {**given, "query": query}, alone).result()
        for query in ("my app crashes when I open it", "why was I charged twice")
    )
    for _ in range(5):
        team.start("break it", agents="billing", saved=alone).result()
    third = team.scene.plugin.invoke("router", {**given, "query": "they charged me twice"}, alone).result()

    assert (chosen(first)[0], chosen(second)[0], chosen(third)[0]) == ("tech", "billing", "")
    assert [len(texts) for texts in model.texts] == [8, 1, 1]
    assert third.variables["passed_over"] == ["billing"]
    assert any("No sidecar" in warning for warning in first.variables["warnings"])


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"routes": ""}, "BadParameters", "routes"),
        ({"routes": "{ broken"}, "BadParameters", "routes"),
        ({"routes": "market, tech", "strategy": "rules"}, "BadParameters", "No route has a rule"),
        ({"routes": "market, tech"}, "BadParameters", "nothing to decide by"),
        ({"strategy": "semantic"}, "BadParameters", "embedding"),
        ({"strategy": "llm"}, "BadParameters", "nobody to ask"),
        ({"default_route": "teck"}, "BadParameters", "tech"),
        ({"model_name": "gpt"}, "BadParameters", "provider/model"),
        ({"classifier": "nobody"}, "BadParameters", "nobody"),
        ({"call": True}, "BadParameters", "There is no agent 'billing'"),
        ({"routes": [{"name": "a", "patterns": ["(a+)+$"]}]}, "BadParameters", "too many ways"),
        ({"routes": [{"name": "a", "keyword": ["x"]}]}, "BadParameters", "keywords"),
    ],
)
def test_what_is_wrong_is_said(make_team: MakeTeam, given: dict[str, Any], kind: str, words: str) -> None:
    """By the field, with what to do about it."""
    result = ask(make_team(), "x", **given)

    assert result.error is not None
    assert (result.error.error_type, words in result.error.message) == (kind, True), result.error.message


def test_the_pattern_routing(make_team: MakeTeam) -> None:
    """In the orchestrator: one agent of the team works, chosen by a model or by rules; the answer is its answer."""
    team = make_team(
        App(name="market", answer="market: {query}"), App(name="tech", answer="tech: {query}"), App(name="writer")
    )
    model = Model('{"route": "tech"}')
    team.scene.plugin.on("llm_structured_output", model)
    plan = {
        "pattern": "routing",
        "agents": {"market": {"description": "sizes of markets"}, "tech": {"description": "how things work"}},
        "route": {"model": names()},
    }
    ruled = {
        "pattern": "routing",
        "route": {
            "strategy": "rules",
            "default": "both",
            "routes": [
                {"name": "market", "keywords": ["growth"]},
                {"name": "both", "agents": ["market", "tech"]},
            ],
        },
        "synthesizer": "writer",
    }

    by_model = team.run("what is a pump", plan=variable(plan))
    by_rules = team.run("growth of pumps", plan=variable(ruled))
    by_default = team.run("pumps", plan=variable(ruled))

    assert (by_model.text, by_model.variables["status"]) == ("tech: what is a pump", "succeeded")
    assert by_model.variables["warnings"] == []
    assert {each["step"]: each["status"] for each in by_model.variables["results"]} == {
        "router_llm": "succeeded", "market": "skipped", "tech": "succeeded",
    }  # fmt: skip
    assert "### market\nmarket: growth of pumps" in by_rules.text
    assert "### tech" not in by_rules.text
    assert "### tech" in by_default.text
    assert any("Nobody decided" in warning for warning in by_default.variables["warnings"])


def test_a_team_without_a_route_fails_in_words(make_team: MakeTeam) -> None:
    """No keyword hits, there is no default: nobody works, and the node says why."""
    team = make_team(App(name="market"))
    plan = {"pattern": "routing", "route": {"routes": [{"name": "market", "keywords": ["growth"]}]}}

    result = team.run("pumps", plan=variable(plan))

    assert result.error is not None
    assert result.error.error_type == "NoAgentSucceeded"
    assert "There is no default route" in result.error.message

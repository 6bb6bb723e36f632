"""Whatever is wrong with a request: every field is named, with a problem and a fix in words of ours, and nothing repeated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin
from urllib.parse import quote, urlencode

import pytest
from pydantic import BaseModel

from ensemble.contract import endpoints, wording
from ensemble.contract.problems import Problem
from tests.sidecar.test_http import AN_EXCHANGE, IN_PATH

type Ask = Callable[..., Any]
type Endpoint = endpoints.Endpoint[Any, Any]

SECRET = "app-hunter2-hunter2"
WRONG: list[Any] = [
    SECRET,
    SECRET * 1000,
    f"{SECRET}\x01",
    f"../{SECRET}",
    "",
    -1,
    10**30,
    1.5,
    True,
    None,
    [],
    [SECRET],
    [[0]] * 3000,
    {},
    {"x": SECRET},
    {"x" * 2000: SECRET},
]
RAW = re.compile(
    r"Input should|Value error|should have|Extra inputs|Field required|valid (string|dictionary)|pattern '"
)


def places(model: type[BaseModel], depth: int = 0) -> Iterator[tuple[str | int, ...]]:
    """Yield where values stand in a *model*, in what is nested in it and in its lists, some levels down."""
    for name, field in model.model_fields.items():
        yield (name,)
        for kind in wording._kinds(field.annotation):
            inner = get_args(kind)[-1 if get_origin(kind) is dict else 0] if get_args(kind) else kind
            step: tuple[str | int, ...] = () if inner is kind else ("x",) if get_origin(kind) is dict else (0,)
            if step:
                yield (name, *step)
            for each in wording._kinds(inner):
                if wording._is_model(each) and depth < 3:
                    yield from ((name, *step, *rest) for rest in places(each, depth + 1))


def body_with(place: tuple[str | int, ...], value: Any) -> Any:
    """Return a body in which *value* stands at *place*, and nothing else."""
    for part in reversed(place):
        value = [value] if isinstance(part, int) else {part: value}
    return value


def judge(said: Any, at: str = "") -> Problem:
    """Check a refusal; return it."""
    problem = Problem.model_validate_json(said.data)
    assert said.status_code in {400, 422}, at
    assert problem.errors, at
    for fault in problem.errors:
        assert fault.field, at
        assert fault.problem, (at, fault)
        assert fault.fix, (at, fault)
        assert (fault.problem, fault.fix) != wording._ELSE, (at, fault)
        assert not RAW.search(f"{fault.problem} {fault.fix}"), (at, fault)
    assert "hunter2" not in said.text, at
    return problem


@pytest.mark.parametrize(
    "endpoint", [each for each in endpoints.ALL if each.ask is not None], ids=lambda endpoint: endpoint.name
)
def test_whatever_stands_in_a_field_of_a_body_is_refused_in_plain_words(endpoint: Endpoint, ask: Ask) -> None:
    """A field nobody knows is always there too, so no request gets through."""
    path, named = endpoint.path.format(**IN_PATH), set[str]()
    path += "?" + urlencode({name: "app:x" for name in endpoint.params.model_fields if name not in endpoint.in_path()})
    assert endpoint.ask is not None
    for place in places(endpoint.ask):
        for value in WRONG:
            body = body_with(place, value) | {"nobody_knows": SECRET}
            problem = judge(ask(endpoint.method, path, json.dumps(body)), f"{place} = {value!r:.60}")
            named |= {fault.field for fault in problem.errors}
            assert "nobody_knows" in {fault.field for fault in problem.errors} or len(problem.errors) == 50

    assert named >= {str(place[0]) for place in places(endpoint.ask) if not accepts_all(endpoint.ask, str(place[0]))}


def accepts_all(model: type[BaseModel], name: str) -> bool:
    """Whether a field takes any value."""
    return model.model_fields[name].annotation is Any


@pytest.mark.parametrize("endpoint", endpoints.ALL, ids=lambda endpoint: endpoint.name)
def test_whatever_stands_in_path_and_query_is_refused_in_plain_words(endpoint: Endpoint, ask: Ask) -> None:
    """As above, for what is written into the address."""
    for name in endpoint.params.model_fields:
        for value in (SECRET * 1000, f"{SECRET}\x01", "-1", "", "9" * 40, "1.5"):
            if name in endpoint.in_path() and not value:
                continue
            in_path = IN_PATH | {name: quote(value, safe="")}
            query = {name: value} if name not in endpoint.in_path() else {}
            url = endpoint.path.format(**in_path) + "?" + urlencode(query | {"nobody_knows": SECRET})
            problem = judge(ask(endpoint.method, url, {} if endpoint.ask else None), f"{name} = {value!r:.60}")
            assert "nobody_knows" in {fault.field for fault in problem.errors}


def test_all_patterns_of_the_contract_are_told_in_words() -> None:
    """A pattern is read by nobody."""
    patterns: set[str] = set()

    def walk(schema: Any) -> None:
        if isinstance(schema, dict):
            patterns.update(str(value) for name, value in schema.items() if name == "pattern" and value is not None)
            for value in schema.values():
                walk(value)
        elif isinstance(schema, list | tuple):
            for each in schema:
                walk(each)

    for endpoint in endpoints.ALL:
        for model in (endpoint.params, endpoint.ask):
            if model is not None:
                walk(json.loads(json.dumps(model.__pydantic_core_schema__, default=str)))

    assert {each for each in patterns if each.startswith("^")} <= set(wording.PATTERNS)
    assert patterns


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "problem", "fix"),
    [
        ("POST", "/v1/exchange", {"owner": "1" * 32, "epoch": 1}, "run_id", "missing", "Send it."),
        ("POST", "/v1/exchange", AN_EXCHANGE | {"setle": []}, "setle", "not known", "call it settle"),
        ("POST", "/v1/exchange", AN_EXCHANGE | {"xyz": []}, "xyz", "not known", "Leave it out."),
        ("POST", "/v1/exchange", AN_EXCHANGE | {"open": {"limits": {"token": 1}}}, "open.limits.token", "", "tokens"),
        ("POST", "/v1/exchange", AN_EXCHANGE | {"settle": [{"tiket": 1}]}, "settle.0.tiket", "", "call it ticket"),
        ("POST", "/v1/exchange", AN_EXCHANGE | {"owner": "x"}, "owner", "written", "32 hex digits"),
        ("POST", "/v1/exchange", AN_EXCHANGE | {"epoch": "1"}, "epoch", "no whole number", "without quotes"),
        ("POST", "/v1/exchange", AN_EXCHANGE | {"close": {"status": "x"}}, "close.status", "", "'succeeded'"),
        ("PUT", "/v1/breakers/force?identity=a", {"state": "x"}, "state", "", "or null."),
        ("PUT", "/v1/breakers/force?identity=a", {"state": None, "seconds": 5}, "body", "how long", "nothing to hold"),
        ("PUT", "/v1/budgets/one?name=a", {"limits": {}, "window": {"timezone": "x"}}, "window.timezone", "", "Berlin"),
        ("GET", "/v1/runs?limit=501", None, "limit", "too large", "Write 500 or less."),
        ("GET", "/v1/runs?limit=0", None, "limit", "too small", "Write 1 or more."),
        ("GET", "/v1/runs?trace_id=a:b", None, "trace_id", "", "letters (A-Z, a-z), digits, - and _."),
        ("POST", "/v1/exchange", '{"run_id": }', "body", "line 1 column 12", "JSON object: {...}"),
        ("POST", "/v1/traces/t/sets/a/k", {"writer": "a", "add": [[1]]}, "add.0", "no type", "or null"),
        ("GET", f"/v1/results/{'0' * 32}", None, "ref", "not on record", "store the result again"),
        ("GET", "/v1/traces/t/state/a/k", None, "key", "not there", "Put a value"),
        ("GET", "/v1/breakers/one?identity=app:x", None, "identity", "not on record", "closed"),
    ],
)
def test_the_fix_is_told(  # noqa: PLR0917 -- one row a case
    ask: Ask, method: str, path: str, body: Any, field: str, problem: str, fix: str
) -> None:
    """With the numbers and words that the contract allows there."""
    said = Problem.model_validate_json(ask(method, path, body).data)
    found = {fault.field: fault for fault in said.errors}

    assert field in found, found
    assert problem in found[field].problem
    assert fix in found[field].fix


def test_a_value_of_no_plain_type_is_one_fault(ask: Ask) -> None:
    """Not one for each type that it is not."""
    said = ask("POST", "/v1/traces/t/sets/a/k", {"writer": "a", "add": [[1], 2, {}]}).json

    assert [fault["field"] for fault in said["errors"]] == ["add.0", "add.2"]


def test_a_body_of_faults_only_is_answered_as_soon_as_any(ask: Ask) -> None:
    """The first ones are named; the rest costs no time."""
    said = ask("POST", "/v1/exchange", AN_EXCHANGE | {f"epochs{number}": 0 for number in range(3_000)})
    problem = judge(said)

    assert len(problem.errors) == 50
    assert problem.detail == "Many fields can't be used. The first 50 are named."

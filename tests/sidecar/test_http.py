"""The HTTP edge: tokens, tenants, every endpoint, and a problem document for everything that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble.contract import endpoints
from ensemble.contract.openapi import OPENAPI_PATH, openapi
from ensemble.contract.problems import Problem
from ensemble.contract.state import StateEntry
from sidecar.edge.http import PAGES, _document
from sidecar.runs.service import Runs

type Ask = Callable[..., Any]

IN_PATH = {"run_id": "0" * 32, "ref": "0" * 32, "trace_id": "t", "namespace": "n", "key": "k", "agent": "a"}
AN_EXCHANGE = {"run_id": "0" * 32, "owner": "1" * 32, "epoch": 1}


def _path(endpoint: endpoints.Endpoint[Any, Any]) -> str:
    path = endpoint.path.format(**{field: IN_PATH[field] for field in endpoint.in_path()})
    return path + ("?identity=app:x" if endpoint.name == "get_breaker" else "")


@pytest.mark.parametrize("endpoint", endpoints.ALL, ids=lambda endpoint: endpoint.name)
def test_every_endpoint_of_the_contract_is_served_and_asks_for_a_token_unless_public(
    endpoint: endpoints.Endpoint[Any, Any], client: FlaskClient, ask: Ask
) -> None:
    """A path of the table is never "no endpoint", and only health is open."""
    body: Any = {"no such field": 1} if endpoint.ask else None
    with_token = ask(endpoint.method, _path(endpoint), body)
    without = client.open(_path(endpoint), method=endpoint.method)

    assert with_token.status_code not in {401, 405, 500, 501}
    assert with_token.status_code == 200 or with_token.json["detail"] != "No endpoint has this path."
    assert without.status_code == (200 if endpoint.public else 401)
    if endpoint.ask:
        assert (with_token.status_code, with_token.json["code"]) == (422, "invalid")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic token-of-the-tenant",
        "token-of-the-tenant",
        "Bearer \xff\xfe",
    ],
)
def test_without_a_known_token_nothing_is_told(client: FlaskClient, header: str | None) -> None:
    """Not even which paths exist."""
    for path in ("/v1/about", "/v1/nope"):
        said = client.get(path, headers={} if header is None else {"Authorization": header})

        assert said.status_code == 401
        assert Problem.model_validate_json(said.data).code == "unauthorized"
        assert said.headers["WWW-Authenticate"].startswith("Bearer")
        assert "token-of-the-tenant" not in said.text


def test_tenants_can_not_see_each_other(ask: Ask) -> None:
    """The same path is another place under another token."""
    ask("PUT", "/v1/traces/t/state/a/k", {"writer": "a", "value": "mine"})
    assert ask("GET", "/v1/traces/t/state/a/k", other=True).status_code == 404
    assert ask("GET", "/v1/traces/t/state/a", other=True).json["entries"] == []
    ask("PUT", "/v1/traces/t/state/a/k", {"writer": "a", "value": "theirs"}, other=True)
    assert ask("GET", "/v1/traces/t/state/a/k").json["value"] == "mine"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "field"),
    [
        ("GET", "/v1/nope", None, 404, "not_found", None),
        ("GET", "/v1//runs", None, 404, "not_found", None),
        ("PATCH", "/v1/runs", None, 405, "method_not_allowed", None),
        ("OPTIONS", "/v1/runs", None, 405, "method_not_allowed", None),
        ("POST", "/v1/exchange", b"", 400, "bad_request", "body"),
        ("POST", "/v1/exchange", b"{", 400, "bad_request", "body"),
        ("POST", "/v1/exchange", b"\xff\xfe", 400, "bad_request", "body"),
        ("POST", "/v1/exchange", b"[" * 60000, 400, "bad_request", "body"),
        ("POST", "/v1/exchange", b"[]", 422, "invalid", "body"),
        ("POST", "/v1/exchange", b" " * 70000, 413, "too_large", "body"),
        ("POST", "/v1/exchange", json.dumps(AN_EXCHANGE | {"epoch": "1"}), 422, "invalid", "epoch"),
        ("POST", "/v1/exchange", json.dumps(AN_EXCHANGE | {"setle": []}), 422, "invalid", "setle"),
        ("POST", "/v1/exchange", json.dumps(AN_EXCHANGE | {"owner": "X" * 32}), 422, "invalid", "owner"),
        ("GET", "/v1/runs?limit=many", None, 422, "invalid", "limit"),
        ("GET", "/v1/runs?limit=1&limit=2", None, 422, "invalid", "limit"),
        ("GET", "/v1/runs?colour=red", None, 422, "invalid", "colour"),
        ("GET", "/v1/about?x=1", None, 422, "invalid", "x"),
        ("GET", "/v1/runs/short", None, 422, "invalid", "run_id"),
        ("GET", "/v1/runs/" + "0" * 32, None, 404, "not_found", "run_id"),
        ("GET", "/v1/runs/" + "0" * 32 + "/messages", None, 404, "not_found", "run_id"),
        ("GET", "/v1/breakers/one?identity=app:x", None, 404, "not_found", "identity"),
        ("GET", "/v1/breakers/one", None, 422, "invalid", "identity"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_a_problem_that_names_the_field(  # noqa: PLR0917 -- one row a case
    ask: Ask, method: str, path: str, body: bytes | None, status: int, code: str, field: str | None
) -> None:
    """RFC 9457 documents, always."""
    said = ask(method, path, body)
    problem = Problem.model_validate_json(said.data)

    assert (said.status_code, problem.status, problem.code) == (status, status, code)
    assert said.mimetype == "application/problem+json"
    assert field is None or field in [fault.field for fault in problem.errors]


def test_a_body_that_says_it_is_no_json_is_refused(ask: Ask) -> None:
    """415, naming the header."""
    said = ask("POST", "/v1/exchange", data="a=1", content_type="application/x-www-form-urlencoded")

    assert (said.status_code, said.json["errors"][0]["field"]) == (415, "Content-Type")


def test_what_stood_in_a_bad_field_is_not_repeated(ask: Ask) -> None:
    """It may be a key pasted into the wrong place."""
    said = ask("POST", "/v1/exchange", AN_EXCHANGE | {"owner": "app-secret-secret-secret"})

    assert said.status_code == 422
    assert "secret" not in said.text


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("0" * 32),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["run_id", "owner", "epoch", "open", "settle", "admit", "close", "steps", "limits"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(body=hostile, cut=st.integers(0, 3))
def test_no_body_whatever_makes_the_sidecar_fail(ask: Ask, body: Any, cut: int) -> None:
    """Hostile JSON, whole or cut short, is refused with a readable problem."""
    text = json.dumps(body)
    said = ask("POST", "/v1/exchange", text[: len(text) - cut])

    assert said.status_code in {400, 404, 422}
    assert Problem.model_validate_json(said.data).status == said.status_code


def test_a_fault_of_ours_is_a_500_that_tells_nothing_but_the_trace_id_of_its_log_line(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is logged, not sent."""

    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("inner words")

    monkeypatch.setattr(Runs, "page", fail)
    said = ask("GET", "/v1/runs", headers={"X-Trace-Id": "trace-of-mine"})

    assert (said.status_code, said.json["code"]) == (500, "internal")
    assert "trace-of-mine" in said.json["detail"]
    assert "inner words" not in said.text
    (record,) = [record for record in caplog.records if record.name == "sidecar.http"]
    assert (record.exc_info or [None])[0] is ZeroDivisionError
    assert record.__dict__["trace_id"] == "trace-of-mine"


def test_an_answer_is_read_back_as_it_was_meant(ask: Ask) -> None:
    """Every null an agent wrote included."""
    for version, value in enumerate([None, {"x": None, "y": [None]}], start=1):
        ask("PUT", "/v1/traces/t/state/a/k", {"writer": "a", "value": value})
        said = ask("GET", "/v1/traces/t/state/a/k")

        assert StateEntry(key="k", value=value, version=version) == StateEntry.model_validate_json(said.data)


def test_about_tells_versions_store_and_durability(ask: Ask) -> None:
    """An operator sees what answers."""
    said = ask("GET", "/v1/about").json

    assert (said["product"], said["contract"], said["durability"]) == ("ensemble", 1, "everysec")
    assert said["store"].startswith("valkey 9")


def test_no_path_is_served_that_the_contract_does_not_name(app: Flask) -> None:
    """The table is the whole of it, but for what is said about the table, what Prometheus reads, and the console's pages."""
    named = {each.name for each in endpoints.ALL}
    served = {rule.endpoint: rule.rule for rule in app.url_map.iter_rules()}
    pages = {name for name, path in served.items() if path == PAGES or path.startswith(f"{PAGES}/")}

    assert served.keys() - pages == {*named, "openapi", "metrics"}


def test_whoever_can_reach_it_may_read_what_can_be_asked(client: FlaskClient) -> None:
    """Without a token, whole, and as JSON; it names every path that is served."""
    said = client.get(OPENAPI_PATH)

    assert (said.status_code, said.mimetype) == (200, "application/json")
    assert said.json == openapi()
    assert client.post(OPENAPI_PATH).status_code == 401


def test_the_document_is_written_once_and_sent_to_nobody_who_has_it(client: FlaskClient) -> None:
    """It is the same as long as the process lives, and takes milliseconds to write."""
    first, second = client.get(OPENAPI_PATH), client.get(OPENAPI_PATH)

    assert _document() is _document()
    assert (first.data, first.headers["ETag"]) == (second.data, second.headers["ETag"])
    again = client.get(OPENAPI_PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert client.get(OPENAPI_PATH, headers={"If-None-Match": '"other"'}).data == first.data

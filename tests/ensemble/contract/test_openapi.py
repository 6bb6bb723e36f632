"""The document made from the table: whole, without loose ends, and nothing in it that is not in the table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ensemble.contract import endpoints
from ensemble.contract.endpoints import Endpoint
from ensemble.contract.openapi import OPENAPI_PATH, openapi
from ensemble.contract.problems import ProblemCode

PATH_ITEM = {"get", "put", "post", "delete", "patch"}
BY_NAME = pytest.mark.parametrize("endpoint", endpoints.ALL, ids=lambda each: each.name)
TYPES = {"string", "integer", "number", "boolean", "array", "object", "null"}


def operation(endpoint: Endpoint[Any, Any]) -> dict[str, Any]:
    """Return what the document says of *endpoint*."""
    found: dict[str, Any] = openapi()["paths"][endpoint.path][endpoint.method.lower()]
    return found


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in *value*, itself included."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from objects(each)


def resolved(ref: str) -> Any:
    """Return what *ref* leads to. Raises KeyError."""
    found: Any = openapi()
    for part in ref.removeprefix("#/").split("/"):
        found = found[part]
    return found


def schema_of(content: dict[str, Any], media_type: str) -> Any:
    """Return the schema of the one kind of content there is."""
    assert set(content) == {media_type}
    return content[media_type]["schema"]


def test_it_has_the_shape_of_an_openapi_document() -> None:
    """The fields that the standard wants, and JSON all through."""
    document = openapi()

    assert json.loads(json.dumps(document)) == document
    assert set(document) == {"openapi", "info", "security", "paths", "components"}
    assert re.fullmatch(r"3\.1\.[0-9]+", document["openapi"])
    assert all(isinstance(document["info"][field], str) for field in ("title", "version"))
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in document["components"]["schemas"])


def test_it_lists_exactly_the_endpoints() -> None:
    """Each once, under its own name; the document itself is no endpoint."""
    told = {
        (found["operationId"], method.upper(), path)
        for path, item in openapi()["paths"].items()
        for method, found in item.items()
    }

    assert told == {(each.name, each.method, each.path) for each in endpoints.ALL}
    assert all(set(item) <= PATH_ITEM for item in openapi()["paths"].values())
    assert OPENAPI_PATH not in openapi()["paths"]


@BY_NAME
def test_every_parameter_is_told(endpoint: Endpoint[Any, Any]) -> None:
    """All of them, in the path or in the query; what stands in the path is required."""
    told = {each["name"]: each for each in operation(endpoint)["parameters"]}

    assert set(told) == set(endpoint.params.model_fields)
    assert {name for name, each in told.items() if each["in"] == "path"} == set(endpoint.in_path())
    assert {each["in"] for each in told.values()} <= {"path", "query"}
    for name, each in told.items():
        assert each["required"] == (name in endpoint.in_path() or endpoint.params.model_fields[name].is_required())
        assert each["schema"]


@BY_NAME
def test_every_body_is_told(endpoint: Endpoint[Any, Any]) -> None:
    """What is asked with its fields, none of which may be another; nothing where nothing is sent."""
    body = operation(endpoint).get("requestBody")

    assert (body is None) == (endpoint.ask is None)
    if body is not None and endpoint.ask is not None:
        schema = resolved(schema_of(body["content"], "application/json")["$ref"])
        assert body["required"]
        assert set(schema["properties"]) == set(endpoint.ask.model_fields)
        assert schema["additionalProperties"] is False


@BY_NAME
def test_every_answer_and_every_no_is_told(endpoint: Endpoint[Any, Any]) -> None:
    """Answers as JSON, or as events where they come one by one; whatever else comes is a problem document."""
    responses = operation(endpoint)["responses"]

    assert set(responses) == {"200", "default"}
    if endpoint.streams:
        ref = schema_of(responses["200"]["content"], "text/event-stream")["contentSchema"]["$ref"]
    else:
        ref = schema_of(responses["200"]["content"], "application/json")["$ref"]
    assert set(resolved(ref)["properties"]) == set(endpoint.answer.model_fields)
    assert all(each["description"] for each in responses.values() if "$ref" not in each)
    problem = resolved(schema_of(resolved(responses["default"]["$ref"])["content"], "application/problem+json")["$ref"])
    assert set(resolved(problem["properties"]["code"]["$ref"])["enum"]) == {*ProblemCode}


@BY_NAME
def test_whether_a_token_is_needed_is_told(endpoint: Endpoint[Any, Any]) -> None:
    """A bearer token for everything but health."""
    document = openapi()
    wanted = operation(endpoint).get("security", document["security"])

    assert wanted == ([] if endpoint.public else [{"token": []}])
    assert document["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}


def test_no_reference_leads_nowhere_and_no_schema_is_left_over() -> None:
    """Everything that is referred to is there, and everything that is there is referred to."""
    document = openapi()
    refs = {each["$ref"] for each in objects(document) if isinstance(each.get("$ref"), str)}

    for ref in refs:
        assert resolved(ref)
    assert {f"#/components/schemas/{name}" for name in document["components"]["schemas"]} <= refs
    assert not any("$defs" in each for each in objects(document))


def test_every_type_is_one_of_json() -> None:
    """No model has a field that JSON can't carry."""
    schemas = openapi()["components"]["schemas"]

    assert {each["type"] for each in objects(schemas) if isinstance(each.get("type"), str)} <= TYPES

"""The OpenAPI document, made from the table of endpoints and the models it names."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ensemble.contract.about import CONTRACT_VERSION
from ensemble.contract.endpoints import ALL, Endpoint
from ensemble.contract.problems import Problem

__all__ = ["OPENAPI_PATH", "openapi"]

OPENAPI_PATH = "/v1/openapi.json"
"""Where the document is served; it stands in no table, for it is about the table."""

_SCHEMAS = "#/components/schemas/{model}"
_TOKEN = "token"  # noqa: S105 - what the scheme is called
_DESCRIPTION = (
    "What any client can ask of an Ensemble sidecar. Fields nobody knows are refused in what is asked, and are to be "
    "ignored in what is answered. A *no* is a problem document (RFC 9457)."
)
_STREAM = "Server-sent events until the stream ends; the data of each is one such object as JSON."

type _Key = tuple[type[BaseModel], JsonSchemaMode]


@cache
def openapi() -> dict[str, Any]:
    """Return the document (OpenAPI 3.1); callers must not change it."""
    refs, schemas = _schemas()
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ALL:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, refs, schemas)
    for endpoint in ALL:  # What they hold stands in path and query.
        schemas.pop(_name(refs[endpoint.params, "validation"]), None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ensemble sidecar", "version": str(CONTRACT_VERSION), "description": _DESCRIPTION},
        "security": [{_TOKEN: []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Problem": _problem(refs)},
            "securitySchemes": {_TOKEN: {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas() -> tuple[dict[_Key, Any], dict[str, Any]]:
    """Return a reference to the schema of each model in each of its uses, and the schemas by their names."""
    keys: dict[_Key, None] = {(Problem, "serialization"): None}  # A set would have no order.
    for endpoint in ALL:
        keys[endpoint.params, "validation"] = None
        keys[endpoint.answer, "serialization"] = None
        if endpoint.ask is not None:
            keys[endpoint.ask, "validation"] = None
    refs, defined = models_json_schema(list(keys), ref_template=_SCHEMAS)
    return {key: refs[key] for key in keys}, defined["$defs"]


def _operation(endpoint: Endpoint[Any, Any], refs: dict[_Key, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.path.split("/")[2]],
        "parameters": _parameters(endpoint, schemas[_name(refs[endpoint.params, "validation"])]),
        "responses": {
            "200": _answer(endpoint, refs[endpoint.answer, "serialization"]),
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    if endpoint.ask is not None:
        content = {"application/json": {"schema": refs[endpoint.ask, "validation"]}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.public:
        operation["security"] = []
    return operation


def _parameters(endpoint: Endpoint[Any, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    in_path, required = endpoint.in_path(), schema.get("required", ())
    return [
        {
            "name": name,
            "in": "path" if name in in_path else "query",
            "required": name in in_path or name in required,
            "schema": each,
        }
        for name, each in schema.get("properties", {}).items()
    ]


def _answer(endpoint: Endpoint[Any, Any], ref: Any) -> dict[str, Any]:
    if not endpoint.streams:
        return {"description": "The answer.", "content": {"application/json": {"schema": ref}}}
    events = {"type": "string", "contentMediaType": "application/json", "contentSchema": ref}
    return {"description": _STREAM, "content": {"text/event-stream": {"schema": events}}}


def _problem(refs: dict[_Key, Any]) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": refs[Problem, "serialization"]}}
    return {"description": "No, and why; `code` says which kind of no.", "content": content}


def _name(ref: Any) -> str:
    """Return the name of the schema that *ref* leads to."""
    return str(ref["$ref"]).rpartition("/")[2]

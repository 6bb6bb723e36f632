"""Checks of a request before it runs: who asks, what for, and whether the form is filled."""

import json
from collections.abc import Mapping
from typing import Any

from tests.standin.apps import App, Variable
from tests.standin.flavour import refuse
from tests.standin.http import Request


def key_from(request: Request) -> str:
    """The app key in the Authorization header; the scheme's case does not matter."""
    header = request.headers.get("authorization", "")
    scheme, space, key = header.partition(" ")
    if not space:
        raise refuse(401, "unauthorized", "Authorization header must be provided and start with 'Bearer'")
    if scheme.lower() != "bearer":
        raise refuse(401, "unauthorized", "Authorization scheme must be 'Bearer'")
    return key.strip()


def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object, with its `user`."""
    if "json" not in request.headers.get("content-type", ""):
        message = "Did not attempt to load JSON data because the request Content-Type was not 'application/json'."
        raise refuse(415, "unsupported_media_type", message)
    try:
        body = json.loads(request.body)
    except ValueError as error:
        message = "The browser (or proxy) sent a request that this server could not understand."
        raise refuse(400, "bad_request", message) from error
    if not isinstance(body, dict) or not body.get("user"):
        raise refuse(400, "invalid_param", "Arg user must be provided.")
    return body


def fill(app: App, given: Mapping[str, Any]) -> dict[str, Any]:
    """The declared inputs, checked and cast; what is not declared is dropped without a word."""
    return {variable.name: _check(variable, given.get(variable.name)) for variable in app.inputs}


def _check(variable: Variable, value: Any) -> Any:
    name = variable.name
    if value is None:
        if variable.required:
            raise refuse(400, "invalid_param", f"{name} is required in input form", late=True)
        return None
    if variable.type == "number":
        return _number(name, value)
    if not isinstance(value, str):
        message = f"(type '{variable.type}') {name} in input form must be a string"
        raise refuse(400, "invalid_param", message, late=True)
    if variable.type == "select" and value not in variable.options:
        message = f"{name} in input form must be one of the following: {list(variable.options)}"
        raise refuse(400, "invalid_param", message, late=True)
    if variable.type != "select" and variable.max_length and len(value) > variable.max_length:
        message = f"{name} in input form must be less than {variable.max_length} characters"
        raise refuse(400, "invalid_param", message, late=True)
    return value.replace("\x00", "")


def _number(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return float(value) if "." in value else int(value)
    except ValueError as error:
        raise refuse(400, "invalid_param", f"{name} in input form must be a valid number", late=True) from error


def parameters(app: App) -> dict[str, Any]:
    """The body of `GET /v1/parameters`."""
    off = {"enabled": False}
    return {
        "opening_statement": "",
        "suggested_questions": [],
        "suggested_questions_after_answer": off,
        "speech_to_text": off,
        "text_to_speech": off | {"language": "", "voice": ""},
        "retriever_resource": {"enabled": True},
        "annotation_reply": off,
        "more_like_this": off,
        "user_input_form": [variable.form() for variable in app.inputs],
        "sensitive_word_avoidance": off,
        "file_upload": {
            "enabled": True,
            "allowed_file_types": ["image", "document"],
            "allowed_file_extensions": [],
            "allowed_file_upload_methods": ["local_file", "remote_url"],
            "number_limits": 3,
        },
        "system_parameters": {
            "image_file_size_limit": 10,
            "video_file_size_limit": 100,
            "audio_file_size_limit": 50,
            "file_size_limit": 15,
            "workflow_file_upload_limit": 10,
        },
    }

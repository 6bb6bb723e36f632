"""The HTTP edge: every endpoint of the contract is served the same way, and every "no" is a problem document.

Validation happens here and nowhere behind it; handlers take and return the contract's models.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any

from flask import Flask, Response, g, request
from gunicorn.http.errors import ParseException
from pydantic import ValidationError
from werkzeug.exceptions import ClientDisconnected, HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.exceptions import NotFound as NoSuchPath
from werkzeug.routing import BaseConverter

from ensemble.contract.base import Answer, Ask
from ensemble.contract.endpoints import Endpoint
from ensemble.contract.openapi import OPENAPI_PATH, openapi
from ensemble.contract.problems import Fault, Problem, ProblemCode
from ensemble.contract.wording import LONGEST_FIELD
from sidecar.edge.auth import Tenants
from sidecar.edge.requestlog import Refusals
from sidecar.edge.wording import MOST_FAULTS, refused
from sidecar.errors import BadRequest, Forbidden, Invalid, SidecarError, TooLarge, Unauthorized, UnsupportedMediaType
from sidecar.streams import Events

__all__ = [
    "PAGES",
    "Handler",
    "answer_problems",
    "for_browsers",
    "problem_response",
    "require_tokens",
    "serve",
    "serve_document",
]

type Handler = Callable[[str, Any, Any], Answer | Events]
"""Takes the tenant ("" where no token is needed), the params and the body (None where there is none)."""

PAGES = "/console"
"""Below it stand pages for people, which know by themselves who may see them."""
HOLDS_SLASHES = "key"
"""The one field of a path that may hold slashes itself: a key of shared state."""

log = logging.getLogger("sidecar.http")


class _Rest(BaseConverter):
    """The rest of a path, slashes included."""

    regex = ".+"
    part_isolating = False


def for_browsers() -> bool:
    """Whether a page is asked for, rather than the API."""
    return request.path == PAGES or request.path.startswith(f"{PAGES}/")


def serve(app: Flask, endpoint: Endpoint[Any, Any], handler: Handler) -> None:
    """Let *app* answer *endpoint* by *handler*."""
    params_type, ask_type = endpoint.params, endpoint.ask
    has_params = bool(params_type.model_fields)

    def view(**in_path: str) -> Response:
        if endpoint.streams:
            in_path |= _going_on()
        params = _params(params_type, in_path) if has_params or request.args else params_type()
        ask = _body(ask_type) if ask_type else None
        answer = handler(g.get("tenant", ""), params, ask)
        if isinstance(answer, Events):
            return _streamed(answer)
        # Whole, nulls included: a field left out would be read back as its default.
        return Response(answer.model_dump_json(), mimetype="application/json")

    app.url_map.converters["rest"] = _Rest
    path = endpoint.path.replace("{" + HOLDS_SLASHES + "}", "<rest:" + HOLDS_SLASHES + ">")
    path = path.replace("{", "<").replace("}", ">")
    app.add_url_rule(path, endpoint.name, view, methods=[endpoint.method], provide_automatic_options=False)


def serve_document(app: Flask) -> str:
    """Let *app* tell everybody what can be asked of it, and return what the view is called."""

    def view() -> Response:
        document, etag = _document()
        response = Response(document, mimetype="application/json")
        response.set_etag(etag)
        response.make_conditional(request)
        return response

    app.add_url_rule(OPENAPI_PATH, "openapi", view, methods=["GET"], provide_automatic_options=False)
    return "openapi"


def _going_on() -> dict[str, str]:
    """Return from where a reader goes on whose stream ended: browsers say so by themselves."""
    last = request.headers.get("Last-Event-ID", "")
    return {"after_ms": last} if last and "after_ms" not in request.args else {}


def _streamed(events: Events) -> Response:
    response = Response(events.lines(), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep events back until it has a page of them
    response.call_on_close(events.on_close)
    return response


def require_tokens(app: Flask, tenants: Tenants, public: frozenset[str]) -> None:
    """Let nobody in without a token, but to the endpoints named in *public*; paths that do not exist ask for one too.

    Pages are not asked for one: browsers have no header to send it in.
    """

    @app.before_request
    def _authenticate() -> None:
        if request.endpoint not in public and not for_browsers():
            g.tenant = tenants.of(request.headers.get("Authorization"))


def answer_problems(app: Flask, refusals: Refusals, page: Callable[[Problem], Response]) -> None:
    """Turn everything that is raised into a problem document; only faults of ours are a 500, and are logged.

    For browsers it is a *page*. Who is let in nowhere is told to *refusals*.
    """

    def answered(problem: Problem, headers: list[tuple[str, str]] | None = None) -> Response:
        g.problem = problem.code.value  # for whoever counts
        return page(problem) if for_browsers() else problem_response(problem, headers)

    @app.errorhandler(SidecarError)
    def _refused(error: SidecarError) -> Response:
        if isinstance(error, Unauthorized | Forbidden):
            refusals.tell(error)
        return answered(error.problem())

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        return answered(_http_problem(app, error), error.get_headers())

    @app.errorhandler(Exception)
    def _fault_of_ours(error: Exception) -> Response:
        trace_id = request.headers.get("X-Trace-Id", "")[:128] or uuid.uuid4().hex
        where = str(request.url_rule) if for_browsers() else request.path  # a link's path is its secret
        log.error("%s %s failed", request.method, where, exc_info=error, extra={"trace_id": trace_id})
        detail = f"A fault of the sidecar; its log tells more under trace id {trace_id}."
        return answered(Problem(title="Fault of the sidecar", status=500, code=ProblemCode.INTERNAL, detail=detail))


@cache  # it takes milliseconds to write, and never changes
def _document() -> tuple[bytes, str]:
    """Return the OpenAPI document as it is sent, and what tells it from those of other versions."""
    document = json.dumps(openapi()).encode()
    return document, sha256(document).hexdigest()


def _params(params_type: type[Ask], in_path: Mapping[str, str]) -> Ask:
    """Return what stands in path and query. Raises Invalid."""
    query = request.args.to_dict(flat=False)
    twice = [name for name, values in query.items() if len(values) > 1 or name in in_path]
    if twice:
        faults = [Fault(field=name[:LONGEST_FIELD], problem="stands twice", fix="Send it once.") for name in twice]
        raise Invalid("A parameter stands twice.", *faults[:MOST_FAULTS])
    values = {name: values[0] for name, values in query.items()} | dict(in_path)
    try:
        return params_type.model_validate(values, strict=False)
    except ValidationError as error:
        raise refused(error, params_type) from error


def _body(ask_type: type[Ask]) -> Ask:
    """Return the body. Raises BadRequest, Invalid, UnsupportedMediaType."""
    if request.mimetype not in ("application/json", ""):
        raise UnsupportedMediaType(
            "The body is not said to be JSON.",
            Fault(field="Content-Type", problem="something else than application/json", fix="Send application/json."),
        )
    try:
        return ask_type.model_validate_json(_whole())
    except ParseException as error:
        fault = Fault(field="body", problem="its chunks are not as HTTP has them", fix="Send a Content-Length instead.")
        raise BadRequest("The body can't be read.", fault) from error
    except ValidationError as error:
        raise refused(error, ask_type) from error


def _whole() -> bytes:
    """Return all of the body; one that has no length beforehand is cut at the limit by Flask, and refused here.

    Raises:
        RequestEntityTooLarge: It goes on.
        ClientDisconnected: It breaks off.

    """
    body = request.get_data(cache=False)
    try:
        if len(body) == request.max_content_length and request.environ["wsgi.input"].read(1):
            raise RequestEntityTooLarge
    except OSError as error:
        raise ClientDisconnected from error
    return body


def _http_problem(app: Flask, error: HTTPException) -> Problem:
    """Say what Flask found wrong with the request in the contract's words."""
    status = error.code or 500
    if isinstance(error, NoSuchPath):
        title, code, detail = "Not found", ProblemCode.NOT_FOUND, "No endpoint has this path."
    elif isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        title, code = "Method not allowed", ProblemCode.METHOD_NOT_ALLOWED
        detail = f"This path is asked with {allowed}."
    elif isinstance(error, RequestEntityTooLarge):
        most = app.config["MAX_CONTENT_LENGTH"]
        return TooLarge(
            f"A body may take {most} bytes.",
            Fault(field="body", problem="too large", fix="Send less at once, or raise ENSEMBLE_MAX_BODY_BYTES."),
        ).problem()
    else:
        title, code, detail = error.name, ProblemCode.BAD_REQUEST, error.description or error.name
    return Problem(title=title, status=status, code=code, detail=detail)


def problem_response(problem: Problem, headers: list[tuple[str, str]] | None = None) -> Response:
    """Return *problem* as it is sent, with more header fields if there are any."""
    response = Response(
        problem.model_dump_json(exclude_none=True), status=problem.status, mimetype="application/problem+json"
    )
    for name, value in headers or ():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    if problem.retry_after_ms is not None:
        response.headers["Retry-After"] = str(max(1, -(-problem.retry_after_ms // 1000)))
    if problem.code is ProblemCode.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="ensemble"'
    return response

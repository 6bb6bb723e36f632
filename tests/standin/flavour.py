"""Where Dify 1.7.2 and 1.14.0 answer differently, and the refusals they share."""

import re
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError, field_validator

from tests.standin.apps import App
from tests.standin.http import JSON, JSON_UTF8, Answer
from tests.standin.recordings import Version

TENANT_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "tenant"))

NOT_FOUND_PAGE = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not"
    " found on the server. If you entered the URL manually please check your spelling and try again.</p>\n"
)
BAD_GATEWAY_PAGE = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
DID_YOU_MEAN = (
    " You have requested this URI [/v1/chat-messages] but did you mean /v1/chat-messages or /api/chat-messages or"
    " /v1/chat-messages/<string:task_id>/stop ?"
)
PLUGIN_DAEMON = f"Failed to request plugin daemon, url: plugin/{TENANT_ID}/management/models"
CONNECTION_REFUSED = "[Errno 111] Connection refused"


class Refused(Exception):  # noqa: N818 - "no" is an answer of the stand-in, not its error.
    """A request that Dify does not run."""

    def __init__(self, status: int, body: Any, *, late: bool = False, code: str = "") -> None:
        """Refuse with an HTTP status and a body.

        `late` marks what 1.14.0 finds out in its worker only: a stream is already open then, and never told.
        """
        super().__init__(code or str(status))
        self.answer = Answer(status=status, body=body)
        self.late = late
        self.code: str = code or (body.get("code", "") if isinstance(body, dict) else "") or str(status)


def refuse(status: int, code: str, message: str, *, late: bool = False) -> Refused:
    """A refusal of the shape nearly all have."""
    return Refused(status, {"code": code, "message": message, "status": status}, late=late)


class WorkflowRunPayload(BaseModel):
    """Dify 1.14.0's own model of a workflow request, by name: its name stands in the error text."""

    inputs: dict[str, Any]
    response_mode: Literal["blocking", "streaming"] | None = None


class CompletionRequestPayload(WorkflowRunPayload):
    """Dify 1.14.0's own model of a completion request."""


class ChatRequestPayload(WorkflowRunPayload):
    """Dify 1.14.0's own model of a chat request."""

    query: str
    conversation_id: str | None = None

    @field_validator("conversation_id")
    @classmethod
    def _is_uuid(cls, given: str | None) -> str | None:
        if given and not is_uuid(given):
            raise ValueError("conversation_id must be a valid UUID")
        return given


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in any of the forms Python reads."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def check_payload(version: Version, kind: Literal["workflow", "chat", "completion"], body: Mapping[str, Any]) -> None:
    """Refuse a body without what the endpoint needs, in the version's words."""
    if version == "1.7.2":
        _check_as_reqparse(kind, body)
        return
    models: dict[str, type[WorkflowRunPayload]] = {
        "workflow": WorkflowRunPayload,
        "chat": ChatRequestPayload,
        "completion": CompletionRequestPayload,
    }
    try:
        models[kind].model_validate(dict(body), strict=False)
    except ValidationError as error:
        # The recorded server had pydantic 2.12; the version stands in the link of each message.
        text = re.sub(r"(errors\.pydantic\.dev)/[\d.]+/", r"\1/2.12/", str(error))
        raise refuse(400, "invalid_param", text) from error


def _check_as_reqparse(kind: str, body: Mapping[str, Any]) -> None:
    def wrong(field: str, message: str) -> Refused:
        return Refused(400, {"code": "invalid_param", "message": message, "params": field})

    for field in ("inputs", "query") if kind == "chat" else ("inputs",):
        if field not in body:
            raise wrong(field, "Missing required parameter in the JSON body")
        if body[field] is None:
            raise wrong(field, "Must not be null!")
    try:
        dict(body["inputs"])
    except (TypeError, ValueError) as error:
        raise wrong("inputs", str(error)) from error
    mode = body.get("response_mode")
    if mode not in (None, "blocking", "streaming"):
        raise wrong("response_mode", f"{mode} is not a valid choice")
    conversation = body.get("conversation_id")
    if kind == "chat" and conversation and not is_uuid(str(conversation)):
        raise wrong("conversation_id", f"{conversation} is not a valid uuid.")


def no_conversation(version: Version) -> Refused:
    """The conversation is unknown, or another user's."""
    hint = DID_YOU_MEAN if version == "1.14.0" else ""
    return refuse(404, "not_found", f"Conversation Not Exists.{hint}", late=True)


def no_run(version: Version) -> Answer:
    """The run asked for by a UUID does not exist."""
    if version == "1.14.0":
        return refuse(404, "not_found", "Workflow run not found.").answer
    nothing = ("id", "workflow_id", "status", "inputs", "outputs", "error")
    body: dict[str, Any] = dict.fromkeys(nothing)
    body |= {"total_steps": 0, "total_tokens": 0, "created_at": None, "finished_at": None, "elapsed_time": None}
    return Answer(body=body)


def server_error(version: Version) -> Answer:
    """Dify's own 500: without `status` before 1.14."""
    body: dict[str, Any] = {"message": "Internal Server Error", "code": "unknown"}
    return Answer(status=500, body=body | ({"status": 500} if version == "1.14.0" else {}))


def not_allowed(version: Version, methods: str) -> Answer:
    """The path exists, the method does not."""
    refused = refuse(405, "method_not_allowed", "The method is not allowed for the requested URL.")
    return refused.answer.model_copy(update={"headers": {"allow": methods} if version == "1.7.2" else {}})


def result(version: Version, body: Any) -> Answer:
    """The result of a blocking run, encoded as the version does."""
    new = version == "1.14.0"
    return Answer(body=body, content_type=JSON_UTF8 if new else JSON, compact=new)


def no_error(version: Version) -> str | None:
    """What stands in `error` when there is none."""
    return "" if version == "1.7.2" else None


def dialogue_count(version: Version, earlier_turns: int) -> int:
    """`sys.dialogue_count` of a turn, as recorded over three of them: 0, 2, 3 and 1, 3, 4."""
    count = earlier_turns + 1 if earlier_turns else 0
    return count if version == "1.7.2" else count + 1


def app_unavailable() -> Refused:
    """The app has nothing to run, or is not for this endpoint."""
    return refuse(400, "app_unavailable", "App unavailable, please check your app configurations.")


def too_many(app: App) -> Refused:
    """Dify's limit per app: 400, not 429, and no `Retry-After`."""
    message = (
        "Too many requests. Please try again later. The current maximum concurrent requests allowed"
        f" for {app.id} is {app.max_active_requests or 1}."
    )
    return refuse(400, "invalid_param", message)

"""Answers written from Dify's source, because no recording has them: apps without a graph, paused and stopped runs.

Everything else in this folder was compared with recordings; this was not. Sources are Dify 1.14.0's
`core/app/apps/*/generate_response_converter.py`, `core/app/entities/task_entities.py` and
`controllers/service_api/app/error.py`.
"""

from typing import Any

from tests.standin.events import Event
from tests.standin.failures import Failure
from tests.standin.flavour import Refused, refuse
from tests.standin.runs import Run

MODEL_ERRORS = {
    "completion_request_error": "Completion request failed.",
    "provider_not_initialize": (
        "No valid model provider credentials found. "
        "Please go to Settings -> Model Provider to complete your provider credentials."
    ),
    "provider_quota_exceeded": (
        "Your quota for Dify Hosted OpenAI has been exhausted. "
        "Please go to Settings -> Model Provider to complete your own provider credentials."
    ),
    "model_currently_not_support": ("Dify Hosted OpenAI trial currently not support the GPT-4 model."),
}


def model_error(failure: Failure) -> Refused:
    """What a model's provider refuses: 400, and 429 only in editions that bill."""
    if failure.kind == "rate_limit_error":
        return refuse(429, failure.kind, failure.message or "Rate Limit Error")
    return refuse(400, failure.kind, failure.message or MODEL_ERRORS[failure.kind])


def simple_blocking(run: Run) -> dict[str, Any]:
    """The blocking body of a chat or completion app; the latter has no conversation."""
    body = run.blocking()
    if run.app.mode == "completion":
        del body["conversation_id"]
    return body


def simple_events(run: Run) -> list[Event]:
    """The stream of an app without a graph; agents speak in `agent_message`, after one thought."""
    ids: Event = {"conversation_id": run.conversation_id} if run.app.mode != "completion" else {}
    ids |= {"message_id": run.message_id, "created_at": run.created_at, "task_id": run.task_id}
    agent = run.app.mode == "agent-chat"
    words = [piece.text for piece in run.pieces if piece.text]
    events: list[Event] = [
        {"event": "agent_message" if agent else "message", **ids, "id": run.message_id, "answer": text}
        | ({} if agent else {"from_variable_selector": None})
        for text in words
    ]
    if agent:
        events.insert(0, {"event": "agent_thought", **ids, **_thought(run)})
    ending = {"metadata": run.metadata(streamed=True), "files": None}
    return [*events, {"event": "message_end", **ids, "id": run.message_id, **ending}]


def _thought(run: Run) -> Event:
    empty = dict.fromkeys(("observation", "tool", "tool_input"), "")
    return {"id": run.id, "position": 1, "thought": run.answer, **empty, "tool_labels": {}, "message_files": []}


def paused(run: Run) -> dict[str, Any]:
    """The blocking body of a run that waits for a human (1.13 and later)."""
    data = run.summary() | {"finished_at": None, "outputs": {}, "paused_nodes": ["human"]}
    data["reasons"] = [{"TYPE": "human_input_required", "node_id": "human", "form_id": run.end_user_id}]
    if run.app.mode == "workflow":
        return {"task_id": run.task_id, "workflow_run_id": run.id, "data": data}
    ids = {"task_id": run.task_id, "id": run.message_id, "message_id": run.message_id}
    chat = {"conversation_id": run.conversation_id, "mode": run.app.mode, "answer": ""}
    ids["workflow_run_id"] = run.id
    return {"event": "workflow_paused", **ids, **chat, "metadata": {}, "created_at": run.created_at, "data": data}


def paused_event(run: Run) -> Event:
    """The last event of a run that waits for a human."""
    body = paused(run)
    return {"event": "workflow_paused", "workflow_run_id": run.id, "task_id": run.task_id, "data": body["data"]}

"""One execution as Dify's server-sent events: what comes before the app has worked, and what after."""

import time
from typing import Any

from tests.standin.apps import Node
from tests.standin.http import dump
from tests.standin.runs import Piece, Run

PING = "event: ping\n\n"

OLD_NODE_FIELDS = ("parallel_id", "parallel_start_node_id", "parent_parallel_id", "parent_parallel_start_node_id")

type Event = dict[str, Any]


def frame(run: Run, event: Event) -> str:
    """An event on the wire; its type is a JSON key, there is no `event:` line."""
    return f"data: {dump(event, compact=run.version == '1.14.0')}\n\n"


def opening(run: Run) -> list[Event]:
    """From the start of the run to the start of the node that takes the time."""
    return [
        _started(run),
        _node_started(run, Node(id="start", type="start", title="Start"), 1, None),
        *_around_start(run, [_text(run, piece) for piece in _early(run)]),
        *([_node_started(run, run.node, 2, "start")] if run.node else []),
    ]


def success(run: Run) -> list[Event]:
    """From the end of that node to the end of a run that succeeded."""
    node, late = run.node, [_text(run, piece) for piece in _late(run)]
    last = Node(id="end", type="end", title="End") if run.app.mode == "workflow" else _ANSWER
    before, index = (node.id, 3) if node else ("start", 2)
    events, in_end = late, list[Event]()
    if node and node.error:
        done = _node_finished(run, node, 2, "start", outputs=node.outputs, status="exception", error=node.error)
        # 1.14.0 streams default values only when the end node reads them.
        events, in_end = ([done, *late], []) if run.version == "1.7.2" else ([done], late)
    elif node:
        done = _node_finished(run, node, 2, "start", outputs=node.outputs)
        events = [done, *late] if run.version == "1.7.2" else [*late, done]
    outputs = run.outputs if run.app.mode == "workflow" else {"answer": run.answer, "files": []}
    inputs = run.outputs if run.app.mode == "workflow" else None
    events += [
        _node_started(run, last, index, before),
        *in_end,
        _node_finished(run, last, index, before, inputs=inputs, outputs=outputs),
    ]
    return [*events, *_ending(run, exceptions=1 if node and node.error else 0)]


def failure(run: Run, error: str) -> list[Event]:
    """From the failure of that node to the end of the run; a chatflow before 1.14 adds an `error` event."""
    node = run.node or Node()
    old, chat = run.version == "1.7.2", run.app.mode == "advanced-chat"
    failed = _node_finished(run, node, 2, "start", outputs={}, status="failed", error=error)
    # 1.14.0 counts the failed node as an exception; 1.7.2 does not.
    events = [failed, _finished(run, exceptions=0 if old else 1)]
    if old and chat:
        events.append(error_event(run, "invalid_param", f"Run failed: {error}"))
    return events


def stopped(run: Run) -> list[Event]:
    """The end of a run that was stopped: its node never finishes."""
    if run.app.mode == "advanced-chat" and run.version == "1.7.2":
        return [_finished(run, exceptions=0), _message_end(run)]
    return [_finished(run, exceptions=0)]


def error_event(run: Run, code: str, message: str) -> Event:
    """An `error` event: no task id, and its fields at the top."""
    ids: Event = {"workflow_run_id": None}
    if run.app.mode == "advanced-chat":
        ids = {"conversation_id": run.conversation_id, "message_id": run.message_id, "created_at": run.created_at}
    return {"event": "error", **ids, "code": code, "status": 400, "message": message}


_ANSWER = Node(id="answer", type="answer", title="Answer")


def _event(run: Run, event: str, **fields: Any) -> Event:
    if run.app.mode == "workflow":
        return {"event": event, "workflow_run_id": run.id, "task_id": run.task_id, **fields}
    return {**_message(run, event), "workflow_run_id": run.id, **fields}


def _message(run: Run, event: str, **fields: Any) -> Event:
    ids = {"conversation_id": run.conversation_id, "message_id": run.message_id, "created_at": run.created_at}
    return {"event": event, **ids, "task_id": run.task_id, **fields}


def _text(run: Run, piece: Piece) -> Event:
    selector = list(piece.selector)
    if run.app.mode == "workflow":
        return _event(run, "text_chunk", data={"text": piece.text, "from_variable_selector": selector})
    return _message(run, "message", id=run.message_id, answer=piece.text, from_variable_selector=selector)


def _pieces(run: Run) -> list[Piece]:
    """Everything that is streamed as text; 1.7.2 streams no outputs of workflows and no empty values."""
    if run.app.mode == "advanced-chat":
        return [piece for piece in run.pieces if piece.text or run.version == "1.14.0"]
    if run.version == "1.7.2":
        return []
    between = Piece("\n", ("end", "answer"))
    return [part for source in run.sources for part in (between, source)][1:]


def _early(run: Run) -> list[Piece]:
    """What is said before the node works: all up to the first word that comes from it."""
    pieces, node = _pieces(run), run.node
    if node is None or run.app.node is None:
        return pieces if node is None else []
    first = next((at for at, piece in enumerate(pieces) if piece.selector[0] == node.id), len(pieces))
    return pieces[:first]


def _late(run: Run) -> list[Piece]:
    return _pieces(run)[len(_early(run)) :]


def _around_start(run: Run, texts: list[Event]) -> list[Event]:
    start = Node(id="start", type="start", title="Start")
    values = dict(run.asked.inputs)
    if run.version == "1.14.0":
        return [*texts, _node_finished(run, start, 1, None, inputs=values, outputs=values)]
    values |= run.sys()
    if run.app.mode == "advanced-chat":
        values["sys.conversation_id"] = run.conversation_id
    return [_node_finished(run, start, 1, None, inputs=values, outputs=values), *texts]


def _started(run: Run) -> Event:
    data = {
        "id": run.id,
        "workflow_id": run.app.workflow_id,
        "inputs": run.asked.inputs | run.sys(),
        "created_at": run.created_at,
    }
    return _event(run, "workflow_started", data=data | ({"reason": "initial"} if run.version == "1.14.0" else {}))


def _node_head(run: Run, node: Node, index: int, before: str | None) -> Event:
    old = run.version == "1.7.2"
    return {
        "id": f"{run.id[:-12]}{index:012x}",
        "node_id": node.id,
        "node_type": node.type,
        "title": node.title,
        "index": index if old else 1,
        "predecessor_node_id": before if old else None,
    }


def _node_started(run: Run, node: Node, index: int, before: str | None) -> Event:
    old = run.version == "1.7.2"
    data = _node_head(run, node, index, before) | {"inputs": None, "created_at": run.created_at, "extras": {}}
    data |= dict.fromkeys(OLD_NODE_FIELDS) if old else {"inputs_truncated": False}
    data |= {"iteration_id": None, "loop_id": None, "agent_strategy": None}
    return _event(run, "node_started", data=data | ({"parallel_run_id": None} if old else {}))


def _node_finished(
    run: Run,
    node: Node,
    index: int,
    before: str | None,
    *,
    outputs: dict[str, Any],
    inputs: dict[str, Any] | None = None,
    status: str = "succeeded",
    error: str | None = None,
) -> Event:
    old, metadata = run.version == "1.7.2", dict[str, Any]()
    usage = run.app.usage
    if node.type == "llm" and usage.total_tokens and status == "succeeded":
        metadata = {
            "total_tokens": usage.total_tokens,
            "total_price": usage.body(0)["total_price"],
            "currency": usage.currency,
        }
    if status == "exception":
        metadata = {"error_strategy": "default-value"}
    inputs = node.inputs if inputs is None else inputs
    data = _node_head(run, node, index, before) | {
        "inputs": inputs if old else inputs or {},
        "process_data": node.process_data if old else node.process_data or {},
        "outputs": outputs,
        "status": status,
        "error": error,
        "elapsed_time": run.elapsed_s,
        "execution_metadata": metadata if old else metadata or None,
        "created_at": run.created_at,
        "finished_at": int(time.time()),
        "files": [],
        "iteration_id": None,
        "loop_id": None,
    }
    truncated = dict.fromkeys(("inputs_truncated", "process_data_truncated", "outputs_truncated"), False)
    return _event(run, "node_finished", data=data | (dict.fromkeys(OLD_NODE_FIELDS) if old else truncated))


def _finished(run: Run, *, exceptions: int) -> Event:
    by = {"id": run.end_user_id, "user": run.asked.user}
    data = run.summary() | {"created_by": by, "exceptions_count": exceptions, "files": []}
    return _event(run, "workflow_finished", data=data)


def _message_end(run: Run) -> Event:
    return _message(run, "message_end", id=run.message_id, metadata=run.metadata(streamed=True), files=[])


def _ending(run: Run, exceptions: int) -> list[Event]:
    finished = _finished(run, exceptions=exceptions)
    if run.app.mode == "workflow":
        return [finished]
    # The order turned with 1.13.1.
    return [finished, _message_end(run)] if run.version == "1.7.2" else [_message_end(run), finished]

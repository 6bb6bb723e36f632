"""One execution of an app: its ids, what it will say, and its bodies outside a stream."""

import json
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.standin.apps import App, Asked, Node
from tests.standin.flavour import no_error
from tests.standin.recordings import Version

REFERENCE = re.compile(r"\{([A-Za-z_]\w*(?:\.\w+)?)\}")


@dataclass(frozen=True)
class Piece:
    """A part of an answer, and the variable it comes from."""

    text: str
    selector: tuple[str, str]


def new_id() -> str:
    """A UUID as Dify makes them."""
    return str(uuid.uuid4())


@dataclass
class Run:
    """One execution, from the request that passed all checks to its end."""

    app: App
    version: Version
    asked: Asked
    conversation_id: str = field(default_factory=new_id)
    task_id: str = field(default_factory=new_id)
    id: str = field(default_factory=new_id)
    message_id: str = field(default_factory=new_id)
    end_user_id: str = field(default_factory=new_id)
    created_at: int = field(default_factory=lambda: int(time.time()))
    started_s: float = field(default_factory=time.monotonic)
    fails: bool = False
    """Whether its node is going to fail; said before the events are asked for."""
    status: str = "running"
    error: str | None = None

    def __post_init__(self) -> None:
        """Ask the script once, so that blocking and streaming say the same."""
        app, asked = self.app, self.asked
        said = next((text for words, text in app.replies if words in asked.query), None)
        answer = said if said is not None else app.answer(asked) if callable(app.answer) else app.answer
        self._template = _echo(app) if answer is None else answer
        # What a function made, or stands there word for word, is data: braces in it are not references.
        is_data = said is not None or callable(app.answer)
        self.pieces = [Piece(answer or "", ("answer", "answer"))] if is_data else self._cut(self._template)
        self.answer = "".join(piece.text for piece in self.pieces)
        self.outputs, self.sources = self._outputs()

    @property
    def node(self) -> Node | None:
        """The node in the middle: the scripted one, or an LLM if there is something to tell of it."""
        tells = self.app.latency_s or self.app.usage.total_tokens or self.fails
        return self.app.node or (Node(inputs={}) if tells else None)

    @property
    def steps(self) -> int:
        """Nodes that ran."""
        return (3 if self.node else 2) - (self.status in ("failed", "stopped"))

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return round(time.monotonic() - self.started_s, 6)

    @property
    def ending_error(self) -> str | None:
        """`error` of the finished run: empty or null, by version, when all went well."""
        return self.error if self.error is not None else no_error(self.version)

    def end(self, status: str, error: str | None = None) -> None:
        """Remember how it ended; a run that did not succeed has no outputs."""
        self.status, self.error = status, error
        if status in ("failed", "stopped"):
            self.outputs, self.sources = {}, []

    def sys(self) -> dict[str, Any]:
        """The system variables that stand among the inputs of a run, in the version's order."""
        old, chat = self.version == "1.7.2", self.app.mode == "advanced-chat"
        ids = {
            "sys.app_id": self.app.id,
            "sys.workflow_id": self.app.workflow_id,
            "sys.workflow_run_id": self.id,
        }
        count = {"sys.dialogue_count": self.asked.turn} if chat else {}
        query = {"sys.query": self.asked.query} if chat else {}
        user: dict[str, Any] = {"sys.files": [], "sys.user_id": self.asked.user}
        return user | ids | query | count if old else query | user | count | ids

    def blocking(self) -> dict[str, Any]:
        """The body of a blocking workflow or chatflow run that Dify answers with 200."""
        if self.app.mode == "workflow":
            return {"task_id": self.task_id, "workflow_run_id": self.id, "data": self.summary()}
        return {
            "event": "message",
            "task_id": self.task_id,
            "id": self.message_id,
            "message_id": self.message_id,
            "conversation_id": self.conversation_id,
            "mode": self.app.mode,
            "answer": self.answer,
            "metadata": self.metadata(streamed=False),
            "created_at": self.created_at,
        }

    def summary(self) -> dict[str, Any]:
        """`data` of a finished workflow run."""
        return {
            "id": self.id,
            "workflow_id": self.app.workflow_id,
            "status": self.status,
            "outputs": self.outputs,
            "error": self.ending_error,
            "elapsed_time": self.elapsed_s,
            "total_tokens": self.app.usage.total_tokens,
            "total_steps": self.steps,
            "created_at": self.created_at,
            "finished_at": int(time.time()),
        }

    def metadata(self, *, streamed: bool) -> dict[str, Any]:
        """`metadata` of a chat-like answer; 1.14.0 adds two times to its usage."""
        spent = self.elapsed_s if self.app.usage.total_tokens else 0.0
        usage = self.app.usage.body(spent)
        if self.version == "1.14.0":
            usage |= {"time_to_first_token": round(self.elapsed_s, 3), "time_to_generate": 0.001 if streamed else 0.0}
        return {"annotation_reply": None, "retriever_resources": [], "usage": usage}

    def detail(self) -> dict[str, Any]:
        """The body of `GET /v1/workflows/run/<id>`: inputs as JSON text, before 1.14 outputs as well."""
        old, done = self.version == "1.7.2", self.status != "running"
        inputs = self.asked.inputs | self.sys()
        if not old:
            ids = {name: inputs.pop(name) for name in ("sys.workflow_id", "sys.workflow_run_id")}
            inputs |= {"sys.timestamp": self.created_at} | ids
        outputs = (json.dumps(self.outputs, ensure_ascii=False) if self.outputs else None) if old else self.outputs
        summary = self.summary()
        body = {name: summary[name] for name in ("id", "workflow_id", "status")}
        body |= {"inputs": json.dumps(inputs, ensure_ascii=False), "outputs": outputs, "error": self.error}
        body |= {name: summary[name] for name in ("total_steps", "total_tokens", "created_at")}
        return body | {name: summary[name] if done else None for name in ("finished_at", "elapsed_time")}

    def look_up(self, reference: str) -> tuple[tuple[str, str], Any] | None:
        """The selector and the value of one reference; None if there is no such variable."""
        asked, (head, _, name) = self.asked, reference.partition(".")
        known: dict[str, tuple[tuple[str, str], Any]] = {
            "query": (("sys", "query"), asked.query),
            "turn": (("sys", "dialogue_count"), asked.turn),
            "user": (("sys", "user_id"), asked.user),
            "call": (("answer", "answer"), asked.call),
        }
        if head == "inputs" and name in asked.inputs:
            return ("start", name), asked.inputs[name]
        if self.app.node and head == self.app.node.id:
            return (head, name), self.app.node.outputs.get(name)
        return known.get(reference)

    def _cut(self, template: str) -> list[Piece]:
        pieces: list[Piece] = []
        for index, part in enumerate(REFERENCE.split(template)):
            found = self.look_up(part) if index % 2 else None
            if found:
                pieces.append(Piece(as_text(found[1]), found[0]))
            elif part:
                pieces.append(Piece(f"{{{part}}}" if index % 2 else part, ("answer", "answer")))
        return pieces

    def _outputs(self) -> tuple[dict[str, Any], list[Piece]]:
        if self.app.mode != "workflow":
            return {"answer": self.answer} | ({"files": []} if self.version == "1.14.0" else {}), []
        if callable(self.app.outputs):
            outputs = dict(self.app.outputs(self.asked))
            return outputs, [Piece(as_text(value), (self._worker, name)) for name, value in outputs.items()]
        given = self.app.outputs
        if given is None:
            given = {"result": self.answer if callable(self.app.answer) else self._template}
        found = {name: self._resolve(name, value) for name, value in given.items()}
        outputs = {name: value for name, (_, value) in found.items()}
        return outputs, [Piece(as_text(value), selector) for selector, value in found.values()]

    def _resolve(self, name: str, value: Any) -> tuple[tuple[str, str], Any]:
        """One output and where it comes from: a lone reference keeps its type, other texts are rendered."""
        if not isinstance(value, str) or callable(self.app.answer):
            return (self._worker, name), value
        lone = REFERENCE.fullmatch(value)
        rendered = "".join(piece.text for piece in self._cut(value))
        return (lone and self.look_up(lone[1])) or ((self._worker, name), rendered)

    @property
    def _worker(self) -> str:
        return self.app.node.id if self.app.node else "llm"


def as_text(value: Any) -> str:
    """A value inside a text, as Dify's answer node writes it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _echo(app: App) -> str:
    if app.mode != "workflow":
        return "{query}"
    return f"{{inputs.{app.inputs[0].name}}}" if app.inputs else ""

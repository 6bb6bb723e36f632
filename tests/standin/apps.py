"""What a scripted app is: its inputs, its answer, its time and its price."""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tests.standin.failures import Failures

type Mode = Literal["workflow", "advanced-chat", "chat", "agent-chat", "completion"]
type RunStatus = Literal["succeeded", "partial-succeeded", "stopped", "paused"]

KEY_HEX_DIGITS = 24


class Asked(BaseModel):
    """What an app is asked: what templates and functions that make answers can read."""

    model_config = ConfigDict(frozen=True)

    inputs: dict[str, Any]
    """Declared inputs only, as Dify casts them; absent optional ones are None."""
    query: str
    """Empty for workflow apps."""
    user: str
    call: int
    """This call's number at this app, from 1."""
    turn: int
    """Dify's `sys.dialogue_count`."""


class Variable(BaseModel):
    """One declared input of an app's start form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: Literal["text-input", "paragraph", "select", "number"] = "paragraph"
    required: bool = False
    max_length: int = 4096
    """Characters; checked for text only."""
    options: tuple[str, ...] = ()

    def form(self) -> dict[str, Any]:
        """The entry of `user_input_form` in `GET /v1/parameters`."""
        return {
            self.type: {
                "variable": self.name,
                "label": self.name,
                "type": self.type,
                "max_length": self.max_length,
                "required": self.required,
                "options": list(self.options),
            }
        }


class Usage(BaseModel):
    """What one answer costs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_price: Decimal = Decimal(0)
    currency: str = "USD"

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def body(self, latency_s: float) -> dict[str, Any]:
        """`metadata.usage` of a chat-like answer: prices are strings, and `"0.0"` when nothing was bought."""
        shares = {"prompt": self.prompt_tokens, "completion": self.completion_tokens}
        price = {name: self.total_price * tokens / (self.total_tokens or 1) for name, tokens in shares.items()}
        usage: dict[str, Any] = {}
        for name, tokens in shares.items():
            bought = price[name] > 0
            usage[f"{name}_tokens"] = tokens
            usage[f"{name}_unit_price"] = _money(price[name] * 1000 / tokens) if bought else "0.0"
            usage[f"{name}_price_unit"] = "0.001" if bought else "0.0"
            usage[f"{name}_price"] = _money(price[name])
        return usage | {
            "total_tokens": self.total_tokens,
            "total_price": _money(self.total_price),
            "currency": self.currency,
            "latency": round(latency_s, 3),
        }


class Node(BaseModel):
    """The one node between start and end: the one that takes the time, and that fails."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = "llm"
    type: str = "llm"
    title: str = "LLM"
    inputs: dict[str, Any] | None = None
    process_data: dict[str, Any] | None = None
    outputs: dict[str, Any] = {}
    error: str = ""
    """If set, the node ends as `exception` and its outputs are the default values (`partial-succeeded`)."""


class App(BaseModel):
    """A scripted Dify app, served under its own key.

    Texts in `answer` and `outputs` are templates: `{query}`, `{turn}`, `{user}`, `{call}`, `{inputs.name}` and
    `{<node id>.<output>}` are replaced, anything else stays. An output that is one reference keeps its type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    mode: Mode = "advanced-chat"
    key: str = ""
    """`app-` and 24 characters; made from the name when empty."""
    inputs: tuple[Variable, ...] = ()
    answer: str | Callable[[Asked], str] | None = None
    """None echoes the query, in workflow apps the first input."""
    replies: tuple[tuple[str, str], ...] = ()
    """Answers to certain questions, in place of `answer`: of the first whose words stand in the query."""
    outputs: Mapping[str, Any] | Callable[[Asked], Mapping[str, Any]] | None = None
    """Workflow apps only; None is `{"result": <answer>}`."""
    status: RunStatus = "succeeded"
    node: Node | None = None
    """None: an LLM node, if there is time, usage or a failure to tell of."""
    latency_s: float = Field(default=0.0, ge=0)
    usage: Usage = Usage()
    failures: Failures = Failures()
    published: bool = True
    api_enabled: bool = True
    max_active_requests: int = Field(default=0, ge=0)
    """Dify's limit per app; 0 is none."""

    @model_validator(mode="before")
    @classmethod
    def _make_key(cls, given: Any) -> Any:
        if isinstance(given, dict) and not given.get("key"):
            return {**given, "key": key_of(str(given.get("name")))}
        return given

    @property
    def id(self) -> str:
        """The app's UUID, the same in every run."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"app:{self.name}"))

    @property
    def workflow_id(self) -> str:
        """The UUID of its published version, the same in every run."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"workflow:{self.name}"))

    @property
    def has_graph(self) -> bool:
        """Whether it is a workflow or a chatflow."""
        return self.mode in ("workflow", "advanced-chat")


def key_of(name: str) -> str:
    """An app key of Dify's shape: `app-` and 24 characters."""
    return "app-" + hashlib.sha256(name.encode()).hexdigest()[:KEY_HEX_DIGITS]


def _money(amount: Decimal) -> str:
    return format(round(amount, 7).normalize(), "f") if amount else "0.0"

"""A run's messages as they are read: what each says in a few words, and the text it carries. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ensemble.contract.messages import AgentMessage, MessageType
from ensemble.contract.results import AgentResult
from sidecar.console.words import json_head

__all__ = ["Told", "told"]

MOST_CHARS = 4_000
"""Of one message."""


@dataclass(frozen=True, slots=True)
class Told:
    """One message."""

    message: AgentMessage
    words: str
    """What happened, of a status; else empty."""
    text: str
    """What was given or came back."""


def told(message: AgentMessage) -> Told:
    """Return a message as it is read."""
    content: Any = message.content
    if isinstance(content, AgentResult):
        return Told(message, "", _text(content.data))
    if message.message_type is MessageType.STATUS and isinstance(content, dict):
        if "breaker" in content:
            cause = str(content.get("cause", "")).replace("_", " ")
            words = f"breaker of {content.get('agent')}: {content.get('before')} → {content['breaker']}, {cause}"
            return Told(message, words.replace("half_open", "half-open"), "")
        again = f", taken up {content['epoch'] - 1} times" if content.get("epoch", 1) > 1 else ""
        return Told(message, f"run {content.get('status')}{again}", _text(content.get("answer", content.get("task"))))
    return Told(message, "", _text(content))


def _text(content: Any) -> str:
    return "" if content is None else json_head(content, MOST_CHARS)

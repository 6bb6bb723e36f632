"""Lets an agent go on with one conversation: its id is looked up before a call and kept after one that succeeded."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome

__all__ = ["LocalMemory", "Memory", "MemoryAway", "Remembering"]

_MOST_KEPT = 10_000
_KEY_CHARS = 40
_LOST = ("Conversation Not Exists", "onversation not found", "no reason given")
"""What Dify says of a conversation it does not find; by reverse call before 1.15 it says nothing at all."""


class MemoryAway(Exception):  # noqa: N818 - named for what it means to the reader
    """What is remembered can't be looked up or kept now."""


class Memory(Protocol):
    """Keeps one conversation's id under each key."""

    def recall(self, key: str) -> str | None:
        """Return what is kept under *key*. Raises MemoryAway."""

    def keep(self, key: str, conversation_id: str) -> None:
        """Keep *conversation_id* in place of what was kept before. Raises MemoryAway."""


class LocalMemory:
    """A process's own memory: the conversations used last, as many as fit."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, str] = OrderedDict()

    def recall(self, key: str) -> str | None:
        """Return what is kept under *key*."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def keep(self, key: str, conversation_id: str) -> None:
        """Keep *conversation_id*."""
        with self._lock:
            self._kept[key] = conversation_id
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)


class Remembering:
    """An agent with a memory: by the caller's conversation (else the run), the agent's identity and the end user."""

    def __init__(self, agent: Agent, memory: Memory, label: str) -> None:
        """Let *agent* remember; *label* is how warnings call it."""
        self._agent = agent
        self._memory = memory
        self._label = label

    @property
    def identity(self) -> str:
        """The agent's own."""
        return self._agent.identity

    @property
    def host(self) -> str:
        """The agent's own."""
        return self._agent.host

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Make one attempt in the conversation there is; only one that succeeds moves it on.

        A conversation that Dify does not find any more has not run: the call is made once more, in a new one.
        """
        if not call.memory:
            return self._agent.call(call, scope)
        warnings: list[str] = []
        key = self._key(call)
        known = self._try(lambda: self._memory.recall(key), warnings)
        reply = self._agent.call(replace(call, conversation_id=known), scope)
        if known and reply.outcome is Outcome.REJECTED and any(words in reply.message for words in _LOST):
            warnings.append(
                f"{self._label} began a new conversation: Dify does not find the one before. Apps called by their id "
                "keep conversations since Dify 1.15 only; with a key they do in every version."
            )
            reply = self._agent.call(replace(call, conversation_id=None), scope)
        if reply.outcome is Outcome.SUCCEEDED:
            told = reply.remote.conversation_id if reply.remote else None
            if told is None:
                warnings.append(f"{self._label} has memory: true, but holds no conversations; only chat-like apps do.")
            elif told != known:
                self._try(lambda: self._memory.keep(key, told), warnings)
        return replace(reply, warnings=(*reply.warnings, *warnings))

    def _key(self, call: Call) -> str:
        parts = f"{call.memory}\0{self.identity}\0{call.user}"
        return hashlib.sha256(parts.encode()).hexdigest()[:_KEY_CHARS]

    def _try[T](self, ask: Callable[[], T], warnings: list[str]) -> T | None:
        try:
            return ask()
        except MemoryAway as error:
            warnings.append(f"{self._label} may not go on with its conversation: {error}")
            return None

"""The port behind which every agent stands, whatever the transport: one call in, one reply out, no exceptions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage

__all__ = ["Agent", "Call", "CallScope", "Reconcilable", "Reply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one attempt gives an agent."""

    query: str
    """The step's own query, else the task with the results it carries; chat-like apps get it as ``query``."""
    inputs: Mapping[str, Any] | None = None
    """The step's own inputs by name; None where the step has none of its own."""
    fixed_inputs: Mapping[str, Any] = field(default_factory=dict)
    """Inputs this agent is given at every call, for declared variables that nothing else fills."""
    run_inputs: Mapping[str, Any] = field(default_factory=dict)
    """The run's inputs; they fill declared variables of chat-like apps that nothing else fills."""
    files: Sequence[Mapping[str, Any]] = ()
    """Files in the form of the Service API, passed through."""
    user: str = "ens-anonymous"
    """The end user as the agent's app sees them."""
    trace_id: str = ""
    span_id: str = ""
    """Of the attempt's span: what lies behind the call belongs below it (see :func:`~ensemble.agents.tracing.trace_headers`)."""
    parent: str = field(default="", repr=False)
    """The token by which a run inside this call tells whose call it is; for apps that declare an input for it."""
    conversation_id: str | None = None
    """A conversation to go on with; None begins a new one."""
    stream: bool | None = None
    """Whether the text is wanted as it comes (see :meth:`CallScope.text`); None: as the transport likes it best."""
    memory: str = ""
    """What the agent remembers by, the caller's conversation or the run; empty for agents without a memory."""
    asked: bool = False
    """Whether *query* is the step's own rather than the task."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """The outputs the step says it has, name to Dify's word for the type; models are held to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came of one attempt; failures are replies too."""

    outcome: Outcome
    text: str = ""
    """The agent's answer as text."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Every output by its name."""
    usage: Usage = field(default_factory=Usage)
    confidence: float | None = None
    sources: Sequence[Any] = ()
    message: str = ""
    """What went wrong and what to do, for the builder; empty on success. Never holds a key."""
    retry_allowed: bool = False
    """Whether the same call may succeed later."""
    retry_after_s: float | None = None
    """How long a throttled agent asked us to wait."""
    sent: bool = True
    """Whether the request had been sent in full, so that the agent may have run."""
    remote: Remote | None = None
    warnings: Sequence[str] = ()


class CallScope:
    """The life of one call: its deadline, its cancel, and where its text goes while it comes.

    Safe to use from several threads or greenlets at once.
    """

    def __init__(
        self,
        timeout_s: float,
        on_text: Callable[[str], None] | None = None,
        on_remote: Callable[[Remote], None] | None = None,
    ) -> None:
        """Begin a call that may take *timeout_s* seconds from now.

        *on_text* gets each piece of streamed text, *on_remote* what Dify calls the run as soon as it has told.
        """
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s
        self._on_text = on_text
        self._on_remote = on_remote
        self._lock = threading.Lock()
        self._cancelled = False
        self._closers: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether the engine has given the call up."""
        return self._cancelled

    def left_s(self) -> float:
        """Return the seconds until the deadline, 0 once it has passed."""
        return max(0.0, self.deadline - time.monotonic())

    def text(self, piece: str) -> None:
        """Pass on a piece of the answer as it comes."""
        if self._on_text is not None and not self._cancelled:
            self._on_text(piece)

    def reached(self, remote: Remote) -> None:
        """Pass on what Dify calls the run behind the call, as far as it has told."""
        if self._on_remote is not None:
            self._on_remote(remote)

    def on_cancel(self, close: Callable[[], None]) -> None:
        """Have *close* called when the call is cancelled (shut the socket, stop the remote run); at once if it was."""
        with self._lock:
            if not self._cancelled:
                self._closers.append(close)
                return
        close()

    def cancel(self) -> None:
        """Give the call up: run what :meth:`on_cancel` registered, newest first, once."""
        with self._lock:
            self._cancelled = True
            closers, self._closers = self._closers[::-1], []
        for close in closers:
            close()


class Agent(Protocol):
    """One callable app or model. Knows its identity; keeps nothing about runs."""

    @property
    def identity(self) -> str:
        """What this agent is, whatever a plan calls it."""

    @property
    def host(self) -> str:
        """Whose connections a call takes; calls to one host share its limit."""

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Make one attempt and say how it ended, within ``scope.left_s()``. Never raises for what the agent did."""


@runtime_checkable
class Reconcilable(Protocol):
    """An agent that can say what became of a run it began for somebody who has died."""

    def reconcile(self, remote: Remote, call: Call, scope: CallScope) -> Reply:
        """Wait for the end of *remote*, begun by *call*, and return its reply; *uncertain* where nobody can tell."""

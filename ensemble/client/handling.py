"""Handling messages in a Python program: one function for each agent, and everything between mailbox and function."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from ensemble.contract.mailboxes import (
    LONGEST_WAIT_MS,
    Acknowledge,
    Acknowledged,
    Deliveries,
    Delivery,
    MailboxParams,
    Receive,
    Register,
    Registered,
    Reject,
    Rejected,
    Renew,
    Renewed,
)
from ensemble.contract.messages import AgentMessage

__all__ = ["CantHandle", "Handler", "Handlers", "MessageClient"]

type Handler = Callable[[AgentMessage], None]

LONGEST_REASON = 4096

log = logging.getLogger("ensemble.client")


class CantHandle(Exception):  # noqa: N818 -- it says what happened
    """Raised by a handler for a message that would fail again: it is a dead letter at once."""


class MessageClient(Protocol):
    """The part of the sidecar's client that is used here."""

    def register_agent(self, params: MailboxParams, ask: Register) -> Registered:
        """Open a mailbox."""

    def receive_messages(self, params: MailboxParams, ask: Receive) -> Deliveries:
        """Lease messages."""

    def acknowledge_message(self, params: MailboxParams, ask: Acknowledge) -> Acknowledged:
        """Say that a delivery was handled."""

    def reject_message(self, params: MailboxParams, ask: Reject) -> Rejected:
        """Say that handling failed."""

    def renew_message(self, params: MailboxParams, ask: Renew) -> Renewed:
        """Let a lease last longer."""


class Handlers:
    """The agents of one trace that live in this process.

    A message is acknowledged once its handler has returned, so one whose process dies is delivered again: handlers see
    a message at least once. While a handler works, its lease is renewed.
    """

    def __init__(self, client: MessageClient, trace_id: str, *, lease_ms: int = 30_000) -> None:
        """Speak through *client*, leasing each message for *lease_ms* at a time."""
        self._client = client
        self._trace_id = trace_id
        self._lease_ms = lease_ms
        self._handlers: dict[str, Handler] = {}

    def register(self, agent: str, handler: Handler, *, description: str = "", max_deliveries: int = 5) -> None:
        """Open *agent*'s mailbox and let *handler* handle what comes; whatever it raises is a failed delivery."""
        self._handlers[agent] = handler
        ask = Register(description=description, max_deliveries=max_deliveries)
        self._client.register_agent(self._at(agent), ask)

    def handle(self, agent: str, *, at_most: int = 1, wait_ms: int = 0) -> int:
        """Handle what waits for *agent*, one message after the other; return how many there were.

        They are leased one by one as well: what waits behind a slow one is free for other processes.
        """
        ask = Receive(at_most=1, lease_ms=self._lease_ms, wait_ms=wait_ms)
        for handled in range(at_most):
            deliveries = self._client.receive_messages(self._at(agent), ask).deliveries
            if not deliveries:
                return handled
            self._handle(agent, deliveries[0])
        return at_most

    def serve(self, agent: str, stopping: threading.Event) -> None:
        """Handle messages for *agent* as they come, until *stopping* is set."""
        while not stopping.is_set():
            self.handle(agent, wait_ms=min(LONGEST_WAIT_MS, 5000))

    def _handle(self, agent: str, delivery: Delivery) -> None:
        at, receipt = self._at(agent), delivery.receipt
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(at, receipt, done), daemon=True)
        renewing.start()
        try:
            self._handlers[agent](delivery.message)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the router is told, and the others are served
            log.warning("%s could not handle %s: %r", agent, delivery.message.message_id, error)
            reason = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
            retry = not isinstance(error, CantHandle)
            self._client.reject_message(at, Reject(receipt=receipt, reason=reason, retry=retry))
        else:
            self._client.acknowledge_message(at, Acknowledge(receipt=receipt))
        finally:
            done.set()
            renewing.join()

    def _renew(self, at: MailboxParams, receipt: str, done: threading.Event) -> None:
        """Keep the lease alive until the handler is done, or it turns out to be lost."""
        while not done.wait(self._lease_ms / 3000):
            try:
                if not self._client.renew_message(at, Renew(receipt=receipt, lease_ms=self._lease_ms)).renewed:
                    return
            except Exception as error:  # noqa: BLE001 -- the next try may succeed, and the handler goes on either way
                log.warning("The lease of %s could not be renewed: %r", receipt, error)

    def _at(self, agent: str) -> MailboxParams:
        return MailboxParams(trace_id=self._trace_id, agent=agent)

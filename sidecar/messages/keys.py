"""Where messages stand in Redis, in the order in which the scripts take their keys."""

from __future__ import annotations

from typing import NamedTuple

from sidecar.store.keys import full_key

__all__ = ["Queue", "agents_key", "log_keys", "mailbox_keys", "queue_keys"]


class Queue(NamedTuple):
    """The keys of one mailbox."""

    ready: str
    later: str
    leased: str
    dead: str
    bell: str


def queue_keys(tenant: str, trace_id: str, agent: str) -> Queue:
    """Return the keys of a mailbox. Neither a trace id nor a name holds a colon, so no two mailboxes share one."""
    return Queue(*(full_key(tenant, f"mailbox:{trace_id}:{agent}:{name}") for name in Queue._fields))


def mailbox_keys(tenant: str, trace_id: str, agent: str) -> list[str]:
    """Return the keys of a trace, then those of a mailbox, as ``mailbox.lua`` describes them."""
    names = ("agents", "messages", "log", "deliveries", "meta")
    of_trace = [full_key(tenant, f"messages:{trace_id}:{name}") for name in names]
    return [*of_trace, *queue_keys(tenant, trace_id, agent)]


def agents_key(tenant: str, trace_id: str) -> str:
    """Return the key of the hash of a trace's mailboxes."""
    return mailbox_keys(tenant, trace_id, "")[0]


def log_keys(tenant: str, trace_id: str) -> list[str]:
    """Return the keys of a trace's messages and of their order."""
    return mailbox_keys(tenant, trace_id, "")[1:3]

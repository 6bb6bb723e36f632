"""Where everything the ledger keeps stands: keys without the tenant's prefix, and the fields in them."""

from __future__ import annotations

from hashlib import sha256

from ensemble.rules.snapshot import Address

__all__ = [
    "ABOUT",
    "AGENTS",
    "ANSWER",
    "ATTEMPT",
    "BREAKERS",
    "BREAKERS_HELD",
    "BUDGETS",
    "CACHE",
    "LEASES",
    "LINEAGE",
    "RESERVATIONS",
    "RUN",
    "RUNS",
    "SLOTS",
    "STEP",
    "STEPS",
    "agent_at",
    "attempt_at",
    "below_hash",
    "breaker_at",
    "breaker_changes_at",
    "budget_definition_at",
    "budget_hash",
    "cached_at",
    "call_at",
    "going_at",
    "going_hash",
    "reservation_at",
    "run_at",
    "run_hash",
    "run_key_at",
    "runs_of_trace",
    "starter_at",
    "step_at",
]

RUNS = "runs"
"""Sorted set of run ids by the moment they were opened first, unix milliseconds. Ids outlive their runs."""
LEASES = "leases"
"""Sorted set of the ids of open runs by the end of their lease, unix milliseconds."""
BREAKERS = "breakers"
"""Sorted set of identities by the last change of their breaker, unix milliseconds. Identities outlive their breakers."""
BREAKERS_HELD = "breakers:held"
"""Sorted set of the identities whose breaker an operator holds or gave a policy; these breakers are kept for good."""
AGENTS = "agents"
"""Sorted set of the identities of agents by when they were called last, unix milliseconds."""
BUDGETS = "budgets"
"""Sorted set of the names of budgets that are defined, by when they were, unix milliseconds."""
RESERVATIONS = "reservations"
"""Sorted set of the tickets of reservations of no run by the end of their lease, unix milliseconds."""
SLOTS = "slots"
"""The hash of slots: an operator's limits, the line of those who wait, and how many calls are out in each scope."""

CACHE = "cache:"
"""Beginning of the keys of answers that are kept for when their agent fails; the key of the cache follows."""

RUN = "run"
"""Field of a run's hash: who runs it and how it stands (records.Run). Written by every exchange, so it is small."""
ABOUT = "about"
"""Field of a run's hash: what it is about (records.About)."""
STEPS = "steps"
"""Field of a run's hash: its planned steps (records.Steps)."""
ANSWER = "answer"
"""Field of a run's hash: what its caller was told (the contract's CloseRun); only of closed runs."""
LINEAGE = "lineage"
"""Field of a run's hash: the runs it was opened inside of (records.Lineage); of none that knows nothing of its caller."""
ATTEMPT = "attempt:"
"""Beginning of the fields with attempts (records.Attempt); the ticket follows."""
STEP = "step:"
"""Beginning of the fields with results (the contract's StepResult); the step's id follows."""


def runs_of_trace(trace_id: str) -> str:
    """Return the key of a trace's index: the ids of its runs by the moment they were opened first, unix milliseconds."""
    return f"runs:{trace_id}"


def run_hash(run_id: str) -> str:
    """Return the key of a run's hash: its documents, and the counters of its budget."""
    return f"run:{run_id}"


def run_at(run_id: str, field: str = RUN) -> Address:
    """Return the address of one of a run's own documents."""
    return Address(f"run:{run_id}", field)


def attempt_at(run_id: str, ticket: str) -> Address:
    """Return the address of an attempt."""
    return Address(f"run:{run_id}", ATTEMPT + ticket)


def step_at(run_id: str, step: str) -> Address:
    """Return the address of a step's result."""
    return Address(f"run:{run_id}", STEP + step)


def below_hash(run_id: str) -> str:
    """Return the key of the ids of the runs that were opened inside a run's calls, and of whether it was cancelled."""
    return f"below:{run_id}"


def run_key_at(run_key: str, fingerprint: str) -> Address:
    """Return the address of the id (a bare text) of the run found by *run_key* and *fingerprint*."""
    return Address("runkey:" + sha256(f"{run_key}\0{fingerprint}".encode()).hexdigest(), RUN)


def breaker_at(identity: str) -> Address:
    """Return the address of an agent's breaker (records.Breaker)."""
    return Address(f"breaker:{identity}", "breaker")


def breaker_changes_at(identity: str) -> Address:
    """Return the address of the last changes of state of an agent's breaker (a JSON list of the contract's)."""
    return Address(f"breaker:{identity}", "changes")


def agent_at(identity: str) -> tuple[Address, Address]:
    """Return the addresses of what calls told of an agent (records.Seen), and of what an operator declares of it."""
    return Address(f"agent:{identity}", "seen"), Address(f"agent:{identity}", "declared")


def call_at(identity: str, ticket: str) -> Address:
    """Return the address of a call that is guarded by an agent's breaker and belongs to no run (records.Call)."""
    return Address(f"call:{ticket}:{identity}", "call")


def cached_at(key: str) -> Address:
    """Return the address of the newest answer kept under a key of the cache (records.Cached)."""
    return Address(CACHE + key, "answer")


def going_hash(app: str) -> str:
    """Return the key of the calls under way into an app that runs teams itself."""
    return f"going:{app}"


def going_at(app: str, ticket: str) -> Address:
    """Return the address of one call under way into such an app (records.Going)."""
    return Address(f"going:{app}", ticket)


def starter_at(app: str, end_user: str) -> Address:
    """Return the address of the note (a bare text) that a user starts an app without any call of ours."""
    return Address(f"starter:{end_user}:{app}", "starter")


def budget_hash(name: str) -> str:
    """Return the key of a named budget's hash: its definition, what is reserved, and a ring of what was spent."""
    return f"budget:{name}"


def budget_definition_at(name: str) -> Address:
    """Return the address of a named budget's definition (records.NamedBudget)."""
    return Address(f"budget:{name}", "definition")


def reservation_at(ticket: str) -> Address:
    """Return the address of a reservation of no run (records.Reserved)."""
    return Address(f"reservation:{ticket}", "reservation")

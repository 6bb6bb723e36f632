"""What a run tells of whose call it was opened in, and what it gives along with its own calls."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from ensemble.engine.request import ANONYMOUS, RunRequest
from ensemble.engine.state import RunState

__all__ = ["origin", "token"]


def origin(request: RunRequest) -> dict[str, Any]:
    """Return what the ledger is told at the opening; the user only as a hash, which tells users apart and no more."""
    known = request.user and request.user != ANONYMOUS
    return {
        "caller": request.caller,
        "end_user": sha256(request.user.encode()).hexdigest()[:16] if known else "",
        "parent": request.parent,
    }


def token(state: RunState, ticket: str) -> str:
    """Return what goes along with the call of *ticket*, empty where nothing does."""
    seal = state.request.seal
    return "" if seal is None else seal(state.run_id, ticket)

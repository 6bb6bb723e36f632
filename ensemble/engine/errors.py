"""Why a run could not be brought to an answer of its own."""

from __future__ import annotations

__all__ = ["EngineError", "RunStillGoing", "RunTakenOver"]


class EngineError(Exception):
    """Base of what the engine raises."""


class RunTakenOver(EngineError):  # noqa: N818 - what the builder reads on the failed node
    """Another call with the same run_key took this run over, because this one had not been heard of for 30 s."""


class RunStillGoing(EngineError):  # noqa: N818 - what the builder reads on the failed node
    """Another call with the same run_key is still running these steps; this one's own deadline passed while it waited."""

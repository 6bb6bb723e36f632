"""What a failed node says: Dify shows an exception's class name and its text, so both are written for the builder.

No text here ever holds a key or a token: Dify is given the text, and the traceback with the texts of all causes.
"""

from __future__ import annotations

from ensemble.client.errors import (
    BadCredentials,
    EnsembleError,
    SidecarRefused,
    SidecarUnavailable,
    in_words,
    without_keys,
)

__all__ = [
    "BadCredentials",
    "BadParameters",
    "BadPlan",
    "EnsembleError",
    "NoAgentSucceeded",
    "NoRouteChosen",
    "ResultsDisagree",
    "RunCancelled",
    "SidecarNeeded",
    "SidecarRefused",
    "SidecarUnavailable",
    "StepFailed",
    "UnknownAgent",
    "UnknownBudget",
    "in_words",
    "without_keys",
]


class BadParameters(EnsembleError):  # noqa: N818
    """A parameter of the tool can't be read."""


class BadPlan(EnsembleError):  # noqa: N818
    """The plan, the pattern or the team can't be run as written."""


class UnknownAgent(BadPlan):
    """An agent is named that no credential knows."""


class UnknownBudget(EnsembleError):  # noqa: N818
    """A run shall be charged to a named budget that nobody defined."""


class SidecarNeeded(EnsembleError):  # noqa: N818
    """There is no sidecar, and what was asked for lives nowhere else."""


class NoAgentSucceeded(EnsembleError):  # noqa: N818
    """Every agent failed, so there is no answer."""


class NoRouteChosen(EnsembleError):  # noqa: N818
    """Those who were to choose a route failed, and there is no default."""


class StepFailed(EnsembleError):  # noqa: N818
    """With ``on_failure: fail_fast`` a step failed."""


class ResultsDisagree(EnsembleError):  # noqa: N818
    """With ``conflicts: fail`` the aggregator's results say different things of one field."""


class RunCancelled(EnsembleError):  # noqa: N818
    """The run was cancelled from outside."""

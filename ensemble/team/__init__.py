"""For Python programs beside Dify: a team of Dify apps and Python functions, run as a workflow would run it.

No Dify SDK and no server is needed: a script, a notebook or a web service makes a :class:`Team` and calls it.
Everything a program needs is imported from here; what stands in the modules below may change.
"""

from __future__ import annotations

from ensemble.agents.port import Call, Reply
from ensemble.agents.tracing import trace_headers, trace_of
from ensemble.client.errors import BadCredentials, EnsembleError, SidecarRefused, SidecarUnavailable
from ensemble.contract.outcomes import Outcome, RunStatus, StepStatus
from ensemble.contract.results import StepResult, Usage
from ensemble.engine.errors import EngineError, RunStillGoing, RunTakenOver
from ensemble.engine.events import AnswerText, Event, Progress, Report
from ensemble.plan.faults import PlanError
from ensemble.plan.model import Plan
from ensemble.plan.rendering import UnknownOutput
from ensemble.team.dify import DifyApp, dify
from ensemble.team.options import RunOptions
from ensemble.team.resolving import resolve
from ensemble.team.sidecar import Sidecar
from ensemble.team.team import Team

__all__ = [  # noqa: RUF022 - grouped as one reads about them
    # A team and its agents
    "Team",
    "dify",
    "DifyApp",
    "Sidecar",
    "RunOptions",
    # What a function may be given, and give back
    "Call",
    "Reply",
    "Outcome",
    "Usage",
    # What a run tells and how it ends
    "Report",
    "StepResult",
    "RunStatus",
    "StepStatus",
    "Event",
    "Progress",
    "AnswerText",
    # Plans, templates, traces
    "Plan",
    "resolve",
    "trace_headers",
    "trace_of",
    # What is raised
    "PlanError",
    "UnknownOutput",
    "EngineError",
    "RunTakenOver",
    "RunStillGoing",
    "EnsembleError",
    "BadCredentials",
    "SidecarRefused",
    "SidecarUnavailable",
]

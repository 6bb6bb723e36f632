"""The orchestrator's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ensemble.plan.limits import Limits
from plugin.errors import BadParameters, in_words
from plugin.reader import Reader

__all__ = ["PARAMETERS", "OrchestratorParameters", "read_parameters"]

PARAMETERS = (
    "task", "pattern", "agents", "plan", "inputs", "synthesizer", "run_key", "trace_id", "limits", "budgets", "on_failure",
    "on_sidecar_loss", "files", "parent",
)  # fmt: skip
"""Every parameter the orchestrator reads."""

_ON_FAILURE = ("best_effort", "fail_fast")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorParameters:
    """One call of the orchestrator, read."""

    task: str
    pattern: str | None = None
    agents: Any = None
    """Text, list or map, as the plan's reader takes it; None where there is none."""
    plan: Any = None
    """Text or map, likewise."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Mapping[str, Any], ...] = ()
    """In the form of the Service API."""
    synthesizer: str | None = None
    run_key: str | None = None
    trace_id: str = ""
    parent: str = field(default="", repr=False)
    """The token of the call this one is made in, as it came; empty where there is none."""
    limits: Limits = field(default_factory=Limits)
    budgets: tuple[str, ...] = ()
    """Named budgets the run is charged to."""
    fail_fast: bool = False
    fail_open: bool | None = None
    """Whether it goes on when the sidecar is away; None: nobody chose."""


def read_parameters(raw: Mapping[str, Any]) -> OrchestratorParameters:
    """Return the parameters as read.

    Raises:
        BadParameters: something can't be read; the text names every field concerned.

    """
    reader = Reader(raw)
    read = OrchestratorParameters(
        task=reader.task(),
        pattern=reader.text("pattern"),
        agents=reader.structure("agents"),
        plan=reader.structure("plan"),
        inputs=reader.inputs(),
        files=reader.files(),
        synthesizer=reader.text("synthesizer"),
        run_key=reader.run_key(),
        trace_id=reader.trace_id(),
        parent=reader.text("parent") or "",
        limits=reader.limits(),
        budgets=reader.budgets(),
        fail_fast=reader.choice("on_failure", _ON_FAILURE) == "fail_fast",
        fail_open=reader.fail_open(),
    )
    if reader.faults:
        raise BadParameters(in_words(reader.faults))
    return read

"""From what the doctor found to the messages of a tool call: a report to read, and variables to branch on."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import Any

from ensemble.contract.plain import plain
from plugin.credentials import ON_SIDECAR_LOSS
from plugin.doctor.apps import target_of
from plugin.doctor.evidence import AppEvidence
from plugin.doctor.examine import Examined
from plugin.doctor.findings import Finding, Severity, worst
from plugin.errors import without_keys
from plugin.messages import Messenger
from plugin.sizing import fitted, pieces

__all__ = ["DOCTOR_VARIABLES", "doctor_messages", "doctor_text", "doctor_variables"]

DOCTOR_VARIABLES = ("status", "findings", "agents", "limits")
"""Every variable sent at the end; *progress* is streamed before."""

_HEADINGS = {
    Severity.PROBLEM: "Problems",
    Severity.WARNING: "Warnings",
    Severity.NOTE: "Notes",
    Severity.OK: "In order",
}


def doctor_messages[M](tool: Messenger[M], lines: Generator[str, None, Examined]) -> Generator[M]:
    """Yield what the workflow sees: progress, the report as text, then every variable."""
    examined = None
    told = False
    with closing(lines):
        while examined is None:
            try:
                line = next(lines)
            except StopIteration as end:
                examined = end.value
            else:
                told = True
                yield tool.create_stream_variable_message("progress", f"{plain(line)}\n")
    if not told:
        # A declared variable that is never sent reads as null.
        yield tool.create_stream_variable_message("progress", "")
    yield from (tool.create_text_message(piece) for piece in pieces(doctor_text(examined)))
    for name, value in doctor_variables(examined).items():
        yield tool.create_variable_message(name, value)


def doctor_text(examined: Examined) -> str:
    """Return the report: the gravest first, what is in order at the end."""
    by_severity = {
        severity: [each for each in examined.findings if each.severity is severity] for severity in _HEADINGS
    }
    counts = [_count(severity, len(found)) for severity, found in by_severity.items()]
    sections = [f"**Ensemble, looked over:** {', '.join(counts)}."]
    for severity, found in by_severity.items():
        if found:
            sections.append("\n".join([f"### {_HEADINGS[severity]}", *map(_line, found)]))
    return without_keys(plain("\n\n".join(sections)))


def doctor_variables(examined: Examined) -> dict[str, Any]:
    """Return every variable of :data:`DOCTOR_VARIABLES` in its place; each fits into one message to Dify's daemon."""
    findings = [
        {"severity": str(each.severity), "subject": each.subject, "finding": each.finding, "fix": each.fix}
        for each in examined.findings
    ]
    values = {
        "status": str(worst(examined.findings)),
        "findings": fitted(_safe(findings))[0],
        "agents": fitted(_safe([_agent(app, examined) for app in examined.evidence.apps]))[0],
        "limits": _limits(examined),
    }
    return {name: values[name] for name in DOCTOR_VARIABLES}


def _count(severity: Severity, number: int) -> str:
    words = _HEADINGS[severity].lower()
    return f"{number} {words.removesuffix('s') if number == 1 else words}"


def _line(finding: Finding) -> str:
    fix = f" → {finding.fix}" if finding.fix else ""
    return f"- **{finding.subject}**: {' '.join(finding.finding.split())}{fix}"


def _agent(app: AppEvidence, examined: Examined) -> dict[str, Any]:
    """Return one entry of *agents*; fields without a value are left out."""
    entry: dict[str, Any] = {"name": app.name, "identity": app.identity, "answers": app.facts is not None}
    if app.facts is not None:
        target = target_of(app.facts, app.name)
        entry |= {
            "app": app.facts.name,
            "mode": app.facts.mode,
            "inputs": [
                {"name": each.name, "type": each.kind, "required": each.required} for each in app.facts.variables
            ],
            "task_goes_to": target.variable,
            "took_ms": round(app.took_ms),
        }
    view = examined.evidence.sidecar.agents.get(app.identity) if examined.evidence.sidecar else None
    if view is not None:
        statistics = view.statistics
        known = {
            "health": str(view.health),
            "breaker": str(view.breaker),
            "calls": statistics.calls,
            "failure_rate": statistics.failure_rate,
            "latency_p50_ms": statistics.latency_ms.p50 if statistics.latency_ms else None,
            "latency_p95_ms": statistics.latency_ms.p95 if statistics.latency_ms else None,
            "tokens_p95": statistics.tokens.p95 if statistics.tokens else None,
        }
        entry |= {name: value for name, value in known.items() if value is not None}
    return entry


def _limits(examined: Examined) -> dict[str, Any]:
    """Return what a run may take, as limits and ceilings together have it, and what Dify allows."""
    dify = examined.dify
    found: dict[str, Any] = {
        "dify": {
            "requests": dify.requests,
            "streaming_runs": dify.streaming_runs.value,
            "tool_call_seconds": dify.tool_call_s.value,
            "reverse_stream_seconds": dify.reverse_stream_ms.value // 1000,
            "workflow_seconds": dify.workflow_s.value,
        }
    }
    if examined.allowed is None or examined.credentials is None:
        return found
    allowed, saved = examined.allowed, examined.credentials
    known: Mapping[str, Any] = {
        "max_parallel": allowed.max_parallel,
        "host_parallel": saved.ceilings.host_parallel,
        "timeout": allowed.timeout_s,
        "max_tokens": allowed.budget.tokens,
        "max_calls": allowed.budget.calls,
        "max_seconds": allowed.budget.seconds,
        "max_agents": saved.ceilings.max_agents,
        "on_sidecar_loss": next((word for word, open_ in ON_SIDECAR_LOSS.items() if open_ is saved.fail_open), None),
    }
    return found | {name: value for name, value in known.items() if value is not None}


def _safe(value: Any) -> Any:
    """Return plain JSON in which no key stands, whoever quoted one."""
    match value:
        case str():
            return without_keys(plain(value))
        case dict():
            return {name: _safe(each) for name, each in value.items()}
        case list():
            return [_safe(each) for each in value]
        case _:
            return value

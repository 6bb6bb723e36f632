"""What the doctor makes of each app: whether its key opens it, where the task goes, and how it has done lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble.agents.discovery import AppFacts
from ensemble.agents.inputs import CHAT_MODES, Given, fit
from ensemble.agents.port import Call
from ensemble.contract.agents import AgentHealth, AgentView
from ensemble.contract.outcomes import Outcome
from plugin.doctor.evidence import AppEvidence
from plugin.doctor.findings import Finding, note, ok, problem, warning

__all__ = ["Target", "judge_apps", "target_of"]

SLOW_MS = 2_000.0
_PROBE = "task"
"""A text short enough for any variable, by which the one is found that it goes into."""
_STREAM_ONLY = "agent-chat"
_FIXES = {
    Outcome.MISCONFIGURED: "Check the key under App keys, and in Dify that the app is published and its API is on.",
    Outcome.REJECTED: "Check in Dify that the app is published.",
    Outcome.THROTTLED: "Wait, or raise the app's limit of concurrent requests in Dify.",
}
_UNREACHED = (
    "Check Service API base URL: Dify's plugin daemon must reach it, as http://api:5001/v1 in the compose file."
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where an app gets the task of a step that says nothing about inputs."""

    variable: str
    """``query`` of a chat-like app, a declared variable of the others; empty where there is none."""
    problem: str = ""
    """Why such a step would be refused."""


def target_of(facts: AppFacts, subject: str) -> Target:
    """Return where the task goes, found by the rule that calls go by."""
    given = fit(facts.mode, facts.variables, Call(query=_PROBE), subject)
    if not isinstance(given, Given):
        return Target("", given.message)
    if facts.mode in CHAT_MODES:
        return Target("query")
    return Target(next((name for name, value in given.inputs.items() if value == _PROBE), ""))


def judge_apps(apps: Sequence[AppEvidence], known: Mapping[str, AgentView]) -> list[Finding]:
    """Return what is to be said of each app; *known* is what the sidecar knows of agents, by identity."""
    if not apps:
        text = "No app keys are saved: only apps and models of the workspace itself can be agents."
        return [note("agents", text, "Add name = app-… to App keys for each app that shall be an agent.")]
    findings: list[Finding] = []
    by_identity: dict[str, str] = {}
    for app in apps:
        subject = f"agent {app.name}"
        findings += _judge(subject, app)
        view = known.get(app.identity)
        if view is not None:
            findings += _health(subject, view)
        twin = by_identity.setdefault(app.identity, app.name)
        if twin != app.name:
            text = f"It is the same app and key as {twin}: they share one breaker and one record."
            findings.append(note(subject, text, "Give it a key of its own if they shall be told apart."))
    return findings


def _judge(subject: str, app: AppEvidence) -> list[Finding]:
    facts = app.facts
    if facts is None:
        return [problem(subject, app.error, _FIXES.get(app.outcome or Outcome.UNAVAILABLE, _UNREACHED))]
    target = target_of(facts, app.name)
    findings = []
    if target.problem:
        fix = "Write these inputs into the step, into the run's inputs, or make them optional in the app."
        findings.append(warning(subject, f"A step that gives it nothing but the task fails. {target.problem}", fix))
    else:
        goes = f"the task goes to {target.variable}" if target.variable else "it takes no task"
        findings.append(ok(subject, f"{facts.mode} app {facts.name!r} answers; {goes}."))
    if facts.mode == _STREAM_ONLY:
        text = "It is an agent app, which Dify only streams: stream: false in a plan changes nothing."
        findings.append(note(subject, text))
    if app.took_ms >= SLOW_MS:
        text = f"Dify took {app.took_ms / 1000:.1f} s to describe it, before any work."
        fix = "Dify may be busy: see SERVER_WORKER_AMOUNT and SERVER_WORKER_CONNECTIONS in its environment."
        findings.append(warning(subject, text, fix))
    return findings


def _health(subject: str, view: AgentView) -> list[Finding]:
    text = f"Its health is {view.health}: {view.health_why}."
    if view.health is AgentHealth.FAILING:
        return [warning(subject, text, "Open the app's logs in Dify; give its steps a fallback meanwhile.")]
    if view.health is AgentHealth.DEGRADED:
        return [note(subject, text, "Open the app's logs in Dify.")]
    return []

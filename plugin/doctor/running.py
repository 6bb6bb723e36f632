"""What the doctor makes of time, places and ceilings: what a run may take, and what Dify allows it."""

from __future__ import annotations

from ensemble.engine.request import STEP_TIMEOUT_S
from ensemble.plan.reading.money import written
from plugin.credentials import Ceilings, Credentials
from plugin.doctor.dify import DifyLimits
from plugin.doctor.findings import Finding, note, ok, problem, warning
from plugin.limiting import Allowance

__all__ = ["judge_ceilings", "judge_places", "judge_times"]

TIMEOUTS, PLACES, CEILINGS = "timeouts", "places", "ceilings"
TELLING_S = 20
"""What a tool call needs beyond its run's own time to tell the end of it."""
PLUGIN_WAIT_S = 580
"""How long the plugin waits for one piece of a reverse call, as it is built."""
PEOPLE = 2
"""Requests Dify should have left for the caller itself and for people."""
_ON_LOSS: dict[bool | None, str] = {
    True: "goes on in the plugin, with a warning",
    False: "fails, so that budgets and breakers hold",
    None: "goes on in the plugin, with a warning; one that is charged to named budgets fails",
}
"""What becomes of a run whose sidecar is away, by what the operator chose."""


def judge_times(allowed: Allowance, dify: DifyLimits) -> list[Finding]:
    """Return which timeouts end a run before its own does."""
    findings = []
    run_s, call_s = allowed.timeout_s, dify.tool_call_s
    if run_s + TELLING_S > call_s.value:
        text = f"A run may take {run_s:g} s, and Dify ends a tool call after {call_s.words('s')}, without an answer."
        fix = f"Set timeout in limits to {max(1, call_s.value - TELLING_S)}, or raise {call_s.setting}."
        findings.append(problem(TIMEOUTS, text, fix))
    workflow_s = dify.workflow_s
    if run_s > workflow_s.value:
        text = f"A run may take {run_s:g} s, and Dify ends a whole workflow after {workflow_s.words('s')}."
        findings.append(warning(TIMEOUTS, text, f"Raise {workflow_s.setting}, or lower timeout in limits."))
    if not findings:
        text = f"A run may take {run_s:g} s; Dify gives a tool call {call_s.words('s')}, a workflow {workflow_s.words('s')}."
        findings.append(ok(TIMEOUTS, text))
    stream_s = dify.reverse_stream_ms.value / 1000
    longest_s = min(STEP_TIMEOUT_S, run_s)
    if stream_s < longest_s:
        text = (
            f"A streamed call to an app of the workspace without a key ends after {stream_s:g} s in all, a step only after "
            f"{longest_s:g} s. Answers in one piece have {min(PLUGIN_WAIT_S, call_s.value)} s, calls by key what the step has."
        )
        fix = f"Call slow apps by their keys, or raise {dify.reverse_stream_ms.setting} at the plugin daemon (ms)."
        findings.append(note(TIMEOUTS, text, fix))
    return findings


def judge_places(credentials: Credentials, allowed: Allowance, dify: DifyLimits) -> list[Finding]:
    """Return whether the calls that may go out at one time leave Dify any room."""
    own, requests = credentials.ceilings.host_parallel, dify.requests
    told = dify.workers.told or dify.connections.told
    served = f"Dify serves {requests} requests at one time ({'as it is set' if told else 'as a stock one does'})"
    more = f"raise {dify.connections.setting} in Dify's environment"
    findings = []
    if own >= requests:
        text = f"{served}, and up to {own} of them may be calls of ours that wait: it freezes until they time out."
        fix = f"Set Calls at one time, per Dify to {max(1, requests - PEOPLE)}, or {more}."
        findings.append(problem(PLACES, text, fix) if told else warning(PLACES, text, fix))
    elif own > requests - PEOPLE:
        text = f"{served}, and up to {own} of them may be calls of ours: {requests - own} is left for all else."
        fix = f"Set Calls at one time, per Dify to {max(1, requests - PEOPLE)}, or {more}."
        findings.append(warning(PLACES, text, fix))
    else:
        findings.append(ok(PLACES, f"{served}; at most {own} of them are calls of ours."))
    if allowed.max_parallel > own:
        text = f"A run may make {allowed.max_parallel} calls at one time, but only {own} go to one Dify; others wait."
        findings.append(note(PLACES, text, "Raise Calls at one time, per Dify if Dify can take it."))
    runs = dify.streaming_runs
    text = (
        f"From Dify 1.13 on, {runs.words()} workflows and chatflows stream at one time, callers included; a "
        "streaming caller whose agents stream too needs a place for each."
    )
    findings.append(
        note(
            PLACES,
            text,
            f"Leave stream out of plans' steps, or raise {runs.setting} in Dify; before 1.14 a stock one has 1.",
        )
    )
    return findings


def judge_ceilings(credentials: Credentials) -> list[Finding]:
    """Return which ceilings hold for every run."""
    findings = []
    none = [words for words, value in _ceilings(credentials.ceilings).items() if value is None]
    if none:
        text = f"A run has no ceiling on {', '.join(none)}; a plan that a model wrote can ask for any."
        fix = "Set the ceilings in the plugin's credentials; tools and plans only lower them."
        findings.append(note(CEILINGS, text, fix))
    told = [f"{words}: {value:,}" for words, value in _ceilings(credentials.ceilings).items() if value is not None]
    if (money := credentials.ceilings.max_money) is not None:
        told.append(f"money: {written(money)}")
    if told:
        findings.append(ok(CEILINGS, f"In force for every run: {', '.join(told)}."))
    if credentials.sidecar is not None:
        findings.append(ok(CEILINGS, f"A run whose sidecar is away {_ON_LOSS[credentials.fail_open]}."))
    return findings


def _ceilings(ceilings: Ceilings) -> dict[str, int | None]:
    return {
        "calls at one time": ceilings.max_parallel,
        "calls": ceilings.max_calls,
        "tokens": ceilings.max_tokens,
        "agents' seconds": ceilings.max_seconds,
        "agents": ceilings.max_agents,
    }

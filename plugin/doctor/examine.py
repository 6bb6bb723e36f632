"""One call of the doctor: everything is looked at, and what was found is put in order of how much it matters."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ensemble.plan.faults import folded
from plugin.adapters.pools import POOLS, Pools
from plugin.app_keys import AppKey
from plugin.credentials import Credentials, read_credentials
from plugin.doctor.apps import judge_apps
from plugin.doctor.dify import DifyLimits, dify_limits
from plugin.doctor.evidence import Evidence, gather
from plugin.doctor.findings import Finding, Severity, problem
from plugin.doctor.network import judge_network
from plugin.doctor.parameters import DoctorParameters, read_doctor_parameters
from plugin.doctor.running import judge_ceilings, judge_places, judge_times
from plugin.doctor.sharing import judge_budgets, judge_slots
from plugin.doctor.sidecar import judge_breakers, judge_sidecar
from plugin.errors import BadCredentials
from plugin.limiting import Allowance, allowance

__all__ = ["Examined", "examine", "plugin_version"]

_ORDER = tuple(reversed(Severity))


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What the doctor found."""

    findings: tuple[Finding, ...]
    """The gravest first."""
    evidence: Evidence
    credentials: Credentials | None
    """None: they can't be read."""
    allowed: Allowance | None
    dify: DifyLimits


@cache
def plugin_version() -> str:
    """Return the plugin's version, which stands in its manifest."""
    manifest = Path(__file__).parents[2] / "manifest.yaml"
    return str(yaml.safe_load(manifest.read_text(encoding="utf-8"))["version"])


def examine(
    parameters: Mapping[str, Any],
    credentials: Mapping[str, Any],
    pools: Pools = POOLS,
    environment: Mapping[str, str] = os.environ,
) -> Generator[str, None, Examined]:
    """Look at everything a run depends on, saying a line before each wait.

    Raises:
        BadParameters: the parameters can't be read. Credentials that can't be are a finding.

    """
    read = read_doctor_parameters(parameters)
    dify = dify_limits(environment)
    try:
        saved = read_credentials(credentials)
    except BadCredentials as error:
        found = [
            problem("credentials", line, "Put it right in the plugin's credentials.") for line in str(error).split("\n")
        ]
        nothing = Evidence(sidecar=None, apps=())
        return Examined(findings=tuple(found), evidence=nothing, credentials=None, allowed=None, dify=dify)
    apps, unknown = _chosen(read, saved)
    yield f"Asking {'the sidecar and ' if saved.sidecar else ''}{len(apps)} {'app' if len(apps) == 1 else 'apps'}"
    evidence = gather(saved, apps, pools)
    allowed = allowance(read.limits, saved.ceilings)
    known = evidence.sidecar.agents if evidence.sidecar else {}
    findings = [
        *unknown,
        *judge_sidecar(evidence.sidecar, plugin_version()),
        *(judge_apps(evidence.apps, known) if apps or not read.agents else ()),
        *judge_network(saved),
        *judge_breakers(evidence.breakers, _names(evidence)),
        *judge_times(allowed, dify),
        *judge_places(saved, allowed, dify),
        *judge_ceilings(saved),
        *judge_budgets(evidence.sidecar.budgets if evidence.sidecar else ()),
        *judge_slots(evidence.sidecar.slots if evidence.sidecar else None, _names(evidence)),
    ]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    return Examined(findings=tuple(findings), evidence=evidence, credentials=saved, allowed=allowed, dify=dify)


def _chosen(read: DoctorParameters, saved: Credentials) -> tuple[tuple[AppKey, ...], list[Finding]]:
    """Return the apps to look at, and a finding for each name nobody has."""
    if not read.agents:
        return saved.app_keys, []
    by_name = {folded(app.name): app for app in saved.app_keys}
    unknown = []
    for name in read.agents:
        if folded(name) not in by_name:
            near = get_close_matches(name, [app.name for app in saved.app_keys], n=1)
            fix = f"Did you mean {near[0]}?" if near else "Add it to App keys in the plugin's credentials."
            unknown.append(problem(f"agent {name[:64]}", "App keys holds no agent of this name.", fix))
    wanted = [by_name[folded(name)] for name in read.agents if folded(name) in by_name]
    return tuple({app.name: app for app in wanted}.values()), unknown


def _names(evidence: Evidence) -> dict[str, str]:
    """Return the names of the apps that were looked at, by identity."""
    return {app.identity: app.name for app in reversed(evidence.apps)}

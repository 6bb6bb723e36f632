"""What the doctor makes of the sidecar: whether it is there and fits, how it keeps things, and what its breakers say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ensemble.contract.about import CONTRACT_VERSION, About
from ensemble.contract.breakers import BreakerState, BreakerView
from plugin.doctor.evidence import SidecarEvidence
from plugin.doctor.findings import Finding, note, ok, problem, warning

__all__ = ["breaker_words", "judge_breakers", "judge_sidecar"]

SIDECAR, STORE, CLOCK, LINKS = "sidecar", "store", "clocks", "links to runs"
SLOW_MS = 100.0
CLOCK_NOTE_MS, CLOCK_WARNING_MS = 5_000.0, 60_000.0
_NOT_ON_DISK = {"no", "off"}


def judge_sidecar(found: SidecarEvidence | None, plugin_version: str) -> list[Finding]:
    """Return what is to be said of the sidecar itself."""
    if found is None:
        return [
            note(
                SIDECAR,
                "None is configured. Runs can't be resumed, breakers and budgets hold in this process only, and there is "
                "no shared state.",
                "Start a sidecar, and fill in Sidecar URL and Sidecar token in the plugin's credentials.",
            )
        ]
    about = found.about
    if about is None:
        return [problem(SIDECAR, found.error, "Check Sidecar URL and Sidecar token in the plugin's credentials.")]
    if about.product != "ensemble":
        where = f"At {found.url} there is {about.product[:64]!r}, not an Ensemble sidecar."
        return [problem(SIDECAR, where, "Set Sidecar URL to the sidecar's own address.")]
    findings = [
        *_versions(about, plugin_version),
        *_store(about),
        *_links(about),
        *_clock(found.offset_ms),
        *_speed(found.took_ms),
    ]
    if found.partial_error:
        fix = "Update the sidecar to the plugin's version."
        findings.append(
            warning(SIDECAR, f"It did not tell of agents, breakers, budgets and slots: {found.partial_error}", fix)
        )
    return [ok(SIDECAR, f"{found.url} answers, version {about.version}, in {found.took_ms:.0f} ms."), *findings]


def judge_breakers(breakers: Iterable[BreakerView], names: Mapping[str, str]) -> list[Finding]:
    """Return what is to be said of breakers; *names* are those of the configured agents, by identity."""
    findings = []
    others = 0
    for breaker in breakers:
        words = breaker_words(breaker)
        if words is None:
            continue
        if breaker.identity not in names:
            others += 1
            continue
        forced = breaker.forced is not None
        fix = (
            "Let it go with PUT /v1/breakers/force at the sidecar (state null)."
            if forced
            else "Look into the agent's app; the next call that may go out tries whether it is back."
        )
        findings.append(warning(f"agent {names[breaker.identity]}", words, fix))
    if others:
        text = f"Breakers of agents that are not looked at here let calls wait or refuse them: {others}."
        findings.append(note("breakers", text, "GET /v1/breakers at the sidecar lists them."))
    return findings


def breaker_words(breaker: BreakerView) -> str | None:
    """Return in words what a breaker holds up; None where it lets everything pass as usual."""
    if breaker.forced is not None:
        why = f" ({breaker.forced.reason})" if breaker.forced.reason else ""
        return f"An operator holds its breaker {breaker.forced.state}{why}."
    if breaker.state is BreakerState.OPEN:
        cause = "" if breaker.cause is None else f" ({str(breaker.cause).replace('_', ' ')})"
        return f"Its breaker is open{cause}: calls are refused until its time has passed."
    if breaker.state is BreakerState.HALF_OPEN:
        return "Its breaker is half-open: single calls try whether it is back, others are refused."
    if breaker.cooling_ms:
        return f"It asked for time: its calls wait {breaker.cooling_ms / 1000:.1f} s more."
    return None


def _versions(about: About, plugin_version: str) -> list[Finding]:
    if about.contract != CONTRACT_VERSION:
        older = "sidecar" if about.contract < CONTRACT_VERSION else "plugin"
        text = (
            f"It speaks version {about.contract} of the contract, this plugin (version {plugin_version}) version "
            f"{CONTRACT_VERSION}: they do not understand each other."
        )
        return [problem(SIDECAR, text, f"Update the {older}.")]
    if about.version != plugin_version:
        text = f"It is version {about.version}, the plugin {plugin_version}. They speak the same contract."
        return [note(SIDECAR, text, "Update the older one when it suits.")]
    return []


def _store(about: About) -> list[Finding]:
    if about.durability in _NOT_ON_DISK:
        text = f"{about.store} keeps no append-only file: a restart forgets runs, breakers and budgets."
        return [warning(STORE, text, "Set appendonly yes and appendfsync everysec there.")]
    if not about.durability:
        return [
            note(STORE, f"{about.store} does not tell when it writes to disk.", "Make sure it does: appendonly yes.")
        ]
    return [ok(STORE, f"{about.store}, written to disk: {about.durability}.")]


def _links(about: About) -> list[Finding]:
    if about.public_url:
        return [ok(LINKS, f"They begin with {about.public_url}, where browsers have to reach the sidecar.")]
    text = "There are none, and run_url is empty: the sidecar was not told how browsers reach it."
    return [note(LINKS, text, "Set ENSEMBLE_PUBLIC_URL at the sidecar, such as https://ops.example.")]


def _clock(offset_ms: float | None) -> list[Finding]:
    if offset_ms is None:
        return []
    apart = (
        f"The store's clock is {abs(offset_ms) / 1000:.1f} s {'ahead of' if offset_ms > 0 else 'behind'} the plugin's."
    )
    fix = "Let both machines keep time by NTP."
    if abs(offset_ms) >= CLOCK_WARNING_MS:
        return [warning(CLOCK, f"{apart} Times in logs and links do not fit together.", fix)]
    if abs(offset_ms) >= CLOCK_NOTE_MS:
        return [note(CLOCK, f"{apart} Leases and windows go by the store's alone.", fix)]
    return [ok(CLOCK, "The plugin's and the store's agree.")]


def _speed(took_ms: float) -> list[Finding]:
    if took_ms < SLOW_MS:
        return []
    text = f"One round trip takes {took_ms:.0f} ms, and every step of a run costs at least one."
    return [warning(SIDECAR, text, "Run the sidecar near Dify's plugin daemon, or give it more ENSEMBLE_WORKERS.")]

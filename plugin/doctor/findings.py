"""What the doctor says: one finding at a time, each with what to change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Severity", "note", "ok", "problem", "warning", "worst"]


class Severity(StrEnum):
    """How much a finding matters; later ones matter more."""

    OK = "ok"
    NOTE = "note"
    """Good to know; nothing fails for it."""
    WARNING = "warning"
    """Works now, and will bite under load, with long runs or after a restart."""
    PROBLEM = "problem"
    """Does not work."""


_ORDER = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    severity: Severity
    subject: str
    """What it is about, such as ``sidecar`` or ``agent market``."""
    finding: str
    fix: str = ""
    """The setting to change, or what else to do; empty where nothing is to be done."""


def ok(subject: str, finding: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Severity.OK, subject, finding)


def note(subject: str, finding: str, fix: str = "") -> Finding:
    """Return something good to know."""
    return Finding(Severity.NOTE, subject, finding, fix)


def warning(subject: str, finding: str, fix: str) -> Finding:
    """Return something that will bite."""
    return Finding(Severity.WARNING, subject, finding, fix)


def problem(subject: str, finding: str, fix: str) -> Finding:
    """Return something that does not work."""
    return Finding(Severity.PROBLEM, subject, finding, fix)


def worst(findings: Iterable[Finding]) -> Severity:
    """Return the gravest severity there is."""
    return max((finding.severity for finding in findings), key=_ORDER.index, default=Severity.OK)

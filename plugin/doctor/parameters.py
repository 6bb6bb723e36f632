"""Reads the doctor's parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ensemble.plan.limits import Limits
from plugin.errors import BadParameters, in_words
from plugin.reader import Reader

__all__ = ["DOCTOR_PARAMETERS", "DoctorParameters", "read_doctor_parameters"]

DOCTOR_PARAMETERS = ("agents", "limits")
"""Every parameter the doctor reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorParameters:
    """One call of the doctor, read."""

    agents: tuple[str, ...]
    """Which to look at, by name; empty: all."""
    limits: Limits
    """What a run would be asked to keep to."""


def read_doctor_parameters(raw: Mapping[str, Any]) -> DoctorParameters:
    """Return the parameters as read.

    Raises:
        BadParameters: something can't be read; the text names every field concerned.

    """
    reader = Reader(raw)
    value = reader.structure("agents")
    names = re.split(r"[,;\n]", value) if isinstance(value, str) else [str(each) for each in value or ()]
    read = DoctorParameters(
        agents=tuple(dict.fromkeys(name.strip() for name in names if name.strip())), limits=reader.limits()
    )
    if reader.faults:
        raise BadParameters(in_words(reader.faults))
    return read

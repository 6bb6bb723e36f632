"""What is wrong with a request, in the contract's words, as many faults of it as anybody reads."""

from __future__ import annotations

from pydantic import ValidationError

from ensemble.contract.base import Ask
from ensemble.contract.problems import Fault
from ensemble.contract.wording import NO_OBJECT, faults_in
from sidecar.errors import BadRequest, Invalid

__all__ = ["MOST_FAULTS", "refused"]

MOST_FAULTS = 50
LOOKED_AT = 4 * MOST_FAULTS
"""Of what pydantic finds, which may be a fault for every few bytes of a large body."""


def refused(error: ValidationError, asked: type[Ask]) -> BadRequest | Invalid:
    """Return what a sender is told whose request is not as *asked*: every field that can't be used, and the fix."""
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        where = found[0]["ctx"]["error"]
        fault = Fault(field="body", problem=f"no JSON: {where}", fix=NO_OBJECT)
        return BadRequest("The body is not JSON.", fault)
    faults = faults_in(found[:LOOKED_AT], asked)
    if len(faults) > MOST_FAULTS or len(found) > LOOKED_AT:
        detail = f"Many fields can't be used. The first {min(MOST_FAULTS, len(faults))} are named."
        return Invalid(detail, *faults[:MOST_FAULTS])
    fields = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Invalid(f"{fields} can't be used.", *faults)

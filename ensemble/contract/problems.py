"""How the sidecar says no to a request it can't take: a problem document (RFC 9457)."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from ensemble.contract.base import Answer

__all__ = ["Fault", "Problem", "ProblemCode"]


class ProblemCode(StrEnum):
    """The kinds of problem, each with the HTTP status it travels under."""

    BAD_REQUEST = "bad_request"
    """400: the body is not JSON."""
    UNAUTHORIZED = "unauthorized"
    """401: no token, or one nobody knows."""
    FORBIDDEN = "forbidden"
    """403: this writer may not write here."""
    NOT_FOUND = "not_found"
    """404: no such path, run or key."""
    METHOD_NOT_ALLOWED = "method_not_allowed"
    """405."""
    CONFLICT = "conflict"
    """409: a ticket with another body, or a version that is no longer the newest."""
    TOO_LARGE = "too_large"
    """413: the body or a value passes a size limit."""
    INVALID = "invalid"
    """422: fields are missing, unknown or out of bounds; *errors* names each."""
    CONTENDED = "contended"
    """503 with ``Retry-After``: too many writers met at once; nothing was written."""
    BUSY = "busy"
    """503 with ``Retry-After``: as many callers wait for something to happen as may."""
    STORE_UNAVAILABLE = "store_unavailable"
    """503 with ``Retry-After``: Redis does not answer, or takes no writes; the detail says why."""
    STORE_DAMAGED = "store_damaged"
    """500: a key in Redis holds another type than the sidecar keeps there; *errors* names it."""
    INTERNAL = "internal"
    """500: a fault of ours."""


class Fault(Answer):
    """One thing that is wrong, where, and what to do about it."""

    field: str = Field(description="Dotted path of the field, or what was meant by the user's own words.")
    problem: str
    fix: str = ""


class Problem(Answer):
    """A problem document, sent as ``application/problem+json``."""

    type: str = "about:blank"
    title: str
    status: int = Field(ge=400, le=599)
    code: ProblemCode
    detail: str
    errors: tuple[Fault, ...] = ()
    retry_after_ms: int | None = Field(default=None, ge=0)

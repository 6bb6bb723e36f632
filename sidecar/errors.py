"""What can go wrong in the sidecar, each with the problem its caller is told."""

# ruff: noqa: N818 -- the words of the contract's problems, which need no suffix to be known as errors.

from __future__ import annotations

from ensemble.contract.problems import Fault, Problem, ProblemCode

__all__ = [
    "BadRequest",
    "Busy",
    "Conflict",
    "Contended",
    "Forbidden",
    "Invalid",
    "NotFound",
    "SidecarError",
    "StartError",
    "StoreDamaged",
    "StoreUnavailable",
    "TooLarge",
    "Unauthorized",
    "UnsupportedMediaType",
]


class StartError(Exception):
    """The sidecar can't start; the text says why and what to do."""


class SidecarError(Exception):
    """Something a caller is told as a problem; *faults* name the fields it is about."""

    status: int
    code: ProblemCode
    title: str
    retry_after_ms: int | None = None

    def __init__(self, detail: str, *faults: Fault) -> None:
        super().__init__(detail)
        self.detail = detail
        self.faults = faults

    def problem(self) -> Problem:
        """Return what the caller is told."""
        return Problem(
            title=self.title,
            status=self.status,
            code=self.code,
            detail=self.detail,
            errors=self.faults,
            retry_after_ms=self.retry_after_ms,
        )


class BadRequest(SidecarError):
    """The body is not JSON."""

    status, code, title = 400, ProblemCode.BAD_REQUEST, "Not readable"


class Unauthorized(SidecarError):
    """No token, or one nobody knows."""

    status, code, title = 401, ProblemCode.UNAUTHORIZED, "Token needed"


class Forbidden(SidecarError):
    """This writer may not write here."""

    status, code, title = 403, ProblemCode.FORBIDDEN, "Not allowed"


class NotFound(SidecarError):
    """What was asked for is not there."""

    status, code, title = 404, ProblemCode.NOT_FOUND, "Not found"


class Conflict(SidecarError):
    """It contradicts what is on record."""

    status, code, title = 409, ProblemCode.CONFLICT, "Conflict"


class TooLarge(SidecarError):
    """It passes a size limit."""

    status, code, title = 413, ProblemCode.TOO_LARGE, "Too large"


class UnsupportedMediaType(SidecarError):
    """The body says it is something else than JSON."""

    status, code, title = 415, ProblemCode.BAD_REQUEST, "Not JSON"


class Invalid(SidecarError):
    """Fields are missing, unknown or out of bounds."""

    status, code, title = 422, ProblemCode.INVALID, "Not valid"


class Contended(SidecarError):
    """Too many writers met at once; nothing was written."""

    status, code, title = 503, ProblemCode.CONTENDED, "Too busy"
    retry_after_ms = 200


class Busy(SidecarError):
    """As many callers wait as may."""

    status, code, title = 503, ProblemCode.BUSY, "Too many waiting"
    retry_after_ms = 1000


class StoreDamaged(SidecarError):
    """A key of the sidecar's holds what the sidecar never puts there; asking again does not help."""

    status, code, title = 500, ProblemCode.STORE_DAMAGED, "Store damaged"


class StoreUnavailable(SidecarError):
    """The store does not answer, or takes no writes."""

    status, code, title = 503, ProblemCode.STORE_UNAVAILABLE, "Store unavailable"
    retry_after_ms = 1000

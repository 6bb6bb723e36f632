"""What gunicorn's parser refuses before any of our code sees it, as problem documents; its own would be pages of HTML."""

from __future__ import annotations

from http import HTTPStatus

from gunicorn.http import errors as parser

from ensemble.contract.problems import Fault, Problem, ProblemCode

__all__ = ["as_sent", "unreadable"]

_NAMED = frozenset({"Content-Length", "Transfer-Encoding", "Host", "Connection"})
"""Header fields that may be named to the sender; what else stands there may be anything, a secret too."""


def unreadable(error: Exception) -> Problem | None:
    """Return what is wrong with a request that raised *error* while it was read; None where that is not the sender's."""
    match error:
        case parser.InvalidResponseHeader() | parser.InvalidResponseHeaderName() | parser.ConfigurationProblem():
            return None
        case parser.LimitRequestLine():
            fault = Fault(field="request line", problem="too long", fix="Shorten the path or its query.")
            return _problem(414, ProblemCode.TOO_LARGE, fault)
        case parser.LimitRequestHeaders():
            fix = "Send fewer header fields, each of 8,000 bytes at most."
            return _problem(431, ProblemCode.TOO_LARGE, Fault(field="header", problem="too long", fix=fix))
        case parser.UnsupportedTransferCoding():
            fault = Fault(field="Transfer-Encoding", problem="not known here", fix="Send chunked, or a Content-Length.")
            return _problem(501, ProblemCode.BAD_REQUEST, fault)
        case parser.ExpectationFailed():
            fault = Fault(field="Expect", problem="not known here", fix="Leave it out.")
            return _problem(417, ProblemCode.BAD_REQUEST, fault)
        case parser.InvalidHeader() | parser.InvalidHeaderName() | parser.ObsoleteFolding():
            name = str(getattr(error, "hdr", "")).title()
            field = name if name in _NAMED else "header"
            fix = "Write each field as Name: value on a line of its own, without control characters."
            fix = "Send the number of the body's bytes, once." if name == "Content-Length" else fix
            return _problem(400, ProblemCode.BAD_REQUEST, Fault(field=field, problem="not as HTTP has it", fix=fix))
        case parser.InvalidChunkSize() | parser.ChunkMissingTerminator() | parser.InvalidChunkExtension():
            fix = "Send a Content-Length instead."
            return _problem(
                400,
                ProblemCode.BAD_REQUEST,
                Fault(field="body", problem="its chunks are not as HTTP has them", fix=fix),
            )
        case parser.ParseException():
            fix = "Send such as GET /v1/about HTTP/1.1, without TLS: a proxy before the sidecar speaks that."
            fault = Fault(field="request line", problem="not as HTTP/1.1 has it", fix=fix)
            return _problem(400, ProblemCode.BAD_REQUEST, fault)
    return None


def as_sent(problem: Problem) -> bytes:
    """Return an answer that tells *problem* and ends the connection."""
    body = problem.model_dump_json(exclude_none=True).encode()
    head = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\nConnection: close\r\n"
    return f"{head}Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _problem(status: int, code: ProblemCode, fault: Fault) -> Problem:
    title = HTTPStatus(status).phrase
    return Problem(title=title, status=status, code=code, detail="The request can't be read as HTTP.", errors=(fault,))

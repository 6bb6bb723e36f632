"""One HTTP conversation with the sidecar: connections kept open, short timeouts, one resend, failures in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus

from pydantic import ValidationError

from ensemble.client.advice import IN_DIFY, Advice
from ensemble.client.errors import BadCredentials, SidecarRefused, SidecarUnavailable, in_words
from ensemble.client.links import READ_S, Answered, Links, Unanswered
from ensemble.contract.base import Answer, Ask
from ensemble.contract.endpoints import EXCHANGE, Endpoint
from ensemble.contract.problems import Problem

__all__ = ["Wire", "connections"]

_DATA = b"data: "
"""How a line of a stream begins that holds an answer; the others name, number and pace them."""


def connections(certificates: bytes = b"") -> Links:
    """Return connections for sidecars; one set serves a whole process, or all who trust the same *certificates*."""
    return Links(certificates=certificates)


class Wire:
    """Calls endpoints of the contract at one address with one token."""

    def __init__(self, url: str, token: str, links: Links, advice: Advice = IN_DIFY) -> None:
        """Talk to the sidecar at *url*, which ends without a slash and without the contract's ``/v1``.

        Failures tell their reader what to do by *advice*.
        """
        self.url = url
        self._advice = advice
        self._links = links
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call[P: Ask, A: Answer](
        self, endpoint: Endpoint[P, A], params: P, ask: Ask | None = None, *, wait_s: float = 0.0
    ) -> A:
        """Return what the sidecar answers, which may take *wait_s* seconds longer where it is asked to wait.

        GETs and exchanges are sent a second time when nobody answers the first: asking them twice is harmless.

        Raises:
            SidecarUnavailable: nobody answers in time, or not as a sidecar of this contract does.
            BadCredentials: the token is not accepted.
            SidecarRefused: it answered no to the request itself.

        """
        body = None if ask is None else ask.model_dump_json().encode()
        twice = endpoint.method == "GET" or endpoint.name == EXCHANGE.name
        url = self.url + endpoint.url(params)
        try:
            return self._once(endpoint, url, body, wait_s)
        except _AskAgain as again:
            if not twice or again.after_s > READ_S:
                raise self._unavailable(again) from None
            time.sleep(again.after_s)
        try:
            return self._once(endpoint, url, body, wait_s)
        except _AskAgain as again:
            raise self._unavailable(again) from None

    def stream[P: Ask, A: Answer](self, endpoint: Endpoint[P, A], params: P) -> Iterator[A]:
        """Yield what the sidecar tells as it comes, until it ends the stream; whoever stops reading closes it.

        Raises:
            SidecarUnavailable, BadCredentials, SidecarRefused: as :meth:`call`, also in the middle.

        """
        url = self.url + endpoint.url(params)
        try:
            with self._links.follow(endpoint.method, url, self._headers) as (head, pieces):
                if head.status != HTTPStatus.OK:
                    problem = self._problem(replace(head, body=b"".join(pieces)))
                    raise self._unavailable(problem) if isinstance(problem, _AskAgain) else problem
                for line in _lines(pieces):
                    if line.startswith(_DATA):
                        yield endpoint.answer.model_validate_json(line.removeprefix(_DATA))
        except Unanswered as error:
            raise self._unavailable(error) from None

    def _once[P: Ask, A: Answer](self, endpoint: Endpoint[P, A], url: str, body: bytes | None, wait_s: float) -> A:
        try:
            response = self._links.ask(endpoint.method, url, self._headers, body, wait_s)
        except Unanswered as error:
            raise _AskAgain(str(error)) from None
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise self._problem(response)
        if response.status != HTTPStatus.OK:
            raise SidecarUnavailable(
                f"At {self.url} something answers with HTTP {response.status} instead of the sidecar. "
                f"Enter the sidecar's own address as {self._advice.url}; redirects are not followed."
            )
        if not response.body:
            # A proxy that lost the sidecar may pass on a head that promises no body.
            raise _AskAgain("the connection broke")
        try:
            return endpoint.answer.model_validate_json(response.body)
        except ValidationError:
            # The text of the cause would quote the answer; what stands in it is not for Dify's log.
            raise SidecarUnavailable(
                f"The answer of {self.url} to {endpoint.name} is not one this {self._advice.us} understands. "
                f"Check that {self._advice.url} is the sidecar's, and that {self._advice.us} and sidecar have the same "
                "version."
            ) from None

    def _problem(self, response: Answered) -> Exception:
        """Return what to raise for an answer of 400 and above."""
        try:
            problem = Problem.model_validate_json(response.body)
        except ValidationError:
            problem = None
        if response.status == HTTPStatus.UNAUTHORIZED:
            return BadCredentials(
                f"The sidecar at {self.url} does not accept the {self._advice.token}. {self._advice.paste}"
            )
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            detail = problem.detail if problem else "no reason given"
            return _AskAgain(f"HTTP {response.status}: {detail}", _retry_after_s(response, problem))
        if problem is None:
            return SidecarUnavailable(
                f"At {self.url} something answers with HTTP {response.status}, but not as a sidecar does. "
                f"Check {self._advice.url}."
            )
        words = "\n".join(filter(None, (problem.detail, in_words(problem.errors))))
        blamed = tuple(fault.field for fault in problem.errors)
        return SidecarRefused(f"The sidecar refused the request ({problem.code}): {words}", problem.code, blamed)

    def _unavailable(self, again: _AskAgain | Unanswered) -> SidecarUnavailable:
        return SidecarUnavailable(f"The sidecar at {self.url} can't be used ({again}). {self._advice.reach}")


class _AskAgain(Exception):  # noqa: N818 - never leaves this module
    """The request may be sent once more, *after_s* seconds from now."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


def _retry_after_s(response: Answered, problem: Problem | None) -> float:
    """Return how long the sidecar asks us to wait; 0 where it does not say. Seconds, never a date: it is ours."""
    if problem is not None and problem.retry_after_ms is not None:
        return problem.retry_after_ms / 1000
    stated = response.fields.get("retry-after", "")
    return float(stated) if stated.isdecimal() else 0.0


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the whole lines of a stream, each once its end has come."""
    begun = b""
    for piece in pieces:
        *whole, begun = (begun + piece).split(b"\n")
        yield from whole

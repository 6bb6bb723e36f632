"""One HTTP conversation with the sidecar: connections kept open, short timeouts, one resend, failures in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http import HTTPStatus

import urllib3
from pydantic import ValidationError

from ensemble.contract.base import Answer, Ask
from ensemble.contract.endpoints import EXCHANGE, Endpoint
from ensemble.contract.problems import Problem
from plugin.errors import BadCredentials, SidecarRefused, SidecarUnavailable, in_words

__all__ = ["CONNECT_S", "READ_S", "Wire", "connections"]

CONNECT_S = 0.5
READ_S = 2.0
"""How long one request waits for its connection and for each piece of its answer, seconds."""
_DATA = b"data: "
"""How a line of a stream begins that holds an answer; the others name, number and pace them."""
_KEPT_OPEN = 64
"""Connections kept per sidecar: as many as runs that exchange at one moment."""


def connections() -> urllib3.PoolManager:
    """Return a pool for sidecars.

    No proxy is taken from the environment, which the plugin inherits from Dify's daemon, and nothing is retried or
    redirected behind our back.
    """
    timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
    return urllib3.PoolManager(num_pools=16, maxsize=_KEPT_OPEN, block=False, timeout=timeout, retries=False)


class Wire:
    """Calls endpoints of the contract at one address with one token."""

    def __init__(self, url: str, token: str, pool: urllib3.PoolManager) -> None:
        """Talk to the sidecar at *url*, which ends without a slash and without the contract's ``/v1``."""
        self.url = url
        self._pool = pool
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
        timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
        try:
            response = self._pool.request(
                endpoint.method, url, headers=self._headers, redirect=False, preload_content=False, timeout=timeout
            )
            try:
                if response.status != HTTPStatus.OK:
                    problem = self._problem(response)
                    raise self._unavailable(problem) if isinstance(problem, _AskAgain) else problem
                for line in response:
                    if line.startswith(_DATA):
                        yield endpoint.answer.model_validate_json(line.removeprefix(_DATA))
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise self._unavailable(_AskAgain(_reason(error))) from None

    def _once[P: Ask, A: Answer](self, endpoint: Endpoint[P, A], url: str, body: bytes | None, wait_s: float) -> A:
        timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S + wait_s)
        try:
            response = self._pool.request(
                endpoint.method,
                url,
                body=body,
                headers=self._headers,
                redirect=False,
                preload_content=True,
                timeout=timeout,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _AskAgain(_reason(error)) from None
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise self._problem(response)
        if response.status != HTTPStatus.OK:
            raise SidecarUnavailable(
                f"At {self.url} something answers with HTTP {response.status} instead of the sidecar. "
                "Enter the sidecar's own address as Sidecar URL; redirects are not followed."
            )
        if not response.data:
            # A connection that breaks inside the head leaves no length to miss, and reads as an empty answer.
            raise _AskAgain("the connection broke")
        try:
            return endpoint.answer.model_validate_json(response.data)
        except ValidationError:
            # The text of the cause would quote the answer; what stands in it is not for Dify's log.
            raise SidecarUnavailable(
                f"The answer of {self.url} to {endpoint.name} is not one this plugin understands. "
                "Check that Sidecar URL is the sidecar's, and that plugin and sidecar have the same version."
            ) from None

    def _problem(self, response: urllib3.BaseHTTPResponse) -> Exception:
        """Return what to raise for an answer of 400 and above."""
        try:
            problem = Problem.model_validate_json(response.data)
        except ValidationError:
            problem = None
        if response.status == HTTPStatus.UNAUTHORIZED:
            return BadCredentials(
                f"The sidecar at {self.url} does not accept the Sidecar token. "
                "Paste the token it shows when it starts into the plugin's credentials."
            )
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            detail = problem.detail if problem else "no reason given"
            return _AskAgain(f"HTTP {response.status}: {detail}", _retry_after_s(response, problem))
        if problem is None:
            return SidecarUnavailable(
                f"At {self.url} something answers with HTTP {response.status}, but not as a sidecar does. "
                "Check Sidecar URL."
            )
        words = "\n".join(filter(None, (problem.detail, in_words(problem.errors))))
        return SidecarRefused(f"The sidecar refused the request ({problem.code}): {words}", problem.code)

    def _unavailable(self, again: _AskAgain) -> SidecarUnavailable:
        return SidecarUnavailable(
            f"The sidecar at {self.url} can't be used ({again}). Check that it runs and that the Dify plugin daemon "
            "reaches this address; to work without it, clear Sidecar URL and Sidecar token."
        )


class _AskAgain(Exception):  # noqa: N818 - never leaves this module
    """The request may be sent once more, *after_s* seconds from now."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


def _retry_after_s(response: urllib3.BaseHTTPResponse, problem: Problem | None) -> float:
    """Return how long the sidecar asks us to wait; 0 where it does not say. Seconds, never a date: it is ours."""
    if problem is not None and problem.retry_after_ms is not None:
        return problem.retry_after_ms / 1000
    stated = response.headers.get("Retry-After", "")
    return float(stated) if stated.isdecimal() else 0.0


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    """Return why nobody answered, without what the library would quote of the request."""
    match error:
        case urllib3.exceptions.NameResolutionError():
            return "its host name is not known here"
        case urllib3.exceptions.NewConnectionError():
            return "nothing listens there"
        case urllib3.exceptions.ConnectTimeoutError():  # after the two above, which are kinds of it
            return f"no connection within {CONNECT_S} s"
        case urllib3.exceptions.ReadTimeoutError():
            return f"no answer within {READ_S:g} s"
        case urllib3.exceptions.SSLError():
            return "its certificate is not trusted here, or it does not speak TLS"
        case _:
            return "the connection broke"

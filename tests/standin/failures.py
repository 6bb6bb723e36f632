"""What can go wrong with a call to Dify, and at which calls it does."""

import random
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

type FailureKind = Literal[
    "node_failed",
    "too_many_requests",
    "plugin_daemon",
    "unauthorized",
    "forbidden",
    "not_found",
    "unpublished",
    "app_unavailable",
    "server_error",
    "completion_request_error",
    "provider_not_initialize",
    "provider_quota_exceeded",
    "model_currently_not_support",
    "rate_limit_error",
    "html_error",
    "truncated",
    "reset",
    "closed",
    "half_response",
    "hang",
    "slow_headers",
    "pings_only",
]

DURING_THE_RUN = {"node_failed", "completion_request_error", "truncated", "half_response", "slow_headers"}
"""These happen after the app's latency; the others at once."""


class Failure(BaseModel):
    """One thing that goes wrong with one call.

    Answers of Dify: `node_failed` (workflow 200 `failed`, chatflow 400 `Run failed: ...`), `too_many_requests`
    (400), `plugin_daemon` (400), `unauthorized`, `forbidden`, `not_found` (the conversation), `unpublished`,
    `app_unavailable`, `server_error` (500, JSON), and from its source `completion_request_error`,
    `provider_not_initialize`, `provider_quota_exceeded`, `model_currently_not_support` (400), `rate_limit_error`
    (429). From what stands before it: `html_error` (502, HTML).

    On the wire: `truncated` (a stream dies between events; a blocking call answers 400), `reset` (RST once the
    request is read), `closed` (EOF instead of an answer), `half_response` (the body stops in the middle), `hang`
    (never a byte), `slow_headers` (the right answer, `delay_s` too late), `pings_only` (a stream of pings, then EOF).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FailureKind
    message: str = ""
    """The node's or the provider's own words; a recorded text when empty."""
    delay_s: float | None = Field(default=None, ge=0)
    """Seconds until it happens; None is the app's latency for what happens in a run, 0 for the rest."""
    retry_after_s: int | None = None
    """A `Retry-After` header, which Dify itself never sends."""

    def after_s(self, latency_s: float) -> float:
        """Seconds from the request to the failure at an app that takes `latency_s`."""
        if self.kind == "slow_headers":
            return latency_s + (self.delay_s or 0)
        if self.delay_s is not None:
            return self.delay_s
        return latency_s if self.kind in DURING_THE_RUN else 0.0


class Failures(BaseModel):
    """Which calls of an app fail: the first ones by a list, the others by a seeded chance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: tuple[Failure | None, ...] = ()
    """The failure of call 1, 2, ...; None is a good call."""
    always: Failure | None = None
    """The failure of every call after the sequence."""
    probability: float = Field(default=0.0, ge=0, le=1)
    """Else: the chance that a call fails with `by_chance`."""
    by_chance: Failure = Failure(kind="node_failed")
    seed: int = 0

    def draw(self) -> Iterator[Failure | None]:
        """The failure, or None, of each call in order; the same for the same script."""
        yield from self.sequence
        chance = random.Random(self.seed)
        while True:
            unlucky = chance.random() < self.probability
            yield self.always or (self.by_chance if unlucky else None)


def first(*kinds: FailureKind) -> Failures:
    """Let the first calls fail in these ways, one each, and all later ones succeed."""
    return Failures(sequence=tuple(Failure(kind=kind) for kind in kinds))


def always(kind: FailureKind, message: str = "") -> Failures:
    """Let every call fail in one way."""
    return Failures(always=Failure(kind=kind, message=message))


def sometimes(probability: float, seed: int, kind: FailureKind = "node_failed") -> Failures:
    """Let each call fail with a probability, drawn from a seed."""
    return Failures(probability=probability, by_chance=Failure(kind=kind), seed=seed)

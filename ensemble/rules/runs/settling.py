"""Settling attempts: what each used is booked, its breaker hears of it, its result becomes the step's."""

from __future__ import annotations

from decimal import Decimal

from ensemble.contract.breakers import BreakerChange
from ensemble.contract.exchange import Settlement
from ensemble.contract.results import StepResult
from ensemble.rules.addresses import run_at
from ensemble.rules.agents.statistics import count
from ensemble.rules.happenings import AttemptSettled
from ensemble.rules.problems import Conflict
from ensemble.rules.records import Attempt, Defaults
from ensemble.rules.runs import paying
from ensemble.rules.runs.caching import keep
from ensemble.rules.runs.working import Working

__all__ = ["settle"]

MOST_TOKENS = 10**12
MOST_PRICE = Decimal(1_000_000)
MOST_MS = 10**12
"""The most one attempt is taken to have used. Counters hold 64 bits; thousands of such attempts still fit."""


def settle(work: Working, news: Settlement, where: str, defaults: Defaults, *, late: bool) -> None:
    """Take the first news of how an attempt ended; any later ones change nothing.

    *late*: the run is not the sender's any more, or is over. *where* names the settlement in the ask.

    Raises:
        NotRead: as any look at the records.
        Conflict: the ticket was never admitted, or for another step.

    """
    attempt = work.attempt(news.ticket)
    if attempt is None:
        raise Conflict(f"{where}.ticket", f"{news.ticket} was never admitted", "settle only what was admitted")
    if news.step != attempt.ask.step or (news.result is not None and news.result.step != attempt.ask.step):
        raise Conflict(f"{where}.step", f"{news.ticket} was admitted for {attempt.ask.step!r}", "name that step")
    if attempt.settlement is not None:
        return
    news = _countable(news)
    taken = news.result is not None and _take(work, news.ticket, news.result, late=late)
    if taken:
        keep(work.draft, attempt, news)
    changes = _tell_breaker(work, attempt, news, defaults)
    count(work.draft, attempt.ask.identity, news)
    booked = paying.book(work, attempt, news)
    after = attempt.model_copy(
        update={
            "settlement": news.model_copy(update={"result": None, "cache": None}),
            "settled_ms": work.now_ms,
            **booked,
            "result_taken": taken,
            "breaker": (*attempt.breaker, *changes),
        }
    )
    work.put_attempt(after)
    work.draft.tell(AttemptSettled(work.run_id, after, after_loss=attempt.booking is not None))
    work.leave(news.ticket)


def _countable(news: Settlement) -> Settlement:
    """Return *news* with figures that counters can add up: an agent may report anything, and a commit must not break."""
    usage = news.usage
    tokens = None if usage.tokens is None else min(usage.tokens, MOST_TOKENS)
    price = None if usage.price is None else min(usage.price, MOST_PRICE)
    took_ms = min(news.took_ms, MOST_MS)
    if (tokens, price, took_ms) == (usage.tokens, usage.price, news.took_ms):
        return news
    counted = usage.model_copy(update={"tokens": tokens, "price": price, "estimated": True})
    return news.model_copy(update={"usage": counted, "took_ms": took_ms})


def _take(work: Working, ticket: str, result: StepResult, *, late: bool) -> bool:
    """Make *result* the step's; a late one only where there is none yet and nobody works on it again."""
    if late:
        if work.step(result.step) is not None or work.others_at(result.step, ticket):
            return False
        work.draft.check(run_at(work.run_id))
    return work.put_step(result)


def _tell_breaker(work: Working, attempt: Attempt, news: Settlement, defaults: Defaults) -> tuple[BreakerChange, ...]:
    """Let the agent's breaker judge the news by the policy the attempt was admitted under, or by an operator's."""
    identity = attempt.ask.identity
    return work.breakers.settle(
        identity,
        work.breakers.policy(identity, attempt.ask.breaker, defaults.breaker),
        ticket=news.ticket,
        generation=attempt.generation,
        outcome=news.outcome,
        took_ms=news.took_ms,
        retry_after_ms=news.retry_after_ms,
    )

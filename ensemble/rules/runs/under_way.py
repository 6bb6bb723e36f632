"""The calls under way into apps that run teams themselves: kept by app, from an attempt's admission to its booking.

Only apps that were seen to run a team have such a list, so ordinary calls neither read nor write one. An entry is written
and removed by the very commits that put an attempt among its run's open ones and take it out: none can stay behind.
"""

from __future__ import annotations

from ensemble.contract.exchange import AdmissionAsk, Remote
from ensemble.rules.addresses import LINEAGE, going_at, going_hash, run_at
from ensemble.rules.lineage.lineage import first_link
from ensemble.rules.records import Attempt, Going, Lineage, Origin
from ensemble.rules.runs.working import Working
from ensemble.rules.snapshot import Draft

__all__ = ["GOING_TTL_MS", "calls_into", "enter", "found_out", "into", "learn", "leave", "lineage_of", "reenter"]

GOING_TTL_MS = 7 * 24 * 3_600_000
"""How long a list nothing is added to is kept, milliseconds: as long as a run that nobody closes."""
APP = "app:"


def into(work: Working, identity: str) -> str | None:
    """Return the app whose list a call to *identity* stands on; None: on none. Raises NotRead."""
    seen = work.agents.seen(identity)
    if identity.startswith(APP):
        return identity if seen is not None and seen.runs else None
    return None if seen is None else seen.app


def enter(work: Working, ask: AdmissionAsk, app: str, at_ms: int) -> None:
    """Put a call on the list of *app*. Raises NotRead."""
    lineage = lineage_of(work)
    going = Going(
        run_id=work.run_id,
        agent=ask.agent,
        admitted_ms=at_ms,
        same_user=ask.identity == app,
        origin=lineage.origin,
        depth=len(lineage.chain),
    )
    at = going_at(app, ask.ticket)
    work.draft.put(at, going.model_dump_json(exclude_defaults=True))
    work.draft.expire(at.key, GOING_TTL_MS)


def reenter(work: Working, attempt: Attempt) -> None:
    """Put the call of an attempt that was given up back on the list it stood on."""
    if attempt.into is not None:
        enter(work, attempt.ask, attempt.into, attempt.admitted_ms)


def found_out(work: Working, attempt: Attempt) -> Attempt:
    """Take down which app an attempt turned out to call, and put its call on that app's list. Raises NotRead."""
    identity = attempt.ask.identity
    learn(work, identity, attempt.remote)
    app = into(work, identity)
    if app is None or attempt.into is not None or attempt.ask.ticket not in work.open:
        return attempt
    enter(work, attempt.ask, app, attempt.admitted_ms)
    return attempt.model_copy(update={"into": app})


def learn(work: Working, identity: str, remote: Remote | None) -> None:
    """Take down which app a key opens, where Dify has told. Raises NotRead."""
    if remote is not None and remote.app_id and not identity.startswith(APP):
        work.agents.note_key(identity, APP + remote.app_id.lower())


def leave(draft: Draft, attempt: Attempt) -> None:
    """Take a call that is over off its list. Raises NotRead."""
    if attempt.into is not None:
        draft.put(going_at(attempt.into, attempt.ask.ticket), None)


def calls_into(draft: Draft, app: str) -> tuple[Going, ...]:
    """Return the calls under way into *app*. Raises NotRead."""
    return tuple(Going.model_validate_json(text) for text in draft.fields(going_hash(app)).values())


def lineage_of(work: Working) -> Lineage:
    """Return where the run stands; one that knows nothing of its caller is the first. Raises NotRead."""
    text = work.draft.text(run_at(work.run_id, LINEAGE))
    if text is not None:
        return Lineage.model_validate_json(text)
    return Lineage(chain=(first_link(None),), origin=Origin(opened_ms=work.run.since_ms))

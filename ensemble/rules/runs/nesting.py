"""Opening a run inside another's call, or maybe inside one: whose trace and budgets it shares, and whether it goes too far.

Judged when a run is opened and remembered by it: its calls are refused by what was found then, at no further look. Who
opens at the same time as another does not matter: a run can only be nested in a call whose admission was on record
before it was opened, so whatever is written while this is decided cannot have led to it.
"""

from __future__ import annotations

from functools import partial

from ensemble.contract.exchange import AdmissionAsk, OpenRun, Parent
from ensemble.rules.addresses import ABOUT, LINEAGE, agent_at, attempt_at, going_hash, run_at, starter_at
from ensemble.rules.lineage import lineage
from ensemble.rules.lineage.below import enter_below, let_go_on
from ensemble.rules.lineage.drafted import above_wants
from ensemble.rules.problems import Conflict
from ensemble.rules.records import About, Lineage, Link, Origin, Run
from ensemble.rules.runs.under_way import calls_into, lineage_of
from ensemble.rules.runs.working import Working
from ensemble.rules.snapshot import EVERY, Address, Draft

__all__ = ["Nest", "find_nest", "forbid_going_back", "nesting_wants", "refusal", "settle_in"]

STARTER_TTL_MS = 24 * 3_600_000
"""How long it is remembered that a user starts an app himself, milliseconds from when he was last seen to."""
FIELD = "parent"
"""What users call it: the tool's parameter."""


class Nest:
    """The call of another run inside which one is opened."""

    def __init__(self, draft: Draft, parent: Parent, ticket: str | None) -> None:
        """Read the run; *ticket*: of its attempt, None where that is over. Raises NotRead."""
        work = Working(draft, parent.run_id, Run.model_validate_json(draft.text(run_at(parent.run_id)) or ""))
        self.run_id, self.run, self.ticket = parent.run_id, work.run, ticket
        self.trace_id = About.model_validate_json(draft.text(run_at(parent.run_id, ABOUT)) or "").trace_id
        self.lineage = lineage_of(work)
        self.attempt = None if ticket is None else work.attempt(ticket)


def nesting_wants(opening: OpenRun) -> tuple[Address, ...]:
    """Return what to read before the first decision about where a run stands."""
    addresses: list[Address] = []
    if opening.parent is not None:
        addresses += [*above_wants(opening.parent.run_id), run_at(opening.parent.run_id, LINEAGE)]
    elif opening.caller is not None:
        addresses.append(Address(going_hash(opening.caller), EVERY))
    if opening.caller is not None:
        addresses += agent_at(opening.caller)
    return tuple(addresses)


def find_nest(draft: Draft, opening: OpenRun) -> Nest | None:
    """Return the call inside which a run is opened; None where nobody says, or nobody has to know it.

    Raises:
        NotRead: as any look at the records.
        Conflict: the call is not on record, or is over.

    """
    parent = opening.parent
    if parent is None:
        return None
    draft.snapshot.require((*above_wants(parent.run_id), run_at(parent.run_id, LINEAGE)))
    text = draft.text(run_at(parent.run_id))
    known = text is not None and draft.text(run_at(parent.run_id, ABOUT)) is not None
    tickets = Run.model_validate_json(text).open if text is not None and known else {}
    ticket = next((ticket for ticket in tickets if ticket.startswith(parent.ticket)), None)
    if ticket is None and parent.under_way:
        fix = "It is good only while the call lasts that it was given to; hand on the text of this very call."
        raise Conflict(FIELD, "is of a call that is over, or that is not on record here", fix)
    return Nest(draft, parent, ticket) if known else None


def forbid_going_back(draft: Draft, opening: OpenRun, found: str) -> None:
    """Raise Conflict where the run that was *found* by its key waits for the very call it is opened in. Raises NotRead."""
    parent = opening.parent
    if parent is None:
        return
    text = draft.text(run_at(parent.run_id))
    above = () if text is None else Run.model_validate_json(text).above
    if found in (parent.run_id, *above):
        fix = "Let run_key differ from call to call, such as by the workflow run's id."
        raise Conflict("run_key", "leads back to a run that waits for the call this one is opened in", fix)


def settle_in(work: Working, opening: OpenRun, nest: Nest | None) -> None:
    """Take down where a run stands that is begun or given to another engine, and judge it. Raises NotRead."""
    caller = opening.caller
    origin = Origin(caller=caller, end_user=opening.end_user, opened_ms=work.run.since_ms)
    chain: tuple[Link, ...] = (lineage.first_link(caller),)
    above: tuple[str, ...] = ()
    inside = recursion = ""
    if nest is None:
        origin, recursion = _judge_alone(work, origin)
    else:
        called = () if nest.attempt is None else (nest.attempt.ask.identity,)
        name = "" if nest.attempt is None else nest.attempt.ask.agent
        chain = lineage.descended(nest.lineage.chain, name, (*called, caller))
        above, origin = (*nest.run.above, nest.run_id), nest.lineage.origin
        inside = nest.ticket or ""
        recursion = _again(chain) or lineage.too_nested(chain)
        _begin_inside(work, nest)
    known = caller is not None or nest is not None
    at = run_at(work.run_id, LINEAGE)
    work.draft.put(at, Lineage(chain=chain, origin=origin).model_dump_json(exclude_defaults=True) if known else None)
    budgets = work.run.budgets if nest is None else tuple(dict.fromkeys((*work.run.budgets, *nest.run.budgets)))
    if work.run.epoch > 1 and not work.run.cancelled:
        let_go_on(work.draft, work.run_id)
    cancelled = enter_below(work.draft, work.run_id, above) or work.run.cancelled
    work.run = work.run.model_copy(
        update={"above": above, "inside": inside, "recursion": recursion, "budgets": budgets, "cancelled": cancelled}
    )
    if caller is not None:
        work.agents.note_caller(caller, hands_on=nest is not None)
    if caller is not None and nest is not None and nest.attempt is not None and nest.attempt.ask.identity != caller:
        # Which app is behind a key, the run that was opened inside a call by it tells for certain.
        work.agents.note_key(nest.attempt.ask.identity, caller)


def refusal(work: Working, ask: AdmissionAsk) -> str:
    """Return in words why an attempt would go round in a circle; empty if it would not. Raises NotRead.

    Costs a run without another above it nothing: what was judged at its opening stands in its own record.
    """
    if work.run.recursion or not work.run.above:
        return work.run.recursion
    seen = work.agents.seen(ask.identity)
    identities = (ask.identity,) if seen is None or seen.app is None else (ask.identity, seen.app)
    return lineage.going_round(lineage_of(work).chain, ask.agent, identities)


def _judge_alone(work: Working, origin: Origin) -> tuple[Origin, str]:
    """Judge a run that shows no token. One of an app that hands tokens on was opened by no call of ours."""
    seen = None if origin.caller is None else work.agents.seen(origin.caller)
    if origin.caller is None or (seen is not None and seen.hands_on):
        return origin, ""
    if seen is not None and seen.keys and origin.end_user:
        origin = _known_to_start(work, origin, origin.caller)
    return origin, lineage.too_deep(*lineage.longest_line(origin, partial(calls_into, work.draft)))


def _known_to_start(work: Working, origin: Origin, app: str) -> Origin:
    """Return *origin* with whether its user starts this app himself, and take it down where nothing could have called it.

    By a key an app sees a user of its own for each user of the caller's, who is never seen when no such call is under way.
    """
    at = starter_at(app, origin.end_user)
    known = work.draft.text(at) is not None
    if not any(lineage.could_lead_to(call, origin) for call in calls_into(work.draft, app)):
        work.draft.put(at, "1")
        work.draft.expire(at.key, STARTER_TTL_MS)
    return origin.model_copy(update={"starter": known})


def _again(chain: tuple[Link, ...]) -> str:
    """Return in words how the app a run is opened in stands on its chain already; empty if it does not."""
    *before, last = chain
    return lineage.going_round(before, last.name or "itself", last.identities)


def _begin_inside(work: Working, nest: Nest) -> None:
    """Let the call's reservations count as spent to whatever this run does."""
    attempt = nest.attempt
    if attempt is None:
        return
    at = attempt_at(nest.run_id, attempt.ask.ticket)
    if attempt.nests:
        work.draft.check(at)
    else:
        work.draft.put(at, work.above.nest(nest.run_id, attempt).model_dump_json(exclude_defaults=True))

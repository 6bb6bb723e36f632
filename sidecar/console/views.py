"""The pages of everything but runs: agents, breakers, budgets and slots, and what belongs to a trace."""

from __future__ import annotations

from flask import Blueprint, Response, request

from ensemble.contract import endpoints
from ensemble.contract.about import NoParams
from ensemble.contract.agents import AgentParams, AgentsParams
from ensemble.contract.breakers import BreakerParams, BreakerView
from ensemble.contract.budgets import BudgetState
from ensemble.contract.mailboxes import DeadLetters, DeadLettersParams
from ensemble.contract.runs import RunsParams
from ensemble.contract.slots import SlotsView
from ensemble.contract.state import TraceParams
from sidecar.console.desk import Desk
from sidecar.console.reading import Reader, params
from sidecar.console.run_page import spending
from sidecar.console.runs import family
from sidecar.errors import NotFound

__all__ = ["add_views"]

AGENTS_SHOWN = 50
RUNS_SHOWN = 100
BREAKERS_SHOWN = 500
NAMES_KNOWN = 100
"""Agents whose names stand beside their breakers, those called last."""
SLOTS_SHOWN = 200
"""Of hosts, and of agents."""
LETTERS_SHOWN = 20
"""Dead letters of one mailbox."""
BOXES_OPENED = 5
"""Mailboxes whose dead letters are read; how many the others have is told."""


def add_views(blueprint: Blueprint, desk: Desk) -> None:
    """Let *blueprint* show them."""

    @blueprint.get("/agents")
    @desk.signed_in
    def agents(reader: Reader) -> Response:
        asked: dict[str, str | int | None] = {"before_ms": request.args.get("before_ms", ""), "limit": AGENTS_SHOWN}
        found = reader.ask(endpoints.LIST_AGENTS, params(AgentsParams, asked))
        return desk.pages.page(
            "agents.html",
            tenant=reader.tenant,
            here="agents",
            now_ms=desk.keys.now_ms(),
            agents=found.agents,
            older=found.next_before_ms,
        )

    @blueprint.get("/agent")
    @desk.signed_in
    def agent(reader: Reader) -> Response:
        wanted = params(AgentParams, {"identity": request.args.get("identity", "")}, in_path=True)
        view = reader.ask(endpoints.GET_AGENT, wanted)
        return desk.pages.page(
            "agent.html",
            tenant=reader.tenant,
            here="agents",
            now_ms=desk.keys.now_ms(),
            agent=view,
            breaker=_breaker(reader, view.identity),
        )

    @blueprint.get("/breakers")
    @desk.signed_in
    def breakers(reader: Reader) -> Response:
        found = reader.ask(endpoints.LIST_BREAKERS, NoParams()).breakers
        known = reader.ask(endpoints.LIST_AGENTS, AgentsParams(limit=NAMES_KNOWN)).agents
        return desk.pages.page(
            "breakers.html",
            tenant=reader.tenant,
            here="breakers",
            now_ms=desk.keys.now_ms(),
            breakers=found[:BREAKERS_SHOWN],
            names={each.identity: each.name for each in known if each.name != each.identity},
            more=max(0, len(found) - BREAKERS_SHOWN),
        )

    @blueprint.get("/breaker")
    @desk.signed_in
    def breaker(reader: Reader) -> Response:
        wanted = params(BreakerParams, {"identity": request.args.get("identity", "")}, in_path=True)
        view = reader.ask(endpoints.GET_BREAKER, wanted)
        return desk.pages.page(
            "breaker.html", tenant=reader.tenant, here="breakers", now_ms=desk.keys.now_ms(), breaker=view
        )

    @blueprint.get("/budgets")
    @desk.signed_in
    def budgets(reader: Reader) -> Response:
        found = reader.ask(endpoints.LIST_BUDGETS, NoParams()).budgets
        slots = reader.ask(endpoints.GET_SLOTS, NoParams())
        return desk.pages.page(
            "budgets.html",
            tenant=reader.tenant,
            here="budgets",
            now_ms=desk.keys.now_ms(),
            budgets=[(each, spending(each.used, each.definition.limits), _window(each)) for each in found],
            slots=_slots(slots),
            waiting=slots.waiting,
        )

    @blueprint.get("/traces/<trace_id>")
    @desk.signed_in
    def trace(reader: Reader, trace_id: str) -> Response:
        wanted = params(TraceParams, {"trace_id": trace_id}, in_path=True)
        found = reader.ask(endpoints.LIST_RUNS, RunsParams(trace_id=trace_id, limit=RUNS_SHOWN))
        boxes = reader.ask(endpoints.LIST_MAILBOXES, wanted).mailboxes
        full = [box.agent for box in boxes if box.dead][:BOXES_OPENED]
        return desk.pages.page(
            "trace.html",
            tenant=reader.tenant,
            here="runs",
            now_ms=desk.keys.now_ms(),
            trace_id=trace_id,
            runs=family(found.runs),
            more=found.next_before_ms is not None,
            boxes=boxes,
            dead=[(name, _dead(reader, trace_id, name)) for name in full],
        )


def _breaker(reader: Reader, identity: str) -> BreakerView | None:
    try:
        return reader.ask(endpoints.GET_BREAKER, BreakerParams(identity=identity))
    except NotFound:
        return None


def _dead(reader: Reader, trace_id: str, agent: str) -> DeadLetters:
    return reader.ask(
        endpoints.LIST_DEAD_LETTERS, DeadLettersParams(trace_id=trace_id, agent=agent, limit=LETTERS_SHOWN)
    )


def _window(budget: BudgetState) -> str:
    """Return the time a budget is for, in words."""
    window = budget.definition.window
    if window.kind == "total":
        return "for good"
    if window.kind == "rolling":
        return f"the last {window.seconds:,} s"
    return f"this {window.kind}, {window.timezone}"


def _slots(view: SlotsView) -> list[tuple[str, int, int | None]]:
    """Return where calls are out or limited: how many are, and may be; None: no operator limits them."""
    used, limits = view.used, view.limits
    found = [] if limits.total is used.total is None else [("everywhere", used.total or 0, limits.total)]
    for out, most in ((used.hosts, limits.hosts), (used.identities, limits.identities)):
        found += [(name, out.get(name, 0), most.get(name)) for name in sorted({*out, *most})[:SLOTS_SHOWN]]
    return found

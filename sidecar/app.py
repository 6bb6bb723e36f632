"""Puts the parts together: one Flask app that serves every endpoint of the contract, and the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flask import Flask

from ensemble.contract import endpoints
from ensemble.rules.records import Defaults
from sidecar.agents.service import Agents
from sidecar.breakers.service import Breakers
from sidecar.budgets.service import Budgets
from sidecar.console.desk import Desk
from sidecar.console.pages import Pages
from sidecar.console.serving import serve_console
from sidecar.console.session import Sessions
from sidecar.console.signing import Keys, Links
from sidecar.context.service import pack_context
from sidecar.edge.auth import Gate, Tenants
from sidecar.edge.counting import METERS
from sidecar.edge.http import Handler, answer_problems, require_tokens, serve, serve_document
from sidecar.edge.metrics import count_requests, serve_metrics
from sidecar.edge.requestlog import Refusals, log_requests
from sidecar.edge.shortcut import SHORTCUT, shortcut
from sidecar.health import SelfView
from sidecar.messages.log import Log
from sidecar.messages.mailboxes import Mailboxes
from sidecar.metrics.meters import Meters, new_board
from sidecar.metrics.page import metrics_page
from sidecar.metrics.standing import Standing
from sidecar.results.service import Results
from sidecar.runs.service import Runs
from sidecar.settings import Settings
from sidecar.slots.service import Slots
from sidecar.state.service import State
from sidecar.store.connection import Client
from sidecar.store.listeners import Listener
from sidecar.store.store import Store
from sidecar.waiting import Waiting

__all__ = ["create_app"]


def create_app(
    settings: Settings,
    redis: Client,
    tokens: Mapping[str, str],
    meters: Meters | None = None,
    listeners: Iterable[Listener] = (),
) -> Flask:
    """Return the app on *redis*, open to the tenant of each of *tokens*.

    *meters*: what counts for its process; *listeners* hear what has happened, too.
    """
    meters = meters or Meters(new_board(1))
    app = Flask("sidecar", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # A key of shared state may hold any slashes; a path is taken as it is sent.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True
    app.url_map.redirect_defaults = False

    store = Store(redis, [meters.heard, *listeners], meters.race_lost)
    tenants, keys = Tenants(tokens), Keys(redis)
    links = Links(keys, tenants, settings.public_url or "")
    handlers = _handlers(settings, store, links)
    for endpoint in endpoints.ALL:
        serve(app, endpoint, handlers[endpoint.name])
    document = serve_document(app)
    gate = Gate(settings.metrics_token, "ENSEMBLE_METRICS_TOKEN") if settings.metrics_token else None
    standing = Standing(store, tokens.values())
    metrics = serve_metrics(app, gate, lambda: metrics_page(meters, standing, embedded=settings.redis_url is None))
    count_requests(app, meters)
    log_requests(app)
    require_tokens(app, tenants, frozenset({document, metrics, *(each.name for each in endpoints.ALL if each.public)}))
    refusals = Refusals()
    desk = Desk(
        pages=Pages(),
        keys=keys,
        sessions=Sessions(keys, tenants),
        links=links,
        refusals=refusals,
        handlers=handlers,
        public_url=settings.public_url or "",
    )
    serve_console(app, desk)
    answer_problems(app, refusals, desk.pages.problem)
    app.extensions[METERS] = meters
    app.extensions[SHORTCUT] = shortcut(tenants, handlers["exchange"], settings.max_body_bytes, meters)
    return app


def _handlers(settings: Settings, store: Store, links: Links) -> dict[str, Handler]:
    """Return what answers each endpoint, by the endpoint's name."""
    redis, public_url = store.redis, settings.public_url or ""
    self_view = SelfView(redis, embedded=settings.redis_url is None, public_url=public_url)
    defaults = Defaults(lease_ms=settings.lease_ms)
    runs = Runs(store, defaults, links.url if public_url else None)
    breakers, state = Breakers(store, defaults), State(redis)
    results, agents = Results(redis), Agents(store)
    # Whoever waits holds a thread; the other half stays for those who don't.
    waiting = Waiting(settings.threads // 2)
    mailboxes, log = Mailboxes(redis, waiting), Log(store, waiting)
    budgets, slots = Budgets(store), Slots(store)
    return {
        "live": lambda _tenant, _params, _ask: self_view.live(),
        "ready": lambda _tenant, _params, _ask: self_view.ready(),
        "about": lambda _tenant, _params, _ask: self_view.about(),
        "exchange": lambda tenant, _params, ask: runs.exchange(tenant, ask),
        "get_run": lambda tenant, params, _ask: runs.get(tenant, params),
        "list_runs": lambda tenant, params, _ask: runs.page(tenant, params),
        "get_run_log": lambda tenant, params, _ask: runs.log(tenant, params),
        "pack_context": lambda _tenant, _params, ask: pack_context(ask),
        "cancel_run": lambda tenant, params, _ask: runs.cancel(tenant, params),
        "list_breakers": lambda tenant, _params, _ask: breakers.all(tenant),
        "get_breaker": lambda tenant, params, _ask: breakers.get(tenant, params),
        "admit_call": lambda tenant, _params, ask: breakers.admit(tenant, ask),
        "settle_call": lambda tenant, _params, ask: breakers.settle(tenant, ask),
        "set_breaker_policy": breakers.set_policy,
        "force_breaker": breakers.force,
        "list_budgets": lambda tenant, _params, _ask: budgets.all(tenant),
        "get_budget": lambda tenant, params, _ask: budgets.get(tenant, params),
        "define_budget": budgets.define,
        "forget_budget": lambda tenant, params, _ask: budgets.forget(tenant, params),
        "reserve_budgets": lambda tenant, _params, ask: budgets.reserve(tenant, ask),
        "settle_budgets": lambda tenant, _params, ask: budgets.settle(tenant, ask),
        "get_slots": lambda tenant, _params, _ask: slots.get(tenant),
        "set_slots": lambda tenant, _params, ask: slots.set(tenant, ask),
        "list_agents": lambda tenant, params, _ask: agents.page(tenant, params),
        "get_agent": lambda tenant, params, _ask: agents.get(tenant, params),
        "declare_agent": agents.declare,
        "forget_agent": lambda tenant, params, _ask: agents.forget(tenant, params),
        "put_result": results.put,
        "get_cached": lambda tenant, params, _ask: runs.cached(tenant, params),
        "get_result": lambda tenant, params, _ask: results.get(tenant, params),
        "list_state": lambda tenant, params, _ask: state.entries(tenant, params),
        "get_state": lambda tenant, params, _ask: state.get(tenant, params),
        "put_state": state.put,
        "delete_state": state.delete,
        "increment_state": state.increment,
        "merge_state": state.merge,
        "append_state": state.append,
        "change_set": state.change_set,
        "get_states": state.get_many,
        "put_states": state.put_many,
        "register_agent": mailboxes.register,
        "list_mailboxes": lambda tenant, params, _ask: mailboxes.all(tenant, params),
        "send_message": mailboxes.send,
        "receive_messages": mailboxes.receive,
        "acknowledge_message": mailboxes.acknowledge,
        "reject_message": mailboxes.reject,
        "renew_message": mailboxes.renew,
        "list_dead_letters": lambda tenant, params, _ask: mailboxes.dead_letters(tenant, params),
        "redrive_dead_letters": mailboxes.redrive,
        "get_trace_log": lambda tenant, params, _ask: log.page(tenant, params),
        "follow_trace": lambda tenant, params, _ask: log.follow(tenant, params),
    }

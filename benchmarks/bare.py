"""``python -m benchmarks.bare``: the sidecar, with two routes beside it that show what its ground costs.

``/empty`` answers nothing. ``/bare`` reads the same body with the same models, makes the same two trips to the store
with as many keys and documents, and answers with the same model, but decides nothing and asks nobody for a token. Same
server, same processes and threads, same scripts.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware

import sidecar.server
from ensemble.contract.exchange import Admission, Decision, Exchange, ExchangeAnswer, Role, RunHead
from sidecar.__main__ import main
from sidecar.app import create_app
from sidecar.settings import Settings
from sidecar.store.connection import Client
from sidecar.store.scripts import Script

_READ = Script("sidecar.store", "read.lua")
_COMMIT = Script("sidecar.store", "commit.lua")
_COUNTERS = ["tokens_committed", "tokens_reserved", "calls_committed", "calls_reserved", "ms_committed", "ms_reserved"]
_DOCUMENT = "1\n" + "x" * 500
_HOUR_MS = 3_600_000


def _bare_app(redis: Client) -> Flask:
    app = Flask("bare", static_folder=None)

    @app.post("/")
    def bare() -> Response:
        ask = Exchange.model_validate_json(request.get_data(cache=False))
        run = f"bare:{ask.run_id}"
        # The run, its budget's counters, each attempt and step; each agent's breaker is a key of its own.
        fields = ["run", *_COUNTERS, "estimated", *_names(ask)]
        breakers = [f"bare:breaker:{identity}" for identity in _identities(ask)]
        read: list[str | int] = [len(fields), *fields]
        for _ in breakers:
            read += [1, "breaker"]
        _READ.run(redis, [run, *breakers], read)
        _COMMIT.run(redis, [run, "bare:leases"], _writes(ask))
        answer = ExchangeAnswer(
            run=RunHead(run_id=ask.run_id, epoch=1, role=Role.OWNER, lease_ms=30_000),
            admissions=tuple(Admission(ticket=each.ticket, decision=Decision.ADMITTED) for each in ask.admit),
        )
        return Response(answer.model_dump_json(), mimetype="application/json")

    return app


def _names(ask: Exchange) -> list[str]:
    """Return the fields of the attempts and steps that are spoken of."""
    spoken = [(each.ticket, each.step) for each in ask.settle] + [(each.ticket, each.step) for each in ask.admit]
    return [name for ticket, step in spoken for name in (f"attempt:{ticket}", f"step:{step}")]


def _identities(ask: Exchange) -> list[str]:
    return [each.identity or "" for each in ask.settle] + [each.identity for each in ask.admit]


def _writes(ask: Exchange) -> list[str | int]:
    """Return as many operations as a real exchange commits."""
    tickets = [each.ticket for each in ask.settle] + [each.ticket for each in ask.admit]
    names = ["run", *(f"attempt:{ticket}" for ticket in tickets), *(f"step:{each.step}" for each in ask.settle)]
    operations: list[str | int] = []
    for name in names:
        operations += ["put", 1, name, _DOCUMENT]
    for counter in _COUNTERS:
        operations += ["add", 1, counter, 1]
    operations += ["rank", 2, ask.run_id, 1]
    if ask.close is not None:
        operations += ["expire", 1, _HOUR_MS]
    return operations


def _empty_app() -> Flask:
    app = Flask("empty", static_folder=None)

    @app.post("/")
    def empty() -> Response:
        return Response(b"{}", mimetype="application/json")

    return app


def _with_routes(settings: Settings, redis: Client, tokens: Mapping[str, str]) -> Flask:
    app = create_app(settings, redis, tokens)
    routes: Any = {"/bare": _bare_app(redis), "/empty": _empty_app()}
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, routes)  # type: ignore[method-assign] # Flask's own advice
    return app


if __name__ == "__main__":
    # The launcher builds its app by this name; everything else about the server stays as it is.
    vars(sidecar.server)["create_app"] = _with_routes
    sys.exit(main())

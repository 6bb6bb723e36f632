"""Counts the requests that take the long way, and serves the metrics to whoever shows their token."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask, Response, g, request

from ensemble.contract.problems import Fault
from sidecar.edge.auth import Gate
from sidecar.errors import NotFound
from sidecar.metrics.meters import Meters
from sidecar.metrics.page import CONTENT_TYPE

__all__ = ["METRICS_PATH", "count_requests", "serve_metrics"]

METRICS_PATH = "/metrics"
NOWHERE = "none"
"""The endpoint of a request whose path there is not."""


def count_requests(app: Flask, meters: Meters) -> None:
    """Let *app* count what it answers; a stream is counted when it begins."""

    @app.before_request
    def _begin() -> None:
        g.came_s = time.perf_counter()

    @app.after_request
    def _end(response: Response) -> Response:
        meters.answered(
            g.get("tenant", ""),
            request.endpoint or NOWHERE,
            str(response.status_code),
            g.get("problem", ""),
            time.perf_counter() - g.came_s,
        )
        return response


def serve_metrics(app: Flask, gate: Gate | None, page: Callable[[], bytes]) -> str:
    """Let *app* tell its metrics to whoever passes the *gate*, or how to get one; return what the view is called."""

    def view() -> Response:
        if gate is None:
            fix = "Set it to a token of its own, and let Prometheus send that."
            fault = Fault(field="ENSEMBLE_METRICS_TOKEN", problem="not set", fix=fix)
            raise NotFound("The metrics are closed: ENSEMBLE_METRICS_TOKEN opens them to whoever sends it.", fault)
        gate.let_in(request.headers.get("Authorization"))
        return Response(page(), content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    app.add_url_rule(METRICS_PATH, "metrics", view, methods=["GET"], provide_automatic_options=False)
    return "metrics"

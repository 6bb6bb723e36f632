"""Puts the console together, and into the app."""

from __future__ import annotations

from flask import Blueprint, Flask, Response

from sidecar.console.desk import Desk
from sidecar.console.pages import HEADERS
from sidecar.console.runs import add_runs
from sidecar.console.sharing import add_shared
from sidecar.console.signin import add_sign_in
from sidecar.console.views import add_views
from sidecar.edge.http import PAGES, for_browsers

__all__ = ["serve_console"]


def serve_console(app: Flask, desk: Desk) -> None:
    """Let *app* show the console."""
    blueprint = Blueprint("console", __name__, url_prefix=PAGES)
    add_sign_in(blueprint, desk)
    add_shared(blueprint, desk)
    add_runs(blueprint, desk)
    add_views(blueprint, desk)

    @blueprint.get("/static/<name>")
    def static(name: str) -> Response:
        return desk.pages.file(name) or desk.pages.page(
            "problem.html", 404, title="Not found", detail="There is no such file."
        )

    @blueprint.get("")
    def bare() -> Response:
        # Links are relative to the path with the slash, whatever a proxy has put before it.
        return Response("", 303, {"Location": f"{PAGES.removeprefix('/')}/"}, mimetype="text/html")

    app.register_blueprint(blueprint)

    @app.after_request
    def tell_browsers(response: Response) -> Response:
        if for_browsers():
            for name, value in HEADERS.items():
                response.headers[name] = value
            response.headers.setdefault("Cache-Control", "no-store")
        return response

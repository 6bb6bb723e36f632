"""Turns what was read into pages: templates, the files beside them, and what every page tells the browser.

Everything an agent or a user wrote is somebody's text, never markup: Jinja escapes it, and what can't stand on a page is
replaced on the way.
"""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path
from typing import Any

from flask import Response, request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ensemble.contract.problems import Problem
from sidecar.console import graph, words

__all__ = ["HEADERS", "Pages", "root"]

HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
"""With everything under the console's path. Nothing comes from elsewhere, and nothing in a page can run but its own file."""


class Pages:
    """The templates, compiled once, and the static files, read once."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_as_text,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals |= {
            "ago": words.ago,
            "box_height": graph.HEIGHT,
            "box_width": graph.WIDTH,
            "static": self.static_url,
        }
        self._templates.filters |= {
            "count": words.count,
            "head": words.head,
            "json_head": words.json_head,
            "lasting": words.lasting,
            "left_over": words.left_over,
            "mark": words.mark,
            "moment": words.moment,
            "shortened": graph.shortened,
            "tone": words.tone,
            "word": words.word,
        }
        self._static = {path.name: path.read_bytes() for path in (HERE / "static").iterdir() if path.is_file()}
        self._marks = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._static.items()}

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        """Return a page."""
        text = self._templates.get_template(template).render(**{"tenant": None, "here": "", "root": root(), **context})
        return Response(text, status=status, mimetype="text/html")

    def problem(self, problem: Problem) -> Response:
        """Return a page that says what is wrong."""
        response = self.page("problem.html", problem.status, title=problem.title, detail=problem.detail)
        if problem.retry_after_ms is not None:
            response.headers["Retry-After"] = str(max(1, -(-problem.retry_after_ms // 1000)))
        return response

    def static_url(self, name: str) -> str:
        """Return the address of a file beside the pages; it changes with what is in the file."""
        return f"{root()}static/{name}?v={self._marks[name]}"

    def file(self, name: str) -> Response | None:
        """Return a file beside the pages; None where there is none of this name."""
        data = self._static.get(name)
        if data is None:
            return None
        response = Response(data, mimetype=mimetypes.guess_type(name)[0] or "application/octet-stream")
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def root() -> str:
    """Return the way from the page that is asked for to the console's first page.

    It is relative, so that pages work under whatever path a proxy serves them.
    """
    return "../" * (request.path.count("/") - 2) or "./"


def _as_text(value: Any) -> Any:
    """Return what a template puts out: a text without what no page may hold."""
    if value is None:
        return ""
    return words.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value

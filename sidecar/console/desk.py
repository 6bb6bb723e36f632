"""What all views of the console share: the pages, who may see them, and where to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, request

from sidecar.console.pages import Pages, root
from sidecar.console.reading import Reader
from sidecar.console.session import SESSION_COOKIE, Sessions
from sidecar.console.signing import Keys, Links
from sidecar.edge.http import PAGES
from sidecar.edge.requestlog import Refusals

__all__ = ["Desk", "sent_to"]


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything a view works with."""

    pages: Pages
    keys: Keys
    sessions: Sessions
    links: Links
    refusals: Refusals
    handlers: Mapping[str, Callable[[str, Any, Any], Any]]
    public_url: str
    """Empty where it is not set."""

    @property
    def secure(self) -> bool:
        """Whether browsers come by https, so that cookies must not go without."""
        return self.public_url.startswith("https:")

    def reader(self, tenant: str) -> Reader:
        """Return what reads for *tenant*; the log tells of the request as theirs."""
        g.tenant = tenant
        return Reader(self.handlers, tenant)

    def signed_in(self, view: Callable[..., Response]) -> Callable[..., Response]:
        """Return *view* for who is signed in; it is given a reader, and all others are sent to sign in."""

        @wraps(view)
        def guarded(**in_path: str) -> Response:
            tenant = self.sessions.tenant(request.cookies.get(SESSION_COOKIE, ""))
            if tenant is None:
                wanted = request.full_path.removeprefix(f"{PAGES}/").removesuffix("?")
                return sent_to("sign-in" + (f"?{urlencode({'next': wanted})}" if wanted else ""))
            return view(self.reader(tenant), **in_path)

        return guarded


def sent_to(page: str) -> Response:
    """Return what sends a browser to another page of the console, given as the way from the first one."""
    return Response("", 303, {"Location": f"{root()}{page}"}, mimetype="text/html")

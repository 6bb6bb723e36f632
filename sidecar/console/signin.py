"""Signing in and out: a tenant's token is typed once, and a cookie stands for it until it ends."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from sidecar.console.desk import Desk, sent_to
from sidecar.console.session import FORM_COOKIE, SESSION_COOKIE, SESSION_S, new_form_mark, same_form
from sidecar.errors import Forbidden, Unauthorized

__all__ = ["add_sign_in"]

MOST_BYTES = 8192
"""Of a form."""
_MARK = re.compile(r"[A-Za-z0-9_-]{32}")
_PAGE = re.compile(r"(?!/|[^/?#]*:)[A-Za-z0-9_./?=&%+:#-]{0,600}")
"""What may be gone on to: a page of the console."""
_OURS = frozenset({"", "none", "same-origin"})
"""What browsers say of a form that was not sent by another site; older ones say nothing."""
_NOT_OURS = (
    "The form did not come back as it was given out. Reload this page and try again; if that does not help, your browser "
    "keeps no cookies for this address."
)


def add_sign_in(blueprint: Blueprint, desk: Desk) -> None:
    """Let *blueprint* ask for a token, and forget it again."""

    @blueprint.get("/sign-in")
    def ask() -> Response:
        if desk.sessions.tenant(request.cookies.get(SESSION_COOKIE, "")):
            return sent_to(_next(request.args.get("next", "")))
        return _form(desk, request.args.get("next", ""))

    @blueprint.post("/sign-in")
    def begin() -> Response:
        request.max_content_length = MOST_BYTES
        given, wanted = _field("token"), _field("next")
        if not _sent_by_us() or not same_form(request.cookies.get(FORM_COOKIE, ""), _field("mark")):
            desk.refusals.tell(Forbidden(_NOT_OURS))
            where = f" Here it has to be {desk.public_url}/console." if desk.secure else ""
            return _form(desk, wanted, f"{_NOT_OURS}{where}", 403)
        try:
            cookie = desk.sessions.begin(given)
        except Unauthorized as error:
            desk.refusals.tell(error)
            return _form(desk, wanted, error.detail, 401)
        response = sent_to(_next(wanted))
        _set(desk, response, SESSION_COOKIE, cookie, SESSION_S)
        return response

    @blueprint.post("/sign-out")
    def end() -> Response:
        response = sent_to("sign-in")
        # The cookie does not come with what another site sends, so that nobody is signed out from there. Whether it still
        # holds is no matter: who leaves must be able to, also while the store is away.
        if _sent_by_us() and request.cookies.get(SESSION_COOKIE):
            _set(desk, response, SESSION_COOKIE, "", 0)
        return response


def _form(desk: Desk, wanted: str, wrong: str = "", status: int = 200) -> Response:
    mark = request.cookies.get(FORM_COOKIE, "")
    mark = mark if _MARK.fullmatch(mark) else new_form_mark()
    response = desk.pages.page("sign_in.html", status, mark=mark, wanted=wanted[:600], wrong=wrong)
    if status == Unauthorized.status:
        response.headers["WWW-Authenticate"] = 'Bearer realm="ensemble"'
    _set(desk, response, FORM_COOKIE, mark, SESSION_S)
    return response


def _set(desk: Desk, response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie for this folder of the address, whatever a proxy has put before it: hence without a path."""
    response.set_cookie(name, value, max_age=seconds, path=None, secure=desk.secure, httponly=True, samesite="Strict")


def _field(name: str) -> str:
    """Return a field of the form; empty where it can't be read. Raises RequestEntityTooLarge."""
    try:
        return request.form.get(name, "")
    except RequestEntityTooLarge:
        raise
    except HTTPException:
        return ""


def _next(wanted: str) -> str:
    """Return the page to go on to: one of the console's, else the first."""
    return wanted if _PAGE.fullmatch(wanted) and ".." not in wanted and "//" not in wanted else ""


def _sent_by_us() -> bool:
    return request.headers.get("Sec-Fetch-Site", "") in _OURS

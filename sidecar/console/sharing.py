"""The page a run's link opens: that run and its messages, for who has the link, and nothing else."""

from __future__ import annotations

from flask import Blueprint, Response, request

from sidecar.console.desk import Desk
from sidecar.console.runs import messages_shown, run_shown
from sidecar.console.signing import BadLink, ExpiredLink, Shared
from sidecar.errors import Forbidden

__all__ = ["add_shared"]

_BAD = "Nobody here made this link, or it was taken back. Ask whoever gave it to you for another one."
_EXPIRED = (
    "This link has ended: it opens its run for a day. Whoever may sign in still finds the run, as long as it is kept."
)


def add_shared(blueprint: Blueprint, desk: Desk) -> None:
    """Let *blueprint* open links."""

    def opened(token: str) -> Shared | Response:
        try:
            return desk.links.opened(token)
        except ExpiredLink:
            return desk.pages.page("problem.html", 410, title="The link has ended", detail=_EXPIRED)
        except BadLink:
            desk.refusals.tell(Forbidden(_BAD))
            return desk.pages.page("problem.html", 403, title="The link opens nothing", detail=_BAD)

    @blueprint.get("/shared/<token>")
    def shared_run(token: str) -> Response:
        found = opened(token)
        if isinstance(found, Response):
            return found
        reader = desk.reader(found.tenant)
        return run_shown(desk, reader, found.run_id, request.args, shared=found, messages_at=f"shared/{token}/messages")

    @blueprint.get("/shared/<token>/messages")
    def shared_messages(token: str) -> Response:
        found = opened(token)
        if isinstance(found, Response):
            return found
        reader = desk.reader(found.tenant)
        return messages_shown(desk, reader, found.run_id, request.args, shared=found, run_at=f"shared/{token}")

"""What the log tells of requests: one line each at level debug, and who was refused, seldom enough not to fill a disk."""

from __future__ import annotations

import logging
import threading
import time

from flask import Flask, Response, g, request

from sidecar.errors import SidecarError

__all__ = ["Refusals", "log", "log_requests", "tell_request"]

REFUSALS_S = 60.0
"""One address is told once in so many seconds, with how often it was refused since."""
MOST_ADDRESSES = 1000
"""That are remembered; more at once are told together, under no address."""
LONGEST_TRACE_ID = 128

log = logging.getLogger("sidecar.requests")


class Refusals:
    """Which addresses were refused lately, by this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told_s: dict[tuple[str, int], float] = {}
        self._since: dict[tuple[str, int], int] = {}

    def tell(self, error: SidecarError) -> None:
        """Warn of a caller without a good token, or who may not do this; never with the token."""
        due = self._due(request.remote_addr or "", error.status)
        if due is not None:
            peer, times = due
            extra = {"peer": peer, "status": error.status, "times": times, "tenant": g.get("tenant", "")}
            log.warning("A request was refused: %s.", error.title, extra=extra)

    def _due(self, peer: str, status: int) -> tuple[str, int] | None:
        """Count a refusal; return the address to tell of and how often it was refused since last told. None: not now."""
        now_s = time.monotonic()
        with self._lock:
            key = (peer, status)
            if key not in self._told_s and len(self._told_s) >= MOST_ADDRESSES:
                self._forget(now_s - REFUSALS_S)
                if len(self._told_s) >= MOST_ADDRESSES:
                    key = ("many", status)
            self._since[key] = self._since.get(key, 0) + 1
            if now_s - self._told_s.get(key, float("-inf")) < REFUSALS_S:
                return None
            self._told_s[key] = now_s
            return key[0], self._since.pop(key)

    def _forget(self, before_s: float) -> None:
        for key in [key for key, told_s in self._told_s.items() if told_s < before_s]:
            del self._told_s[key]
            self._since.pop(key, None)


def tell_request(method: str, path: str, status: int, began_s: float, *, tenant: str, trace_id: str) -> None:
    """Tell of a request at level debug; *path* is the endpoint's, with its placeholders."""
    took_ms = round((time.perf_counter() - began_s) * 1000, 1)
    extra = {"method": method, "path": path, "status": status, "ms": took_ms, "tenant": tenant, "trace_id": trace_id}
    log.debug("%s %s %d", method, path, status, extra=extra)


def log_requests(app: Flask) -> None:
    """Let *app* tell of each request that takes the long way; one that streams is told when its stream begins."""

    @app.before_request
    def _begin() -> None:
        if log.isEnabledFor(logging.DEBUG):
            g.began_s = time.perf_counter()

    @app.after_request
    def _end(response: Response) -> Response:
        if "began_s" in g:
            trace_id = (request.view_args or {}).get("trace_id") or request.headers.get("X-Trace-Id", "")
            path = _template(str(request.url_rule)) if request.url_rule else "no such path"
            told_id = str(trace_id)[:LONGEST_TRACE_ID]
            tell_request(
                request.method, path, response.status_code, g.began_s, tenant=g.get("tenant", ""), trace_id=told_id
            )
        return response


def _template(rule: str) -> str:
    """Return Flask's spelling of a path as the contract spells it."""
    return rule.replace("<rest:", "{").replace("<", "{").replace(">", "}")

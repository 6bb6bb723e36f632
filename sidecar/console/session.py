"""Who is signed in to the console: a cookie that a tenant's token was exchanged for, and that ends with that token."""

from __future__ import annotations

import re
import secrets
from hmac import compare_digest

from itsdangerous import BadSignature

from sidecar.console.signing import SIGNATURE, Keys, signer
from sidecar.edge.auth import Tenants

__all__ = ["FORM_COOKIE", "SESSION_COOKIE", "SESSION_S", "Sessions", "new_form_mark", "same_form"]

SESSION_COOKIE = "ensemble_console"
FORM_COOKIE = "ensemble_form"
"""Holds what the sign-in form holds too: another site can make a browser send a form, but not with this cookie."""
SESSION_S = 12 * 3600
_COOKIE = re.compile(rf"[A-Za-z0-9_-]{{1,64}}\.[0-9]{{1,12}}\.{SIGNATURE}")
_SALT = b"ensemble console: session "


class Sessions:
    """Begins sessions and knows them again; nothing is stored but in the browser."""

    def __init__(self, keys: Keys, tenants: Tenants) -> None:
        self._keys = keys
        self._tenants = tenants

    def begin(self, token: str) -> str:
        """Return the cookie of a session of *token*'s tenant. Raises Unauthorized, StoreUnavailable."""
        tenant, digest = self._tenants.named(token)
        expires_s = self._keys.now_ms() // 1000 + SESSION_S
        return signer(self._keys.to_sign(tenant), _SALT + digest).sign(f"{tenant}.{expires_s}").decode()

    def tenant(self, cookie: str) -> str | None:
        """Return who is signed in; None where nobody is. Raises StoreUnavailable."""
        if not _COOKIE.fullmatch(cookie):
            return None
        tenant = cookie.partition(".")[0]
        key = self._keys.to_verify(tenant)
        for digest in self._tenants.digests(tenant):
            try:
                _, expires = signer(key, _SALT + digest).unsign(cookie).decode().split(".")
            except (BadSignature, ValueError):
                continue
            return tenant if self._keys.now_ms() // 1000 < int(expires) else None
        return None


def new_form_mark() -> str:
    """Return what a new form is known again by."""
    return secrets.token_urlsafe(24)


def same_form(in_cookie: str, in_form: str) -> bool:
    """Return whether a form came back from the browser it was given to."""
    return bool(in_cookie) and compare_digest(in_cookie.encode("utf-8", "replace"), in_form.encode("utf-8", "replace"))

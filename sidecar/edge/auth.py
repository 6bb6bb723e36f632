"""Who is asking: a bearer token is a tenant, and nothing crosses tenants."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

from sidecar.errors import StartError, Unauthorized
from sidecar.parsing import MIN_TOKEN_LENGTH
from sidecar.settings import DEFAULT_TENANT

__all__ = ["Gate", "Tenants", "first_start_token"]


class Tenants:
    """The tenants by their tokens; the tokens themselves are not kept."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """Know the tenant of each of *tokens*."""
        self._digests = tuple((tenant, _digest(token)) for token, tenant in tokens.items())

    def of(self, authorization: str | None) -> str:
        """Return the tenant of an ``Authorization`` header. Raises Unauthorized."""
        return self._found(_given(authorization, "the token the sidecar was started with"))[0]

    def named(self, token: str) -> tuple[str, bytes]:
        """Return the tenant of *token*, and the token's digest. Raises Unauthorized."""
        return self._found(_digest(token.strip()))

    def _found(self, given: bytes) -> tuple[str, bytes]:
        found = None
        # All are compared, each in constant time: how long it takes tells nothing about any token.
        for tenant, digest in self._digests:
            if compare_digest(given, digest):
                found = tenant
        if found is None:
            raise Unauthorized("The token is not one of this sidecar's. Copy it again from where the sidecar keeps it.")
        return found, given

    def digests(self, tenant: str) -> tuple[bytes, ...]:
        """Return the digests of a tenant's tokens; none where there is no such tenant."""
        return tuple(digest for name, digest in self._digests if name == tenant)


class Gate:
    """Opens to one token, which is no tenant's; the token itself is not kept."""

    def __init__(self, token: str, variable: str) -> None:
        """Open to the *token* of a *variable*."""
        self._digest = _digest(token)
        self._variable = variable

    def let_in(self, authorization: str | None) -> None:
        """Pass whoever shows the token in an ``Authorization`` header. Raises Unauthorized."""
        if not compare_digest(_given(authorization, f"the token of {self._variable}"), self._digest):
            raise Unauthorized(f"This opens to the token of {self._variable} only; a tenant's does not open it.")


def first_start_token(data_dir: Path) -> tuple[Mapping[str, str], Path]:
    """Return the one tenant by the token kept in *data_dir*, made at the first start, and the file it stands in.

    The file appears whole or not at all, readable by its owner only, and is never replaced.

    Raises:
        StartError: The file can't be made or read, or others may read it.

    """
    path = data_dir / "token"
    try:
        if not path.exists():
            _create(path, secrets.token_urlsafe(32))
        if path.stat().st_mode & 0o077:
            raise StartError(f"Others may read {path}. Take that right away: chmod 600 {path}")
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(
            f"The token file {path} can't be used ({type(error).__name__}). Make it readable or remove it."
        ) from error
    if len(token) < MIN_TOKEN_LENGTH:
        raise StartError(f"The token in {path} is too short to be safe. Remove the file; the next start makes another.")
    return {token: DEFAULT_TENANT}, path


def _create(path: Path, token: str) -> None:
    """Write *token* to *path* unless somebody was faster."""
    draft = path.with_name(f".token-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def _given(authorization: str | None, which: str) -> bytes:
    """Return the digest of the token in an ``Authorization`` header. Raises Unauthorized, which says *which* to send."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized(f"Send the header Authorization: Bearer <token>, with {which}.")
    return _digest(token.strip())


def _digest(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogateescape")).digest()

"""What is signed, and by what: links to runs, by a random key of each tenant that every sidecar on the store shares.

Whoever removes that key, ``ens:{<tenant>}:console``, makes all links and sessions of the tenant worthless at once.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from dataclasses import dataclass

from itsdangerous import BadSignature, Signer

from ensemble.contract.problems import Fault
from sidecar.edge.auth import Tenants
from sidecar.errors import StoreDamaged, StoreUnavailable
from sidecar.store.connection import Client
from sidecar.store.faults import store_errors
from sidecar.store.keys import full_key

__all__ = ["CONSOLE_KEY", "LINK_S", "SIGNATURE", "BadLink", "ExpiredLink", "Keys", "Links", "Shared", "signer"]

CONSOLE_KEY = "console"
"""The tenant's key that holds what its links and sessions are signed with."""
LINK_S = 24 * 3600
"""How long a link opens its run, seconds since that was opened."""
REMEMBERED_S = 60.0
"""How long a process signs with a key without looking whether it is still the tenant's."""
_LINK_SALT = b"ensemble console: link"
SIGNATURE = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
"""32 bytes in base64, whose last letter has two bits to spare: one spelling of each, so that no changed one fits."""
_LINK = re.compile(rf"[A-Za-z0-9_-]{{1,64}}\.[0-9a-f]{{32}}\.[0-9]{{1,12}}\.{SIGNATURE}")
_KEY = re.compile(r"[0-9a-f]{64}")
_NOBODYS = secrets.token_bytes(32)
"""What is compared with where a tenant has no key: nothing fits, and it takes as long."""

log = logging.getLogger("sidecar.console")


class BadLink(Exception):  # noqa: N818 -- an answer to whoever opened it, not a failure of ours
    """Nobody here signed this link, or what it was signed with is gone."""


class ExpiredLink(BadLink):
    """Its day is over."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What a link opens."""

    tenant: str
    run_id: str
    expires_s: int
    """Unix seconds of the store."""


class Keys:
    """The tenants' keys; each is made when it is first signed with."""

    def __init__(self, redis: Client) -> None:
        self._redis = redis
        self._remembered: dict[str, tuple[float, bytes]] = {}

    def remembered(self, tenant: str) -> bytes:
        """Return the tenant's key, of a minute ago at most: what opens a run can't wait for the store. Raises as below."""
        until_s, key = self._remembered.get(tenant, (0.0, b""))
        return key if time.monotonic() < until_s else self.to_sign(tenant)

    def to_sign(self, tenant: str) -> bytes:
        """Return the tenant's key. Raises StoreUnavailable, StoreDamaged."""
        at = full_key(tenant, CONSOLE_KEY)
        with store_errors(self._redis, [at]):
            # One that is there stays: other workers and sidecars sign with it, too.
            self._redis.set(at, secrets.token_hex(32), nx=True)
            found = self._redis.get(at)
        if found is None:
            raise StoreUnavailable("The key that links are signed with went away as it was read; ask again.")
        key = _key(found)
        self._remembered[tenant] = time.monotonic() + REMEMBERED_S, key
        return key

    def to_verify(self, tenant: str) -> bytes:
        """Return the tenant's key as the store has it now. Raises StoreUnavailable, StoreDamaged."""
        at = full_key(tenant, CONSOLE_KEY)
        with store_errors(self._redis, [at]):
            found = self._redis.get(at)
        return _NOBODYS if found is None else _key(found)

    def now_ms(self) -> int:
        """Return the store's clock, unix milliseconds. Raises StoreUnavailable."""
        with store_errors():
            seconds, micros = self._redis.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _key(found: str) -> bytes:
    """Return what was found as a key; one that somebody else has written might be guessed. Raises StoreDamaged."""
    if not _KEY.fullmatch(found):
        fault = Fault(
            field=CONSOLE_KEY,
            problem="is no key of the sidecar's",
            fix="Delete it in the store; the next one is made by itself, and links and sessions from before end.",
        )
        raise StoreDamaged(f"The key {fault.field!r} {fault.problem}. {fault.fix}", fault)
    return found.encode()


class Links:
    """Links to runs, made as runs are opened."""

    def __init__(self, keys: Keys, tenants: Tenants, public_url: str) -> None:
        """Let links begin with *public_url*; they open runs of *tenants* only."""
        self._keys = keys
        self._tenants = tenants
        self._public_url = public_url

    def url(self, tenant: str, run_id: str, now_ms: int) -> str | None:
        """Return a link to a run; None where the store has no key to sign with: the run goes on without."""
        try:
            key = self._keys.remembered(tenant)
        except (StoreUnavailable, StoreDamaged) as error:
            log.warning("A run was opened without a link to it: %s", error.detail, extra={"run_id": run_id})
            return None
        value = f"{tenant}.{run_id}.{now_ms // 1000 + LINK_S}"
        return f"{self._public_url}/console/shared/{signer(key, _LINK_SALT).sign(value).decode()}"

    def opened(self, token: str) -> Shared:
        """Return what a link opens.

        Raises:
            BadLink: It is none of ours.
            ExpiredLink: It was.
            StoreUnavailable: The store has to be asked, and does not answer.
            StoreDamaged: What it holds is no key.

        """
        if not _LINK.fullmatch(token):  # base64 is read past letters that are none of its own
            raise BadLink
        # A tenant nobody knows is looked up like any other: how long it takes tells no names.
        key = self._keys.to_verify(token.partition(".")[0])
        try:
            tenant, run_id, expires = signer(key, _LINK_SALT).unsign(token).decode().split(".")
        except (BadSignature, ValueError) as error:
            raise BadLink from error
        if not self._tenants.digests(tenant):
            raise BadLink
        if self._keys.now_ms() // 1000 >= int(expires):
            raise ExpiredLink
        return Shared(tenant, run_id, int(expires))


def signer(key: bytes, salt: bytes) -> Signer:
    """Return what signs and verifies for one purpose, in constant time: what was signed for another does not fit."""
    return Signer(key, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)

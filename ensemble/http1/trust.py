"""Whose word is taken on who a server is: the system's authorities, and others that a setting of ours names."""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from functools import lru_cache

__all__ = ["CertificatesError", "certificates_in", "trust"]

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)
_LONGEST = 512 * 1024


class CertificatesError(ValueError):
    """The text holds no certificates that could be trusted; the message is the rest of a sentence and quotes nothing."""


def certificates_in(text: str) -> bytes:
    """Return the certificates in a PEM *text*, one after the other, as they are trusted; nothing for an empty text.

    A form of one line takes the line breaks out of what is pasted, so they count for nothing.

    Raises:
        CertificatesError: there is none, or one is damaged.

    """
    if not text.strip():
        return b""
    if len(text) > _LONGEST:
        raise CertificatesError(f"holds {len(text):,} characters; at most {_LONGEST:,} are taken")
    found = [_decoded(body, number) for number, body in enumerate(_CERTIFICATE.findall(text), start=1)]
    if not found:
        raise CertificatesError("holds no certificate")
    if text.count("-----BEGIN CERTIFICATE-----") > len(found):
        raise CertificatesError("ends before its last certificate does")
    return b"".join(found)


def _decoded(body: str, number: int) -> bytes:
    try:
        raw = base64.b64decode("".join(body.split()), validate=True)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=raw)
    except (binascii.Error, ValueError, ssl.SSLError):
        raise CertificatesError(f"holds a certificate that is damaged, the {number}. of it") from None
    return raw


@lru_cache(maxsize=64)
def trust(certificates: bytes = b"") -> ssl.SSLContext:
    """Return the system's certificates, and *certificates* besides; loading them takes milliseconds."""
    context = ssl.create_default_context()
    if certificates:
        context.load_verify_locations(cadata=certificates)
        # Whoever trusts one certificate of a chain need not have the ones above it.
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context

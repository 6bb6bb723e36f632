"""Certificates of one's own: read however they were pasted, refused in words, trusted besides the system's."""

from __future__ import annotations

import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from ensemble.http1.trust import CertificatesError, certificates_in, trust
from tests.ensemble.http1.serving import certificates

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def pem() -> str:
    """Return the text of an authority nobody else knows."""
    return trustme.CA().cert_pem.bytes().decode()


def test_nothing_is_nothing() -> None:
    """The system's alone are trusted then."""
    assert certificates_in("") == certificates_in(" \n") == b""


def test_line_breaks_count_for_nothing() -> None:
    """A form of one line takes them out of what is pasted, or makes spaces of them; some systems write two characters."""
    text = pem()
    read = certificates_in(text)

    assert read == ssl.PEM_cert_to_DER_cert(text)
    for pasted in (
        text.replace("\n", ""),
        text.replace("\n", " "),
        text.replace("\n", "\r\n"),
        f"\ufeff# mine\n{text}",
    ):
        assert certificates_in(pasted) == read


def test_several_are_all_trusted() -> None:
    """With what stands between them, and the same one twice."""
    one, other = pem(), pem()
    read = certificates_in(f"{one}\nSubject: another\n{other}{one}")

    assert len(trust(read).get_ca_certs()) == len(trust().get_ca_certs()) + 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trust me", "holds no certificate"),
        ("-----BEGIN PRIVATE KEY-----MIIE-----END PRIVATE KEY-----", "holds no certificate"),
        (f"{BEGIN}MIIB", "holds no certificate"),
        (f"{BEGIN}{END}", "a certificate that is damaged, the 1. of it"),
        (f"{BEGIN}app-secret{END}", "a certificate that is damaged, the 1. of it"),
        (f"{BEGIN}QUJD{END}", "a certificate that is damaged, the 1. of it"),
        ("x" * 600_000, "at most 524,288 are taken"),
    ],
)
def test_what_holds_no_certificate_is_told_in_words(text: str, words: str) -> None:
    """Which never quote it: somebody may have pasted a key."""
    with pytest.raises(CertificatesError) as refused:
        certificates_in(text)

    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_one_that_was_cut_off_is_told() -> None:
    """The first alone would be trusted in silence, and the server of the second refused."""
    text = pem() + pem()[:-40]
    with pytest.raises(CertificatesError, match="ends before its last certificate does"):
        certificates_in(text)
    with pytest.raises(CertificatesError, match="damaged, the 2"):
        certificates_in(pem() + f"{BEGIN}QUJD{END}")


@given(st.lists(st.sampled_from([BEGIN, END, "QUJD", "\n", " ", "=", "é"]), max_size=12).map("".join))
def test_no_text_is_more_than_refused(text: str) -> None:
    """Whatever was pasted; none of these texts holds a certificate."""
    if text.strip():
        with pytest.raises(CertificatesError) as refused:
            certificates_in(text)
        assert "QUJD" not in str(refused.value)


def test_contexts_are_made_once() -> None:
    """Loading the system's certificates takes longer than a call."""
    own = certificates_in(certificates())

    assert trust(own) is trust(own)
    assert trust(own) is not trust()
    assert trust(own).verify_mode is ssl.CERT_REQUIRED
    assert trust(own).check_hostname

"""What the saved credentials mean, and what is said where they mean nothing."""

from typing import Any

import pytest
import yaml

from ensemble.http1.passage import read_proxy
from ensemble.http1.trust import certificates_in
from plugin.credentials import FIELDS, Ceilings, Sidecar, read_credentials
from plugin.errors import BadCredentials
from tests.ensemble.http1.serving import certificates

A = "app-" + "A" * 24


def test_nothing_at_all_is_local_mode_without_agents() -> None:
    """Every field may be left out, be None or empty."""
    for raw in ({}, dict.fromkeys(FIELDS), dict.fromkeys(FIELDS, " ")):
        credentials = read_credentials(raw)

        assert credentials.sidecar is None
        assert credentials.app_keys == ()
        assert credentials.ceilings == Ceilings(host_parallel=8)


def test_everything_filled_in() -> None:
    """Addresses are brought into one form, numbers may be grouped."""
    credentials = read_credentials(
        {
            "sidecar_url": " HTTP://Ensemble:80/v1/ ",
            "sidecar_token": " secret ",
            "dify_base_url": "http://api:5001",
            "app_keys": f"market = {A}, far = app-{'B' * 24} @ https://far.example/v1",
            "max_parallel": "16",
            "host_parallel": 4,
            "max_calls": "1,000",
            "max_tokens": "2 000 000",
            "max_seconds": "3_600",
            "max_agents": "12",
        }
    )

    assert credentials.sidecar == Sidecar(url="http://ensemble", token="secret")
    assert [(app.name, app.base_url) for app in credentials.app_keys] == [
        ("market", "http://api:5001/v1"),
        ("far", "https://far.example/v1"),
    ]
    assert credentials.ceilings == Ceilings(
        max_parallel=16, host_parallel=4, max_calls=1000, max_tokens=2_000_000, max_seconds=3600, max_agents=12
    )
    assert "secret" not in repr(credentials)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"sidecar_url": "http://s"}, "Sidecar token: is empty, but there is a URL."),
        ({"sidecar_token": "t"}, "Sidecar URL: is empty, but there is a token."),
        ({"sidecar_url": "sidecar:8787", "sidecar_token": "t"}, "Sidecar URL: does not begin with http"),
        ({"sidecar_url": "http://u:pw@s", "sidecar_token": "t"}, "Sidecar URL: carries a user name or password"),
        ({"sidecar_url": "http://s?x=1", "sidecar_token": "t"}, "Sidecar URL: has something after its path"),
        ({"sidecar_url": "http://[s", "sidecar_token": "t"}, "Sidecar URL: is not an address"),
        ({"sidecar_url": "http://:80", "sidecar_token": "t"}, "Sidecar URL: has no host"),
        ({"sidecar_url": "http://s", "sidecar_token": "to ken"}, "Sidecar token: holds a space"),
        ({"sidecar_url": "http://s", "sidecar_token": "to\nken"}, "Sidecar token: holds a space"),
        ({"app_keys": f"market = {A}"}, "Service API base URL: is empty, but it is the address of 'market'."),
        ({"dify_base_url": "api:5001"}, "Service API base URL: can't be used."),
        ({"dify_base_url": f"http://api/{A}"}, "Service API base URL: can't be used."),
        ({"max_calls": "0"}, "Calls per run: is not a number it can be."),
        ({"max_calls": "many"}, "Calls per run: is not a number it can be."),
        ({"max_calls": "1,5"}, "Calls per run: is not a number it can be."),
        ({"max_calls": "-1"}, "Calls per run: is not a number it can be."),
        ({"host_parallel": "1001"}, "Calls at one time, per Dify: is not a number it can be."),
        ({"ca_certificates": "AAAA"}, "CA certificates: holds no certificate. Paste them whole"),
        (
            {"ca_certificates": "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"},
            "CA certificates: holds a cert",
        ),
        ({"proxy_url": "proxy:3128"}, "Proxy URL: does not begin with http://. Write it like http://user"),
        ({"proxy_url": "https://u:pw@proxy:3128"}, "Proxy URL: does not begin with http://."),
        ({"proxy_url": "http://u:pw@:3128"}, "Proxy URL: is not an address."),
        ({"max_agents": "none"}, "Agents per run: is not a number it can be."),
        ({"max_tokens": "9" * 5000}, "Tokens per run: is not a number it can be."),
    ],
)
def test_a_fault_names_its_field_and_shows_no_secret(raw: dict[str, Any], said: str) -> None:
    """The fields are named as the form names them."""
    with pytest.raises(BadCredentials) as caught:
        read_credentials(raw)

    assert said in str(caught.value)
    assert "AAAA" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_certificates_are_for_all_and_a_proxy_is_not_for_the_sidecar() -> None:
    """Which stands beside the plugin; every app's key knows the way."""
    pem = certificates().replace("\n", "")
    saved = read_credentials(
        {
            "sidecar_url": "https://s.example",
            "sidecar_token": "t",
            "app_keys": f"near = {A} @ http://api:5001, far = {A} @ https://dify.example",
            "ca_certificates": pem,
            "proxy_url": "http://user:s3cret@proxy.example:3128",
        }
    )

    assert saved.sidecar is not None
    assert saved.sidecar.certificates == saved.passage.certificates == certificates_in(pem)
    assert saved.passage.proxy == read_proxy("http://user:s3cret@proxy.example:3128")
    assert {app.passage for app in saved.app_keys} == {saved.passage}
    assert "s3cret" not in repr(saved)


def test_all_faults_are_told_at_once() -> None:
    """Nobody has to save five times to hear of five mistakes."""
    with pytest.raises(BadCredentials) as caught:
        read_credentials({"sidecar_url": "x", "dify_base_url": "y", "app_keys": "z", "max_calls": "0"})

    assert len(str(caught.value).splitlines()) == 5


def test_fields_are_called_what_the_form_calls_them() -> None:
    """A message that names a field leads to the field."""
    with open("provider/ensemble.yaml", encoding="utf-8") as file:  # noqa: PTH123 - the test runs in the root
        form = yaml.safe_load(file)["credentials_for_provider"]

    assert set(form) == set(FIELDS)
    for name, field in form.items():
        with pytest.raises(BadCredentials) as caught:
            read_credentials({"sidecar_url": "?"} | {name: "?" if name != "sidecar_token" else "? ?"})
        assert f"{field['label']['en_US']}: " in str(caught.value)

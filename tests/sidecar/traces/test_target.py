"""The two settings of traces: what is made of them, and that a secret in them is never shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.settings import BadSettingError, Settings
from sidecar.traces.target import read_endpoint, read_headers

SECRET = "hush-hush"


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("http://collector:4318/v1/traces", "http://collector:4318/v1/traces"),
        ("http://collector:4318/v1/traces/", "http://collector:4318/v1/traces"),
        ("https://cloud.example/api/public/otel", "https://cloud.example/api/public/otel/v1/traces"),
        ("HTTPS://[::1]:4318", "HTTPS://[::1]:4318/v1/traces"),
        ("http://collector/v1/tracesome", "http://collector/v1/tracesome/v1/traces"),
    ],
)
def test_the_path_of_traces_is_put_behind_an_address_that_lacks_it(written: str, endpoint: str) -> None:
    """Once."""
    assert read_endpoint(written) == endpoint
    assert read_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("collector:4318", "such as http://collector:4318"),
        ("grpc://collector:4317", "such as http://collector:4318"),
        ("http://", "such as http://collector:4318"),
        ("http://collector:99999", "such as http://collector:4318"),
        ("http://[::1", "such as http://collector:4318"),
        (f"http://me:{SECRET}@collector:4318", "ENSEMBLE_OTLP_HEADERS"),
        (f"http://collector:4318?key={SECRET}", "no more than scheme, host, port and path"),
        (f"http://collector:4318/#{SECRET}", "no more than scheme, host, port and path"),
        ("http://collector:4318/a b", "no more than scheme, host, port and path"),
        ("http://collector:4318/spür", "no more than scheme, host, port and path"),
    ],
)
def test_an_address_that_is_none_is_an_error_with_the_fix(written: str, says: str) -> None:
    """And shows no password."""
    with pytest.raises(BadSettingError, match=says) as caught:
        Settings.from_environment({"ENSEMBLE_OTLP_ENDPOINT": written})

    assert SECRET not in str(caught.value)


@given(
    st.dictionaries(
        st.from_regex(r"x-[a-z]{1,9}", fullmatch=True),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
        min_size=1,
        max_size=5,
    )
)
def test_any_value_can_be_written(fields: dict[str, str]) -> None:
    """Percent-encoded, as OTLP has it."""
    written = " , ".join(f"{name} = {quote(value, safe='')}" for name, value in fields.items())

    assert read_headers(written) == fields


@pytest.mark.parametrize(
    ("written", "fields"),
    [
        ("Authorization=Basic%20cGs6c2s=", {"Authorization": "Basic cGs6c2s="}),
        ("a=1,b=x%2Cy,c=%25", {"a": "1", "b": "x,y", "c": "%"}),
        ("a=b c", {"a": "b c"}),
    ],
)
def test_header_fields_are_read_as_they_are_meant(written: str, fields: dict[str, str]) -> None:
    """An equals sign belongs to the value but for the first."""
    assert read_headers(written) == fields


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (SECRET, "Entry 1 is not name=value"),
        (f"a=1,{SECRET}", "Entry 2 is not name=value. Write a comma within a value as %2C"),
        (f"a={SECRET},", "Entry 2"),
        ("a=", "value of entry 1"),
        (f"a={SECRET}%0D%0Ax:y", "value of entry 1"),
        (f"a={SECRET}%C3%BC", "value of entry 1"),
        (f"a={SECRET}%FF", "value of entry 1"),
        (f"a={SECRET * 1000}", "value of entry 1"),
        (f"a b={SECRET}", "Entry 1"),
        (f"{SECRET}=", "value of entry 1"),
        (f"a={SECRET},A={SECRET}", "Entry 2 has the name of one before"),
        (f"content-type={SECRET}", "Entry 1 is a field that the sidecar sets"),
        (f"Host={SECRET}", "Entry 1 is a field that the sidecar sets"),
        (",".join(f"a{number}={SECRET}" for number in range(33)), "at most 32"),
    ],
)
def test_header_fields_that_are_none_are_an_error_that_shows_no_value(written: str, says: str) -> None:
    """It names the entry and the fix."""
    with pytest.raises(BadSettingError, match=says) as caught:
        Settings.from_environment({"ENSEMBLE_OTLP_HEADERS": written})

    assert SECRET not in str(caught.value)


def test_header_fields_do_not_show_in_the_settings_own_text() -> None:
    """They may be keys."""
    chosen = Settings.from_environment({"ENSEMBLE_OTLP_HEADERS": f"x-key={SECRET}"})

    assert chosen.otlp_headers == {"x-key": SECRET}
    assert SECRET not in repr(chosen)

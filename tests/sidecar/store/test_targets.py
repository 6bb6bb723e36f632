"""Where the store is, as its URL says; and what a URL that says nothing of the kind is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.settings import BadSettingError, Settings
from sidecar.store.targets import BadTargetError, Target, read_target


@pytest.mark.parametrize(("url", "expected"), [
    ("redis://h:6379/0", {"kind": "one", "tls": False}),
    ("rediss://:secret@h/2", {"kind": "one", "tls": True}),
    ("unix:///run/redis.sock", {"kind": "one"}),
    ("redis+sentinel://a,b:7/ours", {"kind": "sentinel", "hosts": (("a", 26379), ("b", 7)), "service": "ours"}),
    ("redis+sentinel://u:p%40ss@[::1]:1/ours/3?sentinel_password=s", {
        "hosts": (("::1", 1),), "service": "ours", "database": 3, "username": "u", "password": "p@ss",
        "sentinel_password": "s"}),
    ("rediss+cluster://:p@a:1,b/0", {
        "kind": "cluster", "tls": True, "hosts": (("a", 1), ("b", 6379)), "username": None, "password": "p"}),
])  # fmt: skip
def test_what_a_url_says(url: str, expected: dict[str, object]) -> None:
    target = read_target(url)

    assert {name: getattr(target, name) for name in expected} == expected
    assert target.url == url


@pytest.mark.parametrize(("url", "told"), [
    ("localhost:6379", "Write redis://host:6379/0"),
    ("redis://", "names no server"),
    ("redis://h:port/0", "names no server"),
    ("http://a/b", "Write redis://host"),
    ("redis+sentinel://a:1", "what the Sentinels call the primary"),
    ("redis+sentinel://a:99999/ours", "no host where one should stand"),
    ("redis+sentinel://:secret@/ours", "no host where one should stand"),
    ("redis+sentinel://a,,b/ours", "no host where one should stand"),
    ("redis+sentinel://a/ours/x", "the number of a database"),
    ("redis+sentinel://a/ours?db=3", "It asks for db"),
    ("redis+cluster://a/3", "no other"),
    ("redis+cluster://:secret@a?ssl=yes", "It asks for ssl"),
])  # fmt: skip
def test_a_url_that_can_t_be_used_says_how_to_write_it_and_no_password(url: str, told: str) -> None:
    with pytest.raises(BadSettingError) as refused:
        Settings.from_environment({"ENSEMBLE_REDIS_URL": url})

    assert str(refused.value).startswith("ENSEMBLE_REDIS_URL: ")
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_no_password_is_shown_where_a_target_is() -> None:
    assert "secret" not in repr(read_target("redis+sentinel://u:secret@a/ours?sentinel_password=secret"))


@given(st.text(max_size=40), st.sampled_from(["redis", "redis+sentinel", "rediss+cluster", "unix", "x", ""]))
def test_any_text_is_a_target_or_refused(text: str, scheme: str) -> None:
    try:
        found: object = read_target(f"{scheme}://{text}")
    except BadTargetError as error:
        found = str(error)
    assert isinstance(found, Target | str)

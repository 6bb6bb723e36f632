"""Settings: defaults, bad values, and the table in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sidecar.edge.auth import Tenants
from sidecar.settings import BadSettingError, Durability, Settings, files, table, unknown
from tests.pages import code, page, rows


def test_without_any_variable_there_is_a_safe_default_for_each() -> None:
    """Nothing set: loopback, the sidecar's own store, a token made at the first start."""
    chosen = Settings.from_environment({})

    assert (chosen.host, chosen.port, chosen.redis_url, chosen.tokens) == ("127.0.0.1", 8787, None, None)
    assert (chosen.workers, chosen.threads, chosen.max_body_bytes) == (2, 8, 32 * 2**20)
    assert chosen.data_dir.is_absolute()


def test_every_variable_is_read_and_an_empty_one_counts_as_not_set() -> None:
    """Values arrive typed."""
    chosen = Settings.from_environment(
        {
            "ENSEMBLE_REDIS_URL": "rediss://cache:6380/2",
            "ENSEMBLE_HOST": "0.0.0.0",
            "ENSEMBLE_PORT": "0",
            "ENSEMBLE_WORKERS": "",
            "ENSEMBLE_THREADS": "3",
            "ENSEMBLE_DATA_DIR": "/var/lib/ensemble",
            "ENSEMBLE_TOKENS": "a=aaaaaaaaaaaaaaaa==, b=bbbbbbbbbbbbbbbbbb",
            "ENSEMBLE_DURABILITY": "strict",
            "ENSEMBLE_MAX_BODY_BYTES": "2048",
            "ENSEMBLE_LOG_LEVEL": "debug",
        }
    )

    assert (chosen.redis_url, chosen.host, chosen.port) == ("rediss://cache:6380/2", "0.0.0.0", 0)
    assert (chosen.workers, chosen.threads, chosen.data_dir) == (2, 3, Path("/var/lib/ensemble"))
    assert chosen.tokens == {"aaaaaaaaaaaaaaaa==": "a", "bbbbbbbbbbbbbbbbbb": "b"}
    assert (chosen.durability, chosen.max_body_bytes, chosen.log_level) == (Durability.STRICT, 2048, "DEBUG")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ENSEMBLE_REDIS_URL", "localhost:6379", "redis://host:6379/0"),
        ("ENSEMBLE_REDIS_URL", "redis://", "names no server"),
        ("ENSEMBLE_PORT", "65536", "from 0 to 65535"),
        ("ENSEMBLE_PORT", "-1", "from 0 to 65535"),
        ("ENSEMBLE_PORT", "tcp://10.0.0.1:8787", "Kubernetes .* enableServiceLinks: false .* another name"),
        ("ENSEMBLE_WORKERS", "two", "from 1 to 64"),
        ("ENSEMBLE_THREADS", "0", "from 1 to 256"),
        ("ENSEMBLE_TOKENS", "justasecretwithoutaname", "Entry 1 is not name=token"),
        ("ENSEMBLE_TOKENS", "a=short", "16-512"),
        ("ENSEMBLE_TOKENS", "a=aaaaaaaaaaaaaaaa,a=bbbbbbbbbbbbbbbb,a=cccccccccccccccc", "stands 3 times"),
        ("ENSEMBLE_TOKENS", "a=aaaaaaaaaaaaaaaa,b=aaaaaaaaaaaaaaaa", "same token as another"),
        ("ENSEMBLE_TOKENS", "a=aaaaaaaaaaaaaaaa,a=aaaaaaaaaaaaaaaa", "same token as itself"),
        ("ENSEMBLE_TOKENS_FILE", "/nowhere/at/all", "can't be read: No such file"),
        ("ENSEMBLE_TOKENS_FILE", "/", "can't be read: Is a directory"),
        ("ENSEMBLE_TOKENS", "{a}=aaaaaaaaaaaaaaaa", "Entry 1"),
        ("ENSEMBLE_METRICS_TOKEN", "short", "16-512"),
        ("ENSEMBLE_METRICS_TOKEN", "sixteen letters, but spaces", "visible ASCII"),
        ("ENSEMBLE_METRICS_TOKEN", "x" * 513, "16-512"),
        ("ENSEMBLE_DURABILITY", "always", "everysec or strict"),
        ("ENSEMBLE_MAX_BODY_BYTES", "1e6", "from 1024"),
        ("ENSEMBLE_STORE_MEMORY", "512 mb", "512mb or 4gb"),
        ("ENSEMBLE_PUBLIC_URL", "ops.example", "such as https://ops.example"),
        ("ENSEMBLE_PUBLIC_URL", "ftp://ops.example", "such as https://ops.example"),
        ("ENSEMBLE_PUBLIC_URL", "https://", "such as https://ops.example"),
        ("ENSEMBLE_PUBLIC_URL", "https://me:secret@ops.example", "without a user"),
        ("ENSEMBLE_PUBLIC_URL", "https://ops.example/?a=b", "without a user"),
        ("ENSEMBLE_PUBLIC_URL", "https://ops.example/#top", "without a user"),
        ("ENSEMBLE_PUBLIC_URL", "https://ops.example/a b", "without a user"),
        ("ENSEMBLE_PUBLIC_URL", "https://ops.example:none", "without a user"),
        ("ENSEMBLE_PUBLIC_URL", "https://ops.example:99999", "without a user"),
        ("ENSEMBLE_PUBLIC_URL", "https://[::1", "without a user"),
        ("ENSEMBLE_STORE_MEMORY", "1mb", "16mb is the least"),
        ("ENSEMBLE_STORE_MEMORY", "-1", "number of bytes"),
        ("ENSEMBLE_LOG_LEVEL", "loud", "debug, info"),
        ("ENSEMBLE_OTLP_ENDPOINT", "collector:4318", "http://collector:4318"),
        ("ENSEMBLE_OTLP_HEADERS", "a key", "Entry 1 is not name=value"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable_and_the_fix(variable: str, value: str, says: str) -> None:
    """Nothing starts on a guess."""
    with pytest.raises(BadSettingError, match=says) as caught:
        Settings.from_environment({variable: value})

    assert str(caught.value).startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://ops.example", "https://ops.example"),
        ("https://ops.example/", "https://ops.example"),
        ("https://ops.example/some/folder/", "https://ops.example/some/folder"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://[::1]:8787/e", "http://[::1]:8787/e"),
        ("", None),
    ],
)
def test_links_begin_with_the_public_url_without_its_last_slash(written: str, read: str | None) -> None:
    """A path before the sidecar's own is kept."""
    assert Settings.from_environment({"ENSEMBLE_PUBLIC_URL": written}).public_url == read


def test_no_token_is_ever_shown() -> None:
    """Neither in an error nor in the settings' own text."""
    with pytest.raises(BadSettingError) as caught:
        Settings.from_environment({"ENSEMBLE_TOKENS": "a=hush-hush-hush-hush,b=hush-hush-hush-hush"})
    good = Settings.from_environment(
        {"ENSEMBLE_TOKENS": "a=hush-hush-hush-hush", "ENSEMBLE_METRICS_TOKEN": "hush-hush-metrics"}
    )

    assert good.metrics_token == "hush-hush-metrics"
    assert "hush" not in str(caught.value) + repr(good)


@pytest.mark.parametrize("variable", ["ENSEMBLE_TOKENS", "ENSEMBLE_TOKENS_FILE"])
def test_the_token_of_the_metrics_is_no_tenant_s(tmp_path: Path, variable: str) -> None:
    """Wherever theirs come from; it is named by whose it is, not shown."""
    tokens = "a=aaaaaaaaaaaaaaaa,b=hush-hush-hush-hush"
    file = tmp_path / "tokens"
    file.write_text(tokens)
    given = {"ENSEMBLE_TOKENS": tokens, "ENSEMBLE_TOKENS_FILE": str(file)}[variable]
    with pytest.raises(BadSettingError, match=r"^ENSEMBLE_METRICS_TOKEN: .*'b'") as caught:
        Settings.from_environment({variable: given, "ENSEMBLE_METRICS_TOKEN": "hush-hush-hush-hush"})

    assert "hush" not in str(caught.value)
    assert Settings.from_environment({variable: given, "ENSEMBLE_METRICS_TOKEN": "x" * 16}).metrics_token == "x" * 16


@pytest.mark.parametrize(
    ("written", "size"), [("16777216", 2**24), ("20480kb", 20 * 2**20), ("512MB", 2**29), ("4gb", 2**32), ("", None)]
)
def test_the_memory_of_the_store_is_written_in_bytes_or_larger_units(written: str, size: int | None) -> None:
    """Units as Redis has them: a kb is 1,024 bytes."""
    assert Settings.from_environment({"ENSEMBLE_STORE_MEMORY": written}).store_memory == size


def test_a_tenant_has_two_tokens_while_one_is_changed_for_the_other() -> None:
    """Old and new are good, so nobody is locked out between."""
    chosen = Settings.from_environment(
        {"ENSEMBLE_TOKENS": "a=old-old-old-old-old,b=bbbbbbbbbbbbbbbb,a=new-new-new-new-new"}
    )
    assert chosen.tokens is not None
    tenants = Tenants(chosen.tokens)

    assert [tenants.of(f"Bearer {token}") for token in ("old-" * 4 + "old", "new-" * 4 + "new")] == ["a", "a"]
    assert tenants.of("Bearer bbbbbbbbbbbbbbbb") == "b"


def test_tokens_may_stand_in_a_file(tmp_path: Path) -> None:
    """As Docker and Kubernetes hand secrets out: with a line break at the end, a tenant a line or in one line."""
    file = tmp_path / "tokens"
    for written in (
        "a=aaaaaaaaaaaaaaaa\nb=bbbbbbbbbbbbbbbb\n",
        "a=aaaaaaaaaaaaaaaa,b=bbbbbbbbbbbbbbbb",
        "\r\na=aaaaaaaaaaaaaaaa\r\n\r\n  b=bbbbbbbbbbbbbbbb\r\n",
    ):
        file.write_text(written)
        chosen = Settings.from_environment({"ENSEMBLE_TOKENS_FILE": str(file)})
        assert chosen.tokens == {"aaaaaaaaaaaaaaaa": "a", "bbbbbbbbbbbbbbbb": "b"}


@pytest.mark.parametrize(
    ("written", "more", "says"),
    [
        (b"", {}, "Entry 1"),
        (b"hush-hush-hush-hush\n", {}, "Entry 1"),
        (b"\xff\xfe", {}, "no text"),
        (b"a=hush-hush-hush-hush", {"ENSEMBLE_TOKENS": "a=hush-hush-hush-hush"}, "Set one of them"),
    ],
)
def test_a_bad_file_of_tokens_is_an_error_that_shows_none(
    tmp_path: Path, written: bytes, more: dict[str, str], says: str
) -> None:
    """And names the variable."""
    file = tmp_path / "tokens"
    file.write_bytes(written)
    with pytest.raises(BadSettingError, match=f"^ENSEMBLE_TOKENS_FILE: .*{says}") as caught:
        Settings.from_environment({"ENSEMBLE_TOKENS_FILE": str(file)} | more)

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "secret", "bad"),
    [
        ("ENSEMBLE_REDIS_URL", "rediss://:hush-hush@cache:6380/2", "hush-hush@cache"),
        ("ENSEMBLE_TOKENS", "a=hush-hush-hush-hush", "a=hush"),
        ("ENSEMBLE_METRICS_TOKEN", "hush-hush-hush-hush", "hush"),
        ("ENSEMBLE_OTLP_HEADERS", "key=hush-hush", "hush"),
    ],
)
def test_every_secret_may_stand_in_a_file(tmp_path: Path, variable: str, secret: str, bad: str) -> None:
    """The same as in the variable, never shown; what can't be used, or stands in both, names the variable."""
    file = tmp_path / "secret"
    file.write_text(f"{secret}\n")
    by_file = Settings.from_environment({f"{variable}_FILE": str(file)})
    by_variable = Settings.from_environment({variable: secret})
    name = variable.removeprefix("ENSEMBLE_").lower()

    assert getattr(by_file, name) == getattr(by_variable, name) != getattr(Settings.from_environment({}), name)
    assert "hush" not in repr(by_file)
    assert unknown({f"{variable}_FILE": str(file)}) == []
    for written, more in ((bad, {}), ("", {}), (secret, {variable: secret})):
        file.write_text(written)
        with pytest.raises(BadSettingError, match=f"^{variable}_FILE: ") as caught:
            Settings.from_environment({f"{variable}_FILE": str(file)} | more)
        assert "hush" not in str(caught.value)


def test_what_is_no_secret_is_read_from_no_file() -> None:
    """A variable nobody reads is told."""
    (said,) = unknown({"ENSEMBLE_PORT_FILE": "/run/port"})

    assert "ENSEMBLE_PORT_FILE is no setting" in said


def test_a_variable_nobody_knows_is_told_with_its_near_match() -> None:
    """A typo must not pass for a default."""
    (said,) = unknown({"ENSEMBLE_REDIS_URI": "redis://x", "ENSEMBLE_PORT": "1", "PATH": "/bin"})

    assert "ENSEMBLE_REDIS_URI" in said
    assert "ENSEMBLE_REDIS_URL" in said


def test_what_kubernetes_tells_of_services_is_no_typo() -> None:
    """A pod is told of each Service by seven variables, whatever it is called."""
    told = {
        "ENSEMBLE_SERVICE_HOST": "10.0.0.1",
        "ENSEMBLE_SERVICE_PORT": "8787",
        "ENSEMBLE_SERVICE_PORT_HTTP": "8787",
        "ENSEMBLE_SIDECAR_SERVICE_HOST": "10.0.0.1",
        "ENSEMBLE_SIDECAR_PORT": "tcp://10.0.0.1:8787",
        "ENSEMBLE_PORT_8787_TCP": "tcp://10.0.0.1:8787",
        "ENSEMBLE_PORT_8787_TCP_PROTO": "tcp",
        "ENSEMBLE_PORT_8787_TCP_ADDR": "10.0.0.1",
    }

    assert unknown(told) == []
    assert unknown({"ENSEMBLE_PORTS": "1"})


def test_the_documentation_shows_the_same_table() -> None:
    """docs/settings.md and the code tell the same variables, defaults and meanings, in order."""
    expected = [[f"`{name}`", f"`{default}`" if default else "", meaning] for name, default, meaning in table()]
    assert rows(page("settings.md"), "Variable", "Default", "Meaning") == expected


def test_the_bounds_told_are_those_that_hold() -> None:
    """Both ends are taken, and nothing beyond them; no number is left out."""
    told = {code(name)[0]: ends for name, *ends in rows(page("settings.md"), "Variable", "At least")}
    assert {*told} == {name for name, default, _ in table() if default.isdigit()} | {"ENSEMBLE_STORE_MEMORY"}
    for name, ends in told.items():
        for end, further in zip(ends, (-1, 1), strict=True):
            number, unit = re.fullmatch(r"(\d+)(\w*)", end).groups()  # type: ignore[union-attr]
            Settings.from_environment({name: end})
            with pytest.raises(BadSettingError, match=name):
                Settings.from_environment({name: f"{int(number) + further}{unit}"})


def test_the_documentation_names_every_file() -> None:
    """And no other."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")

    assert re.findall(r"`(ENSEMBLE_\w+_FILE)`", page) == files()

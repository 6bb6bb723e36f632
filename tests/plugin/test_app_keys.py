"""How the one line of app keys is read."""

import string
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plugin.app_keys import read_app_keys

A, B, C = (f"app-{letter * 24}" for letter in "ABC")


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        (" ,;\n ", []),
        (f"market={A}", [("market", A, None)]),
        (f"market = {A}, tech = {B}", [("market", A, None), ("tech", B, None)]),
        (f"market = {A};tech={B};", [("market", A, None), ("tech", B, None)]),
        (f"market = {A}\ntech = {B}\n", [("market", A, None), ("tech", B, None)]),
        (f"market = {A}tech = {B}", [("market", A, None), ("tech", B, None)]),
        (f"market = {A} tech = {B}", [("market", A, None), ("tech", B, None)]),
        (f"market = {A} @ https://two.example/v1tech = {B}", [("market", A, "https://two.example/v1"), ("tech", B, None)]),
        (f"market = {A}@https://two.example/v1/tech = {B}", [("market", A, "https://two.example/v1"), ("tech", B, None)]),
        (f"market = {A} @ https://two.example, tech = {B}", [("market", A, "https://two.example/v1"), ("tech", B, None)]),
        (f"market = {A} @ http://two.example:80/v1 tech = {B}", [("market", A, "http://two.example/v1"), ("tech", B, None)]),
        (f"市场 = {A}, Q3 data.v-1 = {B}", [("市场", A, None), ("Q3 data.v-1", B, None)]),
        (f"whatsapp-bot = {A}", [("whatsapp-bot", A, None)]),
    ],
)  # fmt: skip
def test_entries_are_told_apart_by_their_own_shape(text: str, entries: list[tuple[str, str, str | None]]) -> None:
    """With separators or without any, since Dify's form drops the line breaks."""
    read, faults = read_app_keys(text)

    assert [(entry.name, entry.key, entry.base_url) for entry in read] == entries
    assert faults == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"market = {A}, Market = {B}", "'Market' and 'market' differ by case only"),
        (f"market = {A}, market = {B}", "'market' is there twice"),
        (f"m = {A}, m = {B}", "'m' is there twice"),
        (f"m = {A}, M = {B}", "'M' and 'm' differ by case only"),
        (f"市 = {A}, 市 = {B}", "'市' is there twice"),
        (f"市场 = {A}, 市场 = {B}", "'市场' is there twice"),
        (f"Ärzte = {A}, ärzte = {B}", "'ärzte' and 'Ärzte' differ by case only"),
        (f"é = {A}, é = {B}", "'é' is there twice"),
        ("market = app-short", "'market': after = there is no complete key"),
        (f"market = {A}, tech", "after 'market': text is left over"),
        (f"market = {A} and some words", "after 'market': text is left over"),
        (f"market = {A}= {B}", "Is the key of 'market' complete?"),
        (f"market = {A[:-4]}tech = {B}", "Is the key of 'market' complete?"),
        (f"market = {A} {B}", "after 'market': a key stands where the next name was expected"),
        (f"{A} = market", "at the beginning: a key stands where"),
        (f"market = {A}, mar/ket = {B}", "after 'market': the next name is not usable"),
        (f"market = {A} @ ftp://two.example/v1", "'market': the address after @ can't be used"),
        (f"market = {A} @ https://user:pw99@two.example/v1", "'market': the address after @ can't be used"),
        (f"market = {A} @ https://two.example/{B}", "'market': the address after @ can't be used"),
        (f"market = {A} @", "'market': the address after @ can't be used"),
    ],
)
def test_what_is_no_list_of_entries_is_named(text: str, said: str) -> None:
    """The fault names the entry by its place or its name, and shows nothing of a key."""
    _, faults = read_app_keys(text)

    (fault,) = faults
    words = f"{fault.field}: {fault.problem} {fault.fix}"
    assert said in words
    assert not any(letter * 4 in words for letter in "ABC")
    assert "pw99" not in words


def test_two_faults_of_different_entries_are_both_told() -> None:
    """A duplicate does not hide what comes after it."""
    _, faults = read_app_keys(f"a = {A}, A = {B}, c = {C} @ ftp://x/v1")

    assert len(faults) == 2


NAMES = st.text(st.sampled_from("abcXYZ0 ._-市é"), min_size=1, max_size=12).map(str.strip).filter(bool)
KEYS = st.text(st.sampled_from(string.ascii_letters + string.digits), min_size=24, max_size=24).map("app-{}".format)
ADDRESSES = st.sampled_from([None, "http://a/v1", "https://b.example:8443/prefix/v1"])
ENTRIES = st.lists(st.tuples(NAMES, KEYS, ADDRESSES), max_size=6, unique_by=lambda entry: entry[0].casefold())


@given(entries=ENTRIES, gap=st.sampled_from(["", " ", ", ", ";", "\n", "\r\n"]))
def test_what_was_written_is_read(entries: list[tuple[str, str, str | None]], gap: str) -> None:
    """Whatever separates the entries, even nothing."""
    text = gap.join(f"{name} = {key}" + (f" @ {address}" if address else "") for name, key, address in entries)

    read, faults = read_app_keys(text)

    assert faults == ()
    assert [(entry.name, entry.key, entry.base_url) for entry in read] == entries


@given(text=st.lists(st.sampled_from([A, B, "a", "=", " ", ",", "@", "http://x/v1", "/v1", "app-", "\n"])).map("".join))
@example(text=f"{A}{B}=")
def test_no_text_shows_a_key(text: str) -> None:
    """Whatever is pasted, in whatever order."""
    _, faults = read_app_keys(text)

    assert "AAAA" not in str(faults)
    assert "BBBB" not in str(faults)


def test_an_entry_keeps_its_key_to_itself(key: Callable[[str], str]) -> None:
    """Neither printing an entry nor a traceback that shows it gives the key away."""
    (entry,), _ = read_app_keys(f"market = {key('K')}")

    assert "KKKK" not in repr(entry)

"""The context's endpoint: counts as tokenizers do, never over, refusing what makes no sense."""

from __future__ import annotations

import hashlib
import importlib.util
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import toktok
from hypothesis import given
from hypothesis import strategies as st

from ensemble.contract.context import Compression, Encoding, PackedContext
from ensemble.packing.model import Part, Policy
from ensemble.packing.packing import pack
from sidecar.context.counting import COUNTERS, load_encodings
from tests.ensemble.packing.texts import (
    ARABIC,
    CHINESE,
    CODE,
    EMOJI,
    ENGLISH,
    HINDI,
    JAPANESE,
    JSON,
    KOREAN,
    PORTUGUESE,
    RUSSIAN,
    THAI,
    WRITTEN,
    open_fence,
    texts,
)

type Ask = Callable[..., Any]

GOLDEN = [
    (ENGLISH, 129, 129),
    (CHINESE, 50, 79),
    (JAPANESE, 58, 73),
    (KOREAN, 37, 64),
    (RUSSIAN, 38, 55),
    (ARABIC, 27, 73),
    (HINDI, 34, 94),
    (THAI, 35, 85),
    (PORTUGUESE, 29, 38),
    (EMOJI, 46, 60),
    (JSON, 41, 41),
    (CODE, 19, 19),
    ("hello world", 2, 2),
    ("  \n\n  x", 3, 3),
]
"""Tokens by o200k and cl100k as tiktoken 0.14.0 counts them with OpenAI's own rank files (recorded 2026-11-22)."""


@pytest.mark.parametrize(("text", "o200k", "cl100k"), GOLDEN)
def test_texts_have_the_tokens_tiktoken_gives_them(text: str, o200k: int, cl100k: int) -> None:
    assert COUNTERS[Encoding.O200K].count(text) == o200k
    assert COUNTERS[Encoding.CL100K].count(text) == cl100k


def test_the_name_of_a_special_token_is_text() -> None:
    """Or a result that holds it would be counted too short."""
    assert COUNTERS[Encoding.O200K].count("<|endoftext|>") > 1


def test_the_empty_text_has_no_tokens() -> None:
    assert [COUNTERS[encoding].count("") for encoding in Encoding] == [0, 0]


def test_other_threads_run_while_a_long_text_is_counted() -> None:
    """Counting lets go of the interpreter: a worker's other requests are answered meanwhile."""
    load_encodings()
    text = "".join(chr(random.Random(5).randrange(97, 122)) for _ in range(10)) * 300_000
    steps, done = [0], threading.Event()

    def count() -> None:
        COUNTERS[Encoding.O200K].count(text)
        done.set()

    counting = threading.Thread(target=count)
    counting.start()
    while not done.is_set():
        steps[0] += 1
    counting.join()

    assert steps[0] > 100


@given(parts=st.lists(texts(), max_size=4), limit=st.integers(0, 600), compression=st.sampled_from(Compression))
def test_by_the_exact_count_too_nothing_is_over(parts: list[str], limit: int, compression: Compression) -> None:
    policy = Policy(limit_tokens=limit, each_tokens=limit // 2, compression=compression, query="market growth")

    packed = pack([Part(name="a", text=text) for text in parts], policy, COUNTERS[Encoding.O200K])

    assert packed.exact
    assert toktok.batch_count([packed.text], "o200k_base") == [packed.tokens]
    assert packed.tokens <= limit
    assert not open_fence(packed.text)


def test_parts_are_packed_over_http(ask: Ask) -> None:
    parts = [{"name": "market", "text": "growth " * 900, "priority": 0.5}, {"name": "tech", "text": "short"}]

    said = ask("POST", "/v1/context", {"parts": parts, "limit_tokens": 300, "query": "growth"})

    packed = PackedContext.model_validate_json(said.data)
    assert said.status_code == 200
    assert (packed.counter, packed.exact) == ("o200k", True)
    assert COUNTERS[Encoding.O200K].count(packed.text) == packed.tokens <= 300
    assert [(entry.name, entry.fate) for entry in packed.entries] == [("market", "cut"), ("tech", "kept")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit_tokens": -1}, "limit_tokens"),
        ({"limit_tokens": "many"}, "limit_tokens"),
        ({"encoding": "gpt2"}, "encoding"),
        ({"compression": "zip"}, "compression"),
        ({"parts": [{"text": 5}]}, "parts.0.text"),
        ({"parts": [{"text": "a", "priority": "high"}]}, "parts.0.priority"),
        ({"parts": [{"txt": "a"}]}, "parts.0.text"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(ask: Ask, change: dict[str, Any], field: str) -> None:
    said = ask("POST", "/v1/context", {"parts": []} | change)

    assert said.status_code == 422
    assert field in [fault["field"] for fault in said.json["errors"]]


RANKS = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""SHA-256 of OpenAI's rank files, as tiktoken checks them."""


def _rank_files() -> Path | None:
    """Return the folder with tiktoken's files where an installed package happens to carry them, as litellm does."""
    found = importlib.util.find_spec("litellm")
    for folder in [Path(place) for place in (found.submodule_search_locations or [])] if found else []:
        for file in folder.rglob("9b5ad71b2ce5302211f9c61530b329a4922fc6a4"):
            if hashlib.sha256(file.read_bytes()).hexdigest() == RANKS["cl100k_base"]:
                return file.parent
    return None


@pytest.mark.skipif(
    _rank_files() is None, reason="tiktoken's rank files are on no package here; the golden counts hold"
)
@pytest.mark.parametrize("name", RANKS)
def test_counts_are_tiktokens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On thousands of made-up texts, where the rank files can be had."""
    import tiktoken  # noqa: PLC0415 -- only where its files are

    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(_rank_files()))
    reference = tiktoken.get_encoding(name)
    chance = random.Random(11)
    for _ in range(2000):
        pieces = [chance.choice(WRITTEN)[chance.randrange(20) :][: chance.randrange(60)] for _ in range(6)]
        text = "".join(pieces)
        assert toktok.batch_count([text], name, threads=1) == [len(reference.encode_ordinary(text))]

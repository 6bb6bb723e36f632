# ruff: noqa: RUF001 -- the full stops and commas of Chinese are meant.
"""How fast results are packed, and whether what matters is still there: needles found by where they stood.

Packing runs in this process with the sidecar's exact counter, as a worker does it, without HTTP. The recall is that of
the mechanism: a fact is hidden at one of ten places of a long text, the query asks for it in other words beside its
rare ones, and what counts is whether it is still in the packed text. Plain head and tail cut at the same tokens,
without a look at borders, stands beside it.
"""

from __future__ import annotations

import random
import time

from benchmarks.results import Entry, median, table
from ensemble.contract.context import Compression, Encoding
from ensemble.packing.counting import ESTIMATE, TokenCounter
from ensemble.packing.model import CUT_MARK, Part, Policy
from ensemble.packing.packing import pack
from sidecar.context.counting import COUNTERS, load_encodings

__all__ = ["measure"]

PLACES = 10
EACH_TOKENS = 2_000
PLAIN = "plain head and tail"

_WORDS = [
    "market",
    "growth",
    "revenue",
    "quarter",
    "region",
    "demand",
    "supply",
    "risk",
    "forecast",
    "model",
    "team",
    "plan",
    "customer",
    "contract",
    "margin",
    "price",
    "partner",
    "launch",
    "survey",
    "report",
    "channel",
    "budget",
    "review",
    "target",
    "segment",
    "volume",
    "cost",
    "share",
    "trend",
    "product",
]
_ZH = "市场规模在过去三年中增长了百分之三十五，主要来自亚太地区的需求。竞争者包括三家公司，他们的产品各不相同。"
_NAMES = ("Zephyr", "Quartz", "Marlin", "Obsidian", "Juniper", "斑马")


def measure(rounds: int, megabytes: float, needles: int) -> list[Entry]:
    """Pack *megabytes* of results in each of *rounds* rounds, and hide *needles* facts at each place."""
    load_encodings()
    chance = random.Random(20)
    exact = COUNTERS[Encoding.O200K]
    parts = [Part(name=f"agent {n}", text=_text(chance, int(megabytes * 125_000))) for n in range(8)]
    speeds = {
        "head and tail": _speed(parts, Compression.HEAD_TAIL, exact, rounds),
        "extractive": _speed(parts, Compression.EXTRACTIVE, exact, rounds),
        "head and tail, estimated": _speed(parts, Compression.HEAD_TAIL, ESTIMATE, rounds),
    }
    rows = [[name, f"{speed:.1f}"] for name, speed in speeds.items()]
    print(f"\n{len(parts)} results of {megabytes:g} MB in all, packed into 50,000 tokens\n")
    print(table(("packing", "MB/s"), rows))
    main = speeds.pop("head and tail")
    return [Entry("packing.mb_s", main, "MB/s", speeds), *_recalls(chance, needles, exact)]


def _speed(parts: list[Part], compression: Compression, counter: TokenCounter, rounds: int) -> float:
    policy = Policy(compression=compression, query="what is the forecast of the zephyr launch")
    size = sum(len(part.text.encode()) for part in parts) / 1e6
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        pack(parts, policy, counter)
        seconds.append(time.perf_counter() - begun)
    return size / median(seconds)


def _recalls(chance: random.Random, needles: int, counter: TokenCounter) -> list[Entry]:
    """Return, for each way to shorten, the share of needles found, in all and by place."""
    ways = (*(str(each) for each in Compression), PLAIN)
    found: dict[str, list[int]] = {way: [0] * PLACES for way in ways}
    for place in range(PLACES):
        for _ in range(needles):
            text, query, needle = _hidden(chance, place)
            for way in ways:
                found[way][place] += needle in _shortened(way, text, query, counter)
    rows = [[way, *(f"{100 * hits / needles:.0f}" for hits in found[way])] for way in ways]
    print(f"\nNeedles found, in %, by their place in texts of 6 to 10 times {EACH_TOKENS:,} tokens\n")
    print(table(("shortened by", *(f"{10 * place}-{10 * place + 10} %" for place in range(PLACES))), rows))
    shares = {way: sum(hits) / (PLACES * needles) for way, hits in found.items()}
    places = {
        f"{way} at {10 * p} %": hits / needles for way, all_hits in found.items() for p, hits in enumerate(all_hits)
    }
    best = shares.pop(str(Compression.EXTRACTIVE))
    return [Entry("packing.recall", best, "share", {**shares, **places})]


def _hidden(chance: random.Random, place: int) -> tuple[str, str, str]:
    """Return a long text, a query, and the fact in the text that answers it."""
    name, number = chance.choice(_NAMES), chance.randrange(10_000, 99_999)
    needle = f"The access number of {name} is {number}."
    size = chance.randrange(6, 10) * EACH_TOKENS * 5
    at = int(size * (place + chance.random()) / PLACES)
    return f"{_text(chance, at)} {needle} {_text(chance, size - at)}", f"Tell me which number {name} has", needle


def _shortened(way: str, text: str, query: str, counter: TokenCounter) -> str:
    if way != PLAIN:
        policy = Policy(limit_tokens=EACH_TOKENS, each_tokens=EACH_TOKENS, compression=Compression(way), query=query)
        return pack([Part(text=text)], policy, counter).text
    chars = int(EACH_TOKENS * len(text) / counter.count(text))
    return f"{text[: int(chars * 0.6)]}{CUT_MARK}{text[len(text) - int(chars * 0.4) :]}"


def _text(chance: random.Random, chars: int) -> str:
    pieces: list[str] = []
    size = 0
    while size < chars:
        if chance.random() < 0.1:
            piece = _ZH
        else:
            words = (chance.choice(_WORDS) for _ in range(chance.randrange(6, 18)))
            piece = f"{' '.join(words)} {chance.randrange(100)}".capitalize() + ". "
        if chance.random() < 0.15:
            piece += "\n\n"
        pieces.append(piece)
        size += len(piece)
    return "".join(pieces)[:chars]

"""Whatever is packed: never over the limit, an account that adds up, priority and order kept, text that stays text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ensemble.contract.context import Allocation, Compression, Fate, Order
from ensemble.packing.counting import ESTIMATE, TokenCounter
from ensemble.packing.model import CUT_MARK, Packed, Part, Policy
from ensemble.packing.packing import pack
from tests.ensemble.packing.texts import (
    ARABIC,
    CHINESE,
    ENGLISH,
    HINDI,
    JAPANESE,
    KOREAN,
    PORTUGUESE,
    RUSSIAN,
    SENTENCE_ENDS,
    open_fence,
    texts,
)


class Words:
    """Counts words, so that tests can say what they expect; every sign that is no letter is one as well."""

    name = "words"
    exact = True

    def count(self, text: str) -> int:
        return len(text.split())

    def size(self, text: str) -> int:
        return self.count(text)


class Crooked:
    """A counter with whom text beside text is more than the sum, and more text may be fewer tokens."""

    name = "crooked"
    exact = True

    def count(self, text: str) -> int:
        return len(text) // 3 + text.count("\n") * 2 + (7 if len(text) % 5 == 0 and text else 0)

    def size(self, text: str) -> int:
        return self.count(text)


COUNTERS: list[TokenCounter] = [ESTIMATE, Words(), Crooked()]
PARTS = st.lists(
    st.builds(
        Part,
        name=st.sampled_from(["market", "tech", "市场", "", "a b\nc"]),
        text=texts(),
        priority=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    ),
    max_size=6,
)
POLICIES = st.builds(
    Policy,
    limit_tokens=st.integers(0, 900),
    each_tokens=st.integers(0, 400),
    allocation=st.sampled_from(Allocation),
    compression=st.sampled_from(Compression),
    order=st.sampled_from(Order),
    query=st.sampled_from(["", "market growth in Asia", "价格会下降吗", "zzz"]),
    dedupe=st.booleans(),
)


@settings(max_examples=300, deadline=None)
@given(parts=PARTS, policy=POLICIES, counter=st.sampled_from(COUNTERS))
@example([Part(text="```\n" * 300)], Policy(limit_tokens=50), ESTIMATE)
@example([Part(text="x" * 5000, name="a"), Part(text="\n" * 5000, name="b")], Policy(limit_tokens=1), Crooked())
def test_the_window_is_never_over_and_its_account_adds_up(
    parts: list[Part], policy: Policy, counter: TokenCounter
) -> None:
    packed = pack(parts, policy, counter)

    assert counter.count(packed.text) == packed.tokens <= policy.limit_tokens
    packed.text.encode("utf-8")
    assert not open_fence(packed.text)
    assert [entry.name for entry in packed.entries] == [part.name for part in parts]
    for part, entry in zip(parts, packed.entries, strict=True):
        assert entry.chars == len(part.text) == entry.kept_chars + entry.cut_chars + entry.repeated_chars
        assert entry.kept_chars >= 0
        assert entry.cut_chars >= 0
        _agree(part, entry.fate, entry.kept_chars, packed)
        if counter.exact:
            assert entry.tokens == counter.count(part.text.encode("utf-8", "replace").decode())
        assert entry.fate is not Fate.CUT or entry.kept_tokens <= policy.each_tokens


def _agree(part: Part, fate: Fate, kept: int, packed: Packed) -> None:
    text = part.text.encode("utf-8", "replace").decode()
    match fate:
        case Fate.KEPT:
            assert kept == len(text)
            assert text in packed.text
        case Fate.DROPPED:
            assert kept == 0
        case Fate.CUT:
            assert kept < len(text)


@settings(max_examples=150, deadline=None)
@given(parts=PARTS, policy=POLICIES)
def test_nobody_is_dropped_for_one_of_lower_priority(parts: list[Part], policy: Policy) -> None:
    """Of parts with the same text."""
    packed = pack(parts, policy, ESTIMATE)

    for above, up in zip(parts, packed.entries, strict=True):
        for below, low in zip(parts, packed.entries, strict=True):
            alike = above.text == below.text and above.name == below.name and not policy.dedupe
            if alike and above.priority > below.priority:
                assert low.fate is Fate.DROPPED or up.fate is not Fate.DROPPED


@settings(max_examples=150, deadline=None)
@given(number=st.integers(0, 9), order=st.sampled_from(Order), data=st.data())
def test_the_order_is_kept(number: int, order: Order, data: st.DataObject) -> None:
    priorities = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=number, max_size=number))
    parts = [Part(name=f"p{index}", text="x", priority=priority) for index, priority in enumerate(priorities)]

    packed = pack(parts, Policy(order=order), Words())

    stands = [line[4:] for line in packed.text.split("\n") if line.startswith("### ")]
    ranked = [f"p{index}" for index in sorted(range(number), key=lambda index: (-priorities[index], index))]
    expected = {
        Order.GIVEN: [f"p{index}" for index in range(number)],
        Order.PRIORITY: ranked,
        Order.EDGES: ranked[0::2] + ranked[1::2][::-1],
    }
    assert stands == expected[order]


def classic(sizes: list[tuple[float, int]], each: int, total: int) -> list[int]:
    """The classic algorithm, in its own words: sort by priority, cut each to its cap, stop at the total."""
    taken = [0] * len(sizes)
    for index in sorted(range(len(sizes)), key=lambda index: sizes[index][0], reverse=True):
        size = min(sizes[index][1], each)
        if size > total:
            taken[index] = total
            break
        taken[index] = size
        total -= size
    return taken


@pytest.mark.parametrize(
    "sizes",
    [
        [(1, 12_000), (5, 12_000), (3, 12_000), (4, 12_000), (2, 12_000), (0, 12_000)],
        [(1, 100), (2, 200), (3, 300)],
        [(0.9, 9_000), (0.8, 30_000), (0.7, 9_500), (0.6, 8_000), (0.5, 20_000), (0.4, 10_000)],
        [(1, 60_000)],
    ],
)
def test_first_come_is_the_classic_algorithm(sizes: list[tuple[float, int]]) -> None:
    """With words of one token and no headings; what is cut may lose up to a fifth more to end at a border."""
    parts = [Part(text="word " * size, priority=priority) for priority, size in sizes]

    packed = pack(parts, Policy(allocation=Allocation.FIRST_COME, dedupe=False), Words())

    for wanted, entry in zip(classic(sizes, 10_000, 50_000), packed.entries, strict=True):
        assert wanted * 0.8 <= entry.kept_tokens <= wanted
        assert (entry.fate is Fate.DROPPED) == (wanted == 0)
        assert (entry.fate is Fate.KEPT) == (wanted == entry.tokens)


def test_a_short_part_leaves_its_share_to_a_long_one() -> None:
    parts = [Part(name="short", text="few words"), Part(name="long", text="word " * 5000)]

    packed = pack(parts, Policy(limit_tokens=1000), Words())

    short, long = packed.entries
    assert short.fate is Fate.KEPT
    assert 800 <= long.kept_tokens <= 1000


def test_head_and_tail_are_sixty_to_forty_around_the_mark() -> None:
    text = " ".join(f"w{number}" for number in range(5000))

    packed = pack([Part(text=text)], Policy(limit_tokens=1000), Words())

    head, tail = packed.text.split(f"\n{CUT_MARK}\n")
    assert head.startswith("w0 w1 ")
    assert tail.endswith(" w4999")
    assert len(head.split()) / (len(head.split()) + len(tail.split())) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("text", [CHINESE, JAPANESE, KOREAN, RUSSIAN, ARABIC, HINDI, PORTUGUESE])
def test_prose_is_cut_between_sentences(text: str) -> None:
    """Without line breaks to hold on to; in each language by its own full stops."""
    packed = pack([Part(text=text.strip() * 60)], Policy(limit_tokens=300), ESTIMATE)

    head = packed.text.split(f"\n{CUT_MARK}\n", maxsplit=1)[0]
    assert head[-1] in SENTENCE_ENDS


def test_a_table_and_a_list_are_cut_between_lines() -> None:
    table = "| a | b |\n|---|---|\n" + "".join(f"| row {n} | value {n} |\n" for n in range(800))

    packed = pack([Part(text=table)], Policy(limit_tokens=400), ESTIMATE)

    lines = [line for line in packed.text.split("\n") if line != CUT_MARK]
    assert all(line.startswith("|") and line.endswith("|") for line in lines)


def test_a_fence_that_is_cut_is_closed_and_opened_again() -> None:
    text = "```python\n" + "".join(f"value_{n} = {n}\n" for n in range(2000)) + "```\nThe end."

    packed = pack([Part(text=text)], Policy(limit_tokens=400), ESTIMATE)

    head, tail = packed.text.split(f"\n{CUT_MARK}\n")
    assert head.startswith("```python\n")
    assert head.endswith("\n```")
    assert tail.startswith("```python\nvalue_")
    assert tail.endswith("```\nThe end.")


def test_a_fence_left_open_does_not_swallow_the_next_section() -> None:
    packed = pack([Part(name="a", text="```\nopen"), Part(name="b", text="fine")], Policy(), ESTIMATE)

    assert packed.text == "### a\n```\nopen\n```\n\n### b\nfine"
    assert [entry.fate for entry in packed.entries] == [Fate.KEPT, Fate.KEPT]


SHARED = "A paragraph that both of them took from the same report, word for word, as agents do."


def test_what_two_agents_share_is_sent_once() -> None:
    """The one of higher priority keeps it; white space does not matter."""
    parts = [
        Part(name="low", text=f"Mine.\n\n{SHARED.replace(' ', '  ')}\n\nMore.", priority=0.1),
        Part(name="high", text=f"{SHARED}\n\nElse.", priority=0.9),
    ]

    packed = pack(parts, Policy(), ESTIMATE)

    assert packed.text == f"### low\nMine.\n\n[same as high]\n\nMore.\n\n### high\n{SHARED}\n\nElse."
    low, high = packed.entries
    assert (low.fate, high.fate) == (Fate.CUT, Fate.KEPT)
    assert low.repeated_chars > 0


def test_what_two_agents_share_is_not_lost_where_its_keeper_is_cut() -> None:
    """A note that points to nothing would lose it for both."""
    keeper = "word " * 3000 + f"\n\n{SHARED}\n\n" + "word " * 3000
    parts = [Part(name="keeper", text=keeper, priority=1), Part(name="other", text=f"Mine.\n\n{SHARED}")]

    packed = pack(parts, Policy(limit_tokens=1000), ESTIMATE)

    assert SHARED in packed.text
    assert "[same as" not in packed.text


def test_the_sentences_about_the_query_are_extracted_from_anywhere() -> None:
    filler = "The weather was fine and nothing much happened on that day. "
    for at in (0, 150, 290):
        text = filler * at + "The zebra project costs 4711 euros. " + filler * (300 - at)

        packed = pack(
            [Part(text=text)],
            Policy(limit_tokens=200, compression=Compression.EXTRACTIVE, query="What does the zebra project cost?"),
            ESTIMATE,
        )

        assert "costs 4711 euros" in packed.text
        assert packed.text.endswith(CUT_MARK)


def test_chinese_is_found_without_spaces() -> None:
    text = CHINESE * 60 + "斑马项目的密码是四七一一。" + CHINESE * 60
    policy = Policy(limit_tokens=300, compression=Compression.EXTRACTIVE, query="斑马项目的密码是什么")

    assert "四七一一" in pack([Part(text=text)], policy, ESTIMATE).text


def test_extracts_stand_in_their_order() -> None:
    text = "".join(f"Sentence number {n} is about {'apples' if n % 7 == 0 else 'nothing'}. " for n in range(400))

    packed = pack(
        [Part(text=text)], Policy(limit_tokens=300, compression=Compression.EXTRACTIVE, query="apples"), Words()
    )

    numbers = [int(word) for word in packed.text.split() if word.isdecimal()]
    assert numbers == sorted(numbers)
    assert sum(number % 7 == 0 for number in numbers) > len(numbers) / 3


def test_half_a_character_becomes_a_question_mark() -> None:
    assert pack([Part(text="a\ud800b")], Policy(), ESTIMATE).text == "a?b"


def test_what_is_packed_again_stays_as_it_is() -> None:
    packed = pack([Part(text=ENGLISH * 40)], Policy(limit_tokens=500), ESTIMATE)

    assert pack([Part(text=packed.text)], Policy(limit_tokens=500), ESTIMATE).text == packed.text

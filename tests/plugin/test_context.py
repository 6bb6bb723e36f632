"""The plugin asks the sidecar to pack only what may not fit, and does it alone where the sidecar can't be asked."""

from __future__ import annotations

import pytest

from ensemble.client.context import SidecarContext
from ensemble.client.fallback import Absence
from ensemble.client.sidecar import SidecarLedger
from ensemble.client.wire import connections
from ensemble.contract.context import ContextAsk, ContextEntry, Fate, PackedContext
from ensemble.packing.model import Part, Policy
from tests.plugin.web import Told, Web

PARTS = [Part(name="a", text="half \ud800 of a character", priority=1)]
ENTRY = ContextEntry(
    name="a", fate=Fate.CUT, tokens=9, kept_tokens=3, chars=20, kept_chars=9, cut_chars=11, repeated_chars=0
)
ANSWER = PackedContext(text="packed there", tokens=3, entries=(ENTRY,), counter="o200k", exact=True)


@pytest.fixture
def now() -> list[float]:
    """A clock that tests turn."""
    return [0.0]


@pytest.fixture
def absence(now: list[float]) -> Absence:
    """What is remembered of the sidecar's not answering."""
    return Absence(lambda: now[0])


@pytest.fixture
def context(web: Web, absence: Absence) -> SidecarContext:
    """The context under test, at a web server that answers as it is told."""
    return SidecarContext(SidecarLedger(web.url, "t", connections()), absence)


def test_the_sidecar_packs(web: Web, context: SidecarContext) -> None:
    """What it is asked is the contract's, in UTF-8; what it answers is passed on as it is."""
    web.answer(Told(body=ANSWER.model_dump_json().encode()))

    packed, warnings = context.pack(PARTS, Policy(limit_tokens=7, query="why"))

    asked = ContextAsk.model_validate_json(web.asked[0].body)
    assert (asked.limit_tokens, asked.query, asked.parts[0].text) == (7, "why", "half ? of a character")
    assert (packed.text, packed.tokens, packed.exact, packed.named(Fate.CUT)) == ("packed there", 3, True, ("a",))
    assert warnings == ()


@pytest.mark.parametrize("told", [Told(status=503), Told(status=404), Told(body=b"hello"), Told(status=401)])
def test_where_it_is_of_no_help_this_process_estimates_and_says_so(
    web: Web, context: SidecarContext, absence: Absence, told: Told
) -> None:
    """A run never fails for it, and the sidecar is not taken for away."""
    web.answer(told)

    packed, warnings = context.pack(PARTS, Policy())

    assert packed.text == "### a\nhalf ? of a character"
    assert not packed.exact
    assert "did not count" in warnings[-1]
    assert not absence.lasts()


def test_a_sidecar_known_to_be_away_is_not_asked(web: Web, context: SidecarContext, absence: Absence) -> None:
    """Its run has been told so already."""
    absence.note()

    packed, warnings = context.pack(PARTS, Policy())

    assert (packed.counter, warnings, web.asked) == ("estimate", (), [])

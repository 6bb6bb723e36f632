"""Long results on their way to a synthesizer: counted by the sidecar, within the limits, and told."""

from __future__ import annotations

from collections.abc import Callable

from ensemble.contract.context import EACH_TOKENS, Encoding
from sidecar.context.counting import COUNTERS
from tests.standin.apps import App
from tests.together.team import Team

LONG = "".join(f"Finding number {n} is about the market in region {n % 7}. " for n in range(4000))


def test_a_synthesizer_is_given_what_fits_by_the_sidecars_count(make_team: Callable[..., Team]) -> None:
    """The long answer is cut to its limit, the short one is whole, and nothing was estimated."""
    team = make_team(
        App(name="long", answer=LONG), App(name="short", answer="brief"), App(name="writer", answer="done")
    )

    result = team.run("Sum it up.", agents="long, short", synthesizer="writer")

    (call,) = team.calls("writer")
    given = call.query
    sent = given.partition("### long\n")[2].partition("\n\n### short")[0]
    assert 0.8 * EACH_TOKENS < COUNTERS[Encoding.O200K].count(sent) <= EACH_TOKENS
    assert "\n...[compressed]\n" in sent
    assert given.endswith("### short\nbrief")
    assert any("shortened answer of long" in warning for warning in result.variables["warnings"])
    assert not any("estimated" in warning for warning in result.variables["warnings"])


def test_without_a_sidecar_the_estimate_keeps_the_limits_and_says_so(make_team: Callable[..., Team]) -> None:
    """Local mode; numbers are what the estimate is furthest off with, about a sixth."""
    team = make_team(App(name="long", answer=LONG), App(name="writer", answer="done"))

    saved = team.credentials(sidecar_url="", sidecar_token="")
    result = team.run("Sum it up.", agents="long", synthesizer="writer", saved=saved)

    (call,) = team.calls("writer")
    assert COUNTERS[Encoding.O200K].count(call.query) < EACH_TOKENS * 1.25
    assert "\n...[compressed]\n" in call.query
    assert any("estimated" in warning for warning in result.variables["warnings"])

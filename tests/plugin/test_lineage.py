"""Whose call a tool call was made in: tokens made and read by credentials, and what becomes of them without a sidecar."""

from __future__ import annotations

import pytest

from ensemble.client.fallback import Absence, FallbackLedger
from ensemble.contract.exchange import Exchange, Parent, Role
from ensemble.engine.ledger.book import Book
from ensemble.engine.request import RunRequest
from ensemble.plan.reading.plan import read_plan
from plugin.credentials import Credentials, Sidecar
from plugin.errors import BadParameters, SidecarUnavailable
from plugin.lineage import caller_of, parent_of, seal_of, sealed
from tests.plugin.ledgers import CLOSE, Clock, going_on, news, opening, wish
from tests.plugin.ledgers import Sidecar as SidecarThere

WITH = Credentials(sidecar=Sidecar(url="http://ensemble:8787", token="one tenant's"))
SAME = Credentials(sidecar=Sidecar(url="http://elsewhere:1", token="one tenant's"))
OTHER = Credentials(sidecar=Sidecar(url="http://ensemble:8787", token="another's"))
ALONE = Credentials(sidecar=None)
RUN, TICKET = "1" * 32, "2" * 32


def test_an_empty_parameter_is_no_parent() -> None:
    """People start apps, too."""
    assert parent_of("", WITH) is None


def test_a_parent_that_lost_its_braces_is_told_so() -> None:
    """Dify does not know the app's input by the name that was typed."""
    with pytest.raises(BadParameters, match=r"^parent: looks like what Dify leaves of a variable .* by typing /"):
        parent_of("start.parent", WITH)


@pytest.mark.parametrize("credentials", [WITH, SAME, ALONE])
def test_whoever_shares_the_records_reads_the_token(credentials: Credentials) -> None:
    """By another address of the same sidecar as well."""
    maker = ALONE if credentials is ALONE else WITH

    assert parent_of(seal_of(maker).token(RUN, TICKET), credentials) == Parent(run_id=RUN, ticket=TICKET[:12])


@pytest.mark.parametrize(("maker", "reader"), [(WITH, OTHER), (WITH, ALONE), (ALONE, WITH)])
def test_nobody_else_does(maker: Credentials, reader: Credentials) -> None:
    """The words name the parameter, repeat nothing, and without a sidecar say what that means."""
    token = seal_of(maker).token(RUN, TICKET)

    with pytest.raises(BadParameters, match=r"^parent: .*signature") as caught:
        parent_of(token, reader)
    assert token not in str(caught.value)
    assert ("configure one" in str(caught.value)) == (reader is ALONE)


def test_the_app_that_calls_is_known_as_it_is_called() -> None:
    """By the same spelling as an agent with that id."""
    assert caller_of(" A675a0c4-332f ") == "app:a675a0c4-332f"
    assert caller_of(None) is caller_of("") is caller_of(" ") is None


def request() -> RunRequest:
    return RunRequest(plan=read_plan({"steps": [{"id": "one", "agent": "one"}]}, known=["one"]), agents={}, task="x")


def test_a_run_that_went_on_without_its_sidecar_gives_no_tokens() -> None:
    """Runs inside its calls would ask the sidecar for it, which knows nothing of them."""
    there, book = SidecarThere(), Book()
    ledger = FallbackLedger(there, book, Absence(Clock()), hand_in=lambda *_: None)
    seal = sealed(request(), WITH, ledger).seal
    assert seal is not None

    epoch = ledger.exchange(opening(wish("one", "1"))).run.epoch
    assert seal(RUN, TICKET) == seal_of(WITH).token(RUN, TICKET)
    there.away = SidecarUnavailable("gone")
    ledger.exchange(going_on(epoch, admit=(wish("two", "2"),)))

    assert seal(RUN, TICKET) == ""


def test_a_run_in_this_process_alone_gives_tokens_of_this_process() -> None:
    """Its book knows them."""
    seal = sealed(request(), ALONE, Book()).seal

    assert seal is not None
    assert parent_of(seal(RUN, TICKET), ALONE) is not None


def inside(parent: Parent) -> Exchange:
    ask = opening(wish("two", "1"))
    assert ask.open is not None
    return ask.model_copy(update={"open": ask.open.model_copy(update={"parent": parent, "caller": "app:x"})})


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_nested_run_goes_on_without_the_sidecar_and_is_handed_in(when: str) -> None:
    """Its parent may be over by then, and the book never heard of it; at the sidecar it is its parent's in the end."""
    there, handed_in = SidecarThere(), list[Exchange]()
    outer = opening(wish("one", "9"), run_id=RUN, owner="8" * 32, run_key="outer")
    there.exchange(outer)
    ledger = FallbackLedger(there, Book(), Absence(Clock()), hand_in=lambda _, asks: handed_in.extend(asks))
    if when == "at once":
        there.away = SidecarUnavailable("gone")

    answer = ledger.exchange(inside(Parent(run_id=RUN, ticket="9" * 12)))
    assert answer.run.role is Role.OWNER
    there.away = SidecarUnavailable("gone")
    ledger.exchange(going_on(answer.run.epoch, settle=(news("two", "1"),), close=CLOSE))
    ledger.leave()
    there.away = None
    there.exchange(Exchange(run_id=RUN, owner="8" * 32, epoch=1, settle=(news("one", "9"),), close=CLOSE))
    there.exchange(handed_in[0])

    view = there.run(answer.run.run_id)
    assert (view.parent_run_id, view.depth) == (RUN, 2)
    assert there.run(RUN).budget.calls_committed == 2

"""The sidecar's client over real sockets: what it sends, what it makes of answers, silence and nonsense."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

import pytest

from ensemble.client.links import Links
from ensemble.client.sidecar import SidecarLedger
from ensemble.contract import endpoints
from ensemble.contract.about import CONTRACT_VERSION, About
from ensemble.contract.base import Answer
from ensemble.contract.breakers import BreakerParams
from ensemble.contract.exchange import CloseRun, Exchange, ExchangeAnswer, Role, RunHead
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.problems import Fault, Problem, ProblemCode
from ensemble.contract.state import (
    Increment,
    NamespaceParams,
    StateEntry,
    StateParams,
    StatePut,
    StateRemoval,
    Versions,
)
from ensemble.engine.ports import Ledger, LedgerUnavailable
from plugin.errors import BadCredentials, SidecarRefused, SidecarUnavailable
from tests.plugin.web import Told, Web

RUN = "0" * 32
ASK = Exchange(run_id=RUN, owner="1" * 32, epoch=1, close=CloseRun(status=RunStatus.SUCCEEDED, answer="é"))
ANSWER = ExchangeAnswer(run=RunHead(run_id=RUN, epoch=1, role=Role.OWNER, lease_ms=30_000))


def body(answer: Answer) -> bytes:
    """Return *answer* as the sidecar sends it."""
    return answer.model_dump_json().encode()


def problem(status: int, code: ProblemCode, **fields: Any) -> Told:
    """Return a problem document."""
    return Told(status, body(Problem(title="No", status=status, code=code, detail="for a reason", **fields)))


@pytest.fixture
def ledger(web: Web) -> SidecarLedger:
    """Return a client of the server."""
    return SidecarLedger(web.url, "s3cret", Links())


def test_every_endpoint_has_a_method_of_its_name() -> None:
    """Which takes the endpoint's params and ask, and returns its answer."""
    for endpoint in endpoints.ALL:
        method = getattr(SidecarLedger, endpoint.name)
        hints = get_type_hints(method)
        wanted = (
            [endpoint.params, endpoint.ask] if endpoint.in_path() or endpoint.params.model_fields else [endpoint.ask]
        )

        answer: Any = endpoint.answer
        answer = Iterator[answer] if endpoint.streams else answer
        assert hints.pop("return") == answer
        assert list(hints.values()) == [each for each in wanted if each], endpoint.name


def test_it_is_a_ledger(ledger: SidecarLedger) -> None:
    """As the engine wants one."""
    wanted: Ledger = ledger

    assert wanted.durable


def test_an_exchange_is_sent_as_the_contract_says(web: Web, ledger: SidecarLedger) -> None:
    """Method, path, token and body; the answer comes back as a model."""
    web.answer(Told(body=body(ANSWER)))

    assert ledger.exchange(ASK) == ANSWER

    (asked,) = web.asked
    assert (asked.method, asked.path) == ("POST", "/v1/exchange")
    assert asked.headers["Authorization"] == "Bearer s3cret"
    assert Exchange.model_validate_json(asked.body) == ASK


def test_paths_and_queries_are_quoted(web: Web, ledger: SidecarLedger) -> None:
    """An identity is full of signs that mean something in an address; a null is a value."""
    web.answer(Told(404))
    for call in (
        lambda: ledger.get_breaker(BreakerParams(identity="api:http://x/v1#ab")),
        lambda: ledger.put_state(
            StateParams(trace_id="t", namespace="a b", key="k/ü"), StatePut(writer="a b", value=None)
        ),
        lambda: ledger.list_state(NamespaceParams(trace_id="t", namespace="n", prefix="&")),
    ):
        with pytest.raises(SidecarUnavailable):
            call()

    assert [asked.path for asked in web.asked] == [
        "/v1/breakers/one?identity=api%3Ahttp%3A%2F%2Fx%2Fv1%23ab",
        "/v1/traces/t/state/a%20b/k/%C3%BC",
        "/v1/traces/t/state/n?prefix=%26",
    ]
    assert json.loads(web.asked[1].body)["value"] is None


def test_an_answer_from_a_newer_sidecar_is_read(web: Web, ledger: SidecarLedger) -> None:
    """Fields nobody here knows are ignored."""
    newer = {"product": "ensemble", "version": "9.9", "contract": CONTRACT_VERSION, "moon": "full"}
    web.answer(Told(body=json.dumps(newer).encode()))

    assert ledger.about() == About(version="9.9", contract=CONTRACT_VERSION)


def test_an_answer_lost_on_the_wire_is_asked_for_again(web: Web, ledger: SidecarLedger) -> None:
    """With the very same body, which the sidecar answers the same."""
    web.answer(Told(drop=True), Told(body=body(ANSWER)))

    assert ledger.exchange(ASK) == ANSWER

    first, second = web.asked
    assert first.body == second.body


def test_an_empty_answer_is_one_lost_on_the_wire(web: Web, ledger: SidecarLedger) -> None:
    """A connection that breaks inside the head of an answer reads as one without a body."""
    web.answer(Told(body=b""), Told(body=body(ANSWER)))

    assert ledger.exchange(ASK) == ANSWER


def test_it_is_asked_again_once_only(web: Web, ledger: SidecarLedger) -> None:
    """Then it is away, which the engine knows by the exception's kind."""
    web.answer(Told(drop=True))

    with pytest.raises(LedgerUnavailable) as caught:
        ledger.exchange(ASK)

    assert len(web.asked) == 2
    assert isinstance(caught.value, SidecarUnavailable)
    assert web.url in str(caught.value)


@pytest.mark.parametrize("name", ["put", "delete", "increment"])
def test_what_must_not_happen_twice_is_sent_once(web: Web, ledger: SidecarLedger, name: str) -> None:
    """An increment whose answer got lost may have counted."""
    params = StateParams(trace_id="t", namespace="n", key="k")
    calls: dict[str, Callable[[], Answer]] = {
        "put": lambda: ledger.put_state(params, StatePut(writer="n", value=1)),
        "delete": lambda: ledger.delete_state(params, StateRemoval(writer="n")),
        "increment": lambda: ledger.increment_state(params, Increment(writer="n")),
    }
    web.answer(Told(drop=True))

    with pytest.raises(SidecarUnavailable):
        calls[name]()

    assert len(web.asked) == 1


def test_a_busy_sidecar_is_given_the_time_it_asks_for(web: Web, ledger: SidecarLedger) -> None:
    """Contended writers are asked again after Retry-After."""
    web.answer(problem(503, ProblemCode.CONTENDED, retry_after_ms=120), Told(body=body(ANSWER)))
    begun = time.monotonic()

    assert ledger.exchange(ASK) == ANSWER
    assert time.monotonic() - begun >= 0.12


def test_a_sidecar_that_asks_for_too_long_is_away(web: Web, ledger: SidecarLedger) -> None:
    """Nobody waits a minute in the middle of a run."""
    web.answer(
        Told(503, problem(503, ProblemCode.STORE_UNAVAILABLE).body, {"Retry-After": "60"}), Told(body=body(ANSWER))
    )

    with pytest.raises(SidecarUnavailable, match="for a reason"):
        ledger.exchange(ASK)

    assert len(web.asked) == 1


def test_a_wrong_token_is_said_plainly(web: Web, ledger: SidecarLedger) -> None:
    """Without the token, and without asking again."""
    web.answer(problem(401, ProblemCode.UNAUTHORIZED))

    with pytest.raises(BadCredentials, match="does not accept the Sidecar token") as caught:
        ledger.exchange(ASK)

    assert len(web.asked) == 1
    assert "s3cret" not in str(caught.value)


def test_a_refusal_names_the_field(web: Web, ledger: SidecarLedger) -> None:
    """A request the sidecar can't take is no reason to go on without it."""
    fault = Fault(field="settle.0.ticket", problem="has another body.", fix="Mint a new one.")
    web.answer(problem(409, ProblemCode.CONFLICT, errors=(fault,)))

    with pytest.raises(SidecarRefused, match=r"settle\.0\.ticket: has another body\. Mint a new one\."):
        ledger.exchange(ASK)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told(body=b"<html>It works!</html>"), "is not one this plugin understands"),
        (Told(body=b'{"run": {}}'), "is not one this plugin understands"),
        (Told(302, b"", {"Location": "http://elsewhere.example/"}), "HTTP 302"),
        (Told(404, b"Not Found"), "not as a sidecar does"),
        (Told(500, b"boom"), "HTTP 500"),
    ],
)
def test_what_is_no_sidecar_is_said_to_be_none(web: Web, ledger: SidecarLedger, told: Told, words: str) -> None:
    """Whoever answers at the address; a redirect is not followed, for the token would go with it."""
    web.answer(told)

    with pytest.raises(SidecarUnavailable, match=words):
        ledger.exchange(ASK)


def test_nobody_home(ledger: SidecarLedger) -> None:
    """A closed port and an unknown host are told apart."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(SidecarUnavailable, match="nothing listens there"):
        SidecarLedger(f"http://127.0.0.1:{port}", "t", Links()).about()
    with pytest.raises(SidecarUnavailable, match="its host name is not known here"):
        SidecarLedger("http://nobody.invalid", "t", Links()).about()


def test_silence_has_an_end(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sidecar that takes the request and says nothing is given up, twice."""
    for_ever = threading.Event()
    web.answer(Told(hold=for_ever))

    with pytest.raises(SidecarUnavailable, match="no answer within"):
        SidecarLedger(web.url, "t", Links(read_s=0.05)).exchange(ASK)

    for_ever.set()
    assert len(web.asked) == 2


def test_the_waits_are_short() -> None:
    """Half a second for the connection, two for the answer."""
    links = Links()

    assert (links.connect_s, links.read_s) == (0.5, 2.0)


def test_connections_are_kept_open(web: Web, ledger: SidecarLedger) -> None:
    """One connection serves one exchange after another."""
    web.answer(Told(body=body(ANSWER)))
    for _ in range(5):
        ledger.exchange(ASK)

    assert len(web.asked) == 5
    assert web.connections == 1


def test_every_method_reaches_its_endpoint(web: Web, ledger: SidecarLedger) -> None:
    """State and lists answer with their own models."""
    web.answer(Told(body=body(Versions(key="k", version=3))))
    params = StateParams(trace_id="t", namespace="n", key="k")
    assert ledger.put_state(params, StatePut(writer="n", value={"a": 1})).version == 3

    web.answer(Told(body=body(StateEntry(key="k", value=[1], version=1))))
    assert ledger.get_state(params).value == [1]
    assert web.asked[-1].body == b""

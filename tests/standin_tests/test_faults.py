"""The fault proxy does to a request what its script says, and nothing else."""

import contextlib
import http.client
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.standin.apps import App
from tests.standin.faults import Fault, FaultProxy, at, every
from tests.standin.service_api import StandIn, threaded

APP = App(name="market", answer="fine")


@pytest.fixture
def dify() -> Iterator[StandIn]:
    """A Dify with one app."""
    with threaded(APP) as server:
        yield server


@pytest.fixture
def proxy(dify: StandIn) -> Iterator[FaultProxy]:
    """A proxy before it."""
    with FaultProxy(dify.url) as between:
        yield between


def connect(proxy: FaultProxy, timeout_s: float = 5) -> contextlib.closing[http.client.HTTPConnection]:
    """Open a connection through the proxy until the block ends."""
    return contextlib.closing(http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=timeout_s))


def ask(connection: http.client.HTTPConnection) -> bytes:
    """Ask the app, and read its whole answer."""
    body = '{"inputs": {}, "query": "hello", "user": "u", "response_mode": "blocking"}'
    headers = {"Authorization": f"Bearer {APP.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat-messages", body, headers)
    with connection.getresponse() as answer:
        return answer.read()


def ask_once(proxy: FaultProxy, timeout_s: float = 5) -> bytes:
    """Ask the app over a connection of its own."""
    with connect(proxy, timeout_s) as connection:
        return ask(connection)


def test_without_a_fault_requests_pass_over_one_connection(dify: StandIn, proxy: FaultProxy) -> None:
    """Two requests on one connection of the client's are two on one of the target's."""
    with connect(proxy) as connection:
        answers = [ask(connection), ask(connection)]

    assert all(b"fine" in answer for answer in answers)
    assert [1, 1] == [exchange.request.connection for exchange in proxy.exchanges]
    assert dify.log().connections == 1


def test_a_dropped_answer_was_asked_for(dify: StandIn, proxy: FaultProxy) -> None:
    """The target answered; the client reads the end of the connection."""
    proxy.script = at(1, fault=Fault("drop_answer"))

    with pytest.raises(http.client.RemoteDisconnected):
        ask_once(proxy)

    assert dify.log().of("market")[0].status == 200
    assert b"fine" in proxy.exchanges[0].answers[0]
    assert b"fine" in ask_once(proxy)


def test_a_reset_request_never_arrives(dify: StandIn, proxy: FaultProxy) -> None:
    """The client reads a reset; the target saw nothing."""
    proxy.script = every(Fault("reset"))

    with pytest.raises(ConnectionResetError):
        ask_once(proxy)

    assert dify.log().calls == []


def test_a_request_can_arrive_twice(dify: StandIn, proxy: FaultProxy) -> None:
    """The client is given the second answer."""
    proxy.script = every(Fault("twice"), path="/chat-messages")

    answer = ask_once(proxy)

    assert dify.log().counts == {"market": 2}
    assert proxy.exchanges[0].answers[1].endswith(answer)


@pytest.mark.parametrize("kind", ["cut", "half_close"])
def test_an_answer_can_end_in_the_middle(proxy: FaultProxy, kind: str) -> None:
    """The head promised more than came."""
    proxy.script = every(Fault(kind, after_bytes=300))  # type: ignore[arg-type]  # parametrize has no literals

    with pytest.raises(http.client.IncompleteRead) as broken:
        ask_once(proxy)

    assert 0 < len(broken.value.partial) < 300


def test_an_answer_can_end_in_a_reset(proxy: FaultProxy) -> None:
    """Whatever of it had come."""
    proxy.script = every(Fault("reset_answer"))

    with pytest.raises(ConnectionResetError):
        ask_once(proxy)


def test_silence_keeps_the_connection_open(proxy: FaultProxy) -> None:
    """The client waits until it gives up by itself."""
    proxy.script = every(Fault("silence"))

    with pytest.raises(TimeoutError):
        ask_once(proxy, timeout_s=0.1)


def test_a_delayed_request_is_passed_on_later(dify: StandIn, proxy: FaultProxy) -> None:
    """It reaches the target after the delay, not before."""
    proxy.script = every(Fault(delay_s=0.2))
    begun_s = time.monotonic()

    assert b"fine" in ask_once(proxy)
    assert dify.log().calls[0].started_s >= begun_s + 0.2


def test_the_target_can_change(proxy: FaultProxy) -> None:
    """New connections go to the new one."""
    with threaded(App(name="market", answer="another")) as other:
        proxy.target = other.url

        assert b"another" in ask_once(proxy)

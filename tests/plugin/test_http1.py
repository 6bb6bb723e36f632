"""The HTTP client among greenlets, as in the plugin's process: cut off at once, and never in the others' way."""

from __future__ import annotations

import time
from contextlib import closing

import greenlet
import pytest

from ensemble.http1.asking import locate
from ensemble.http1.connection import connect
from ensemble.http1.failures import Failed
from ensemble.http1.idle import Idle
from ensemble.http1.lines import Deadline, Patience
from tests.ensemble.http1.cutting import ask, fetch
from tests.ensemble.http1.serving import https, secured, serving, trusted
from tests.ensemble.http1.test_connection import (  # noqa: F401 - two tests that are played here, too
    again_and_again,
    dripping,
    test_a_request_that_is_cut_off_wakes_at_once,
    test_one_that_waits_for_its_connection_likewise,
)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_request_on_an_idle_connection_is_out_before_anybody_else_runs(*, tls: bool) -> None:
    """A loop full of others would be gone through first, and every step of a chain would wait for that."""
    switched: list[object] = []
    with serving(secured(again_and_again) if tls else again_and_again) as url, trusted(), closing(Idle(10)) as idle:
        origin, _ = locate(https(url) if tls else url)
        made = connect(origin, Patience(5), 5)
        assert ask(made, url, Patience(5)) == b"fine"
        idle.give(made)
        before = greenlet.settrace(lambda event, args: switched.append((event, args)))
        try:
            taken = idle.take(origin)
            assert taken is made
            taken._way.line = Deadline(time.monotonic() + 5)
            assert taken._way.send(b"POST / HTTP/1.1\r\n\r\n")
        finally:
            greenlet.settrace(before)
        made.close()

    assert switched == []


@pytest.mark.parametrize("tls", [False, True], ids=["handshake", "record"])
def test_a_byte_at_a_time_does_not_stretch_the_deadline(*, tls: bool) -> None:
    """Also where gevent's own TLS would wait afresh for every byte."""
    play = secured(dripping(b"\x17\x03\x03\x40\x00")) if tls else dripping(b"\x16\x03\x03\x40\x00\x02")
    with serving(play) as url, trusted():
        began = time.monotonic()
        with pytest.raises(Failed, match="silence" if tls else "not_in_time"):
            fetch(https(url), Deadline(began + 0.5))
        assert time.monotonic() - began < 2

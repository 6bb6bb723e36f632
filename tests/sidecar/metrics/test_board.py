"""The memory that processes count in: sums over all, nothing lost with one of them, and room for so much only."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.metrics import board as module
from sidecar.metrics.board import Board, Series

HITS: Series = ("hits_total", "a")
NOW: Series = ("in_hand",)


def board(places: int = 3) -> Board:
    return Board(places, passing={"in_hand"}, overflow=("overflow_total",))


def in_a_fork(work: Callable[[], None]) -> int:
    """Run *work* in a process of its own and return how it ended: its status, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_what_processes_count_is_added_up_and_survives_a_kill() -> None:
    """Whoever starts in the place of a killed one goes on with it; what a process had in hand goes with it."""
    shared = board()

    def count_and_die(place: int) -> Callable[[], None]:
        def work() -> None:
            sheet = shared.take(place)
            sheet.put(NOW, 5)
            for _ in range(1_000):
                sheet.add([(HITS, 1)])
            os.kill(os.getpid(), signal.SIGKILL)

        return work

    for place in (0, 1, 1):
        assert in_a_fork(count_and_die(place)) == -signal.SIGKILL
        assert shared.total()[NOW] == 5 * (2 if place else 1)
    assert shared.total()[HITS] == 3_000
    for place in (0, 1):
        shared.leave(place)
    assert NOW not in shared.total()
    shared.take(1)
    assert (shared.total()[NOW], shared.total()[HITS]) == (0, 3_000)


def test_threads_that_count_at_once_lose_nothing() -> None:
    shared = board(1)
    sheet = shared.take(0)
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for n in range(2_000):
            sheet.add([(HITS, 1), (("each_total", str(number)), 2), (("new_total", str(n % 50)), 1)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    told = shared.total()
    assert told[HITS] == 16_000
    assert [told["each_total", str(number)] for number in range(8)] == [4_000] * 8
    assert sum(told["new_total", str(n)] for n in range(50)) == 16_000


def test_numbers_there_is_no_room_for_are_told_as_such() -> None:
    """All others go on."""
    shared = board(1)
    sheet = shared.take(0)
    sheet.add([(HITS, 1)])
    for n in range(module.MOST_SERIES + 10):
        sheet.add([(("each_total", str(n)), 7)])
    sheet.add([(HITS, 1)])
    sheet.put(("late",), 3)

    told = shared.total()
    assert len(told) == module.MOST_SERIES
    assert told["overflow_total",] == 12
    assert told[HITS] == 2


def test_long_names_fill_the_text_and_no_more() -> None:
    shared = board(2)
    sheet, beside = shared.take(0), shared.take(1)
    beside.add([(HITS, 4)])
    for n in range(module.TEXT_BYTES // 50_000 + 5):
        sheet.add([(("long_total", f"{n}" + "x" * 50_000), 1)])

    told = shared.total()
    assert 0 < told["overflow_total",] <= 6
    assert told[HITS] == 4


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.tuples(st.text(min_size=1), st.text()), st.integers(0, 9)), max_size=40)
)
def test_whatever_names_and_labels_are_they_come_back_as_they_were(
    counted: list[tuple[int, tuple[str, str], int]],
) -> None:
    """Line breaks, quotes and halves of surrogate pairs included; places taken anew go on."""
    shared = board()
    expected: dict[Series, float] = {}
    for place, series, amount in counted:
        shared.take(place).add([(series, amount)])
        expected[series] = expected.get(series, 0) + amount

    told = shared.total()
    told.pop(("overflow_total",), None)
    assert told == expected


def test_a_line_that_can_not_be_read_hides_no_other() -> None:
    """Nobody writes such a one; a fault there must not keep all numbers back."""
    shared = board(1)
    sheet = shared.take(0)
    sheet.add([(HITS, 1), (("broken_total", "x"), 2), (("after_total",), 3)])
    text = shared._places[0].text
    at = bytes(text).index(b'["broken')
    text[at : at + 1] = b"?"

    assert shared.total() == {("overflow_total",): 0, HITS: 1, ("after_total",): 3}
    shared.take(0).add([(("new_total",), 5), (("after_total",), 1)])
    assert shared.total() == {("overflow_total",): 0, HITS: 1, ("after_total",): 4, ("new_total",): 5}

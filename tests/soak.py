"""``python -m tests.soak``: kill, stop and cut everything, many times, and print what it cost. ``--rounds 30``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase

from ensemble.contract.outcomes import RunStatus
from examples.picture import table
from tests.faults.claims import budgets, increments, lost_writes, probes, slots, successors, without_sidecar
from tests.faults.holding import POINTS
from tests.faults.judging import Count
from tests.faults.rows import ROWS

__all__ = ["main"]

ABREAST = 2
"""Worlds at one time; most of a round is waiting for leases."""


def main() -> int:
    """Play everything; 0 if nothing was found that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=30, help="how often each row's thing happens, to many runs at once"
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        default=["*"],
        metavar="PATTERN",
        help=f"which rows, such as 'stop *'; with a pattern of your own no other claims are played: {', '.join(ROWS)}",
    )
    given = parser.parse_args()
    named = [name for name in ROWS if any(fnmatchcase(name, pattern) for pattern in given.rows)]
    if not named:
        parser.error(f"no row is named like {' or '.join(given.rows)}")
    begun = time.monotonic()
    print(f"{given.rounds} rounds for each row; where runs are held, there are {len(POINTS)} points:")
    print("\n".join(f"  {point}" for point in POINTS), flush=True)
    with ThreadPoolExecutor(ABREAST) as pool:
        rows = [(name, store) for name in named for store in ROWS[name].stores]
        counts = list(pool.map(lambda row: _row(row[0], row[1], given.rounds), rows))
    print("\n" + _table(rows, counts))
    faults = [line for count in counts for line in count.seen]
    if given.rows == ["*"]:
        faults += _claims(given.rounds)
    print("\n".join(["", *faults, f"\n{len(faults)} findings after {(time.monotonic() - begun) / 60:.1f} minutes."]))
    return 1 if faults or any(count.faults for count in counts) else 0


def _row(name: str, store: str, rounds: int) -> Count:
    count = Count()
    with ROWS[name].begin(store) as play:
        for _ in range(rounds):
            count.add(play())
    print(f"  {name} with {store}: {count.faults} findings in {count.runs} runs", flush=True)
    return count


def _table(named: Sequence[tuple[str, str]], counts: Sequence[Count]) -> str:
    head = (
        "what happens", "store", "runs", "twice unflagged", "finished again", "stuck", "halted", "budget wrong",
        "leases left", "again, flagged",
    )  # fmt: skip
    rows = [
        tuple(map(str, (
            name, store, count.runs, count.again_unflagged, count.finished_again, count.stuck, count.halted,
            count.wrong_budgets, count.leases, count.again,
        )))
        for (name, store), count in zip(named, counts, strict=True)
    ]  # fmt: skip
    return table(head, rows)


def _claims(rounds: int) -> list[str]:
    """Play the claims about many at once; print each, and return what does not hold."""
    wrong: list[str] = []

    def say(text: str, *, holds: bool) -> None:
        print(f"  {'holds ' if holds else 'FAILS '} {text}", flush=True)
        if not holds:
            wrong.append(text)

    print()
    found = probes(rounds)
    say(f"one probe among 8 processes x 8 threads, in {found.count(1)} of {rounds} rounds", holds=set(found) == {1})
    after = successors(rounds)
    exact = all(number == 1 and 0.9 < seconds < 1.5 for number, seconds in after)
    slowest = max(seconds for _, seconds in after)
    say(
        f"a dead probe is followed by one more, {slowest:.2f} s later at most (lease 1 s), {rounds} rounds", holds=exact
    )
    number = increments()
    say(f"16 processes x 1,000 increments: {number:,}", holds=number == 16_000)
    for durability in ("everysec", "strict"):
        lost = lost_writes(durability, rounds)
        say(f"acknowledged writes lost to {rounds} kills of the store, {durability}: {sum(lost)}", holds=not any(lost))
    admitted = budgets(rounds)
    most = max(count for count, _ in admitted)
    spent = max(view.budget.calls_reserved + view.budget.calls_committed for _, view in admitted)
    say(f"128 asks of 64 threads, 40 calls allowed, workers killed: at most {most} admitted", holds=most == spent == 40)
    turns = slots(2.0 * rounds)
    say(
        f"4 slots, 24 threads in 6 processes, of which {turns.killed} were killed, and workers: at most {turns.out} out at "
        f"one time, held {turns.held:,} times, {turns.left} left in the end",
        holds=turns.out <= 4 and turns.held > 0 and not turns.left,
    )
    for mode in ("fail_open", "fail_closed"):
        told = without_sidecar(mode)
        result, again = told["result"], told["again"]
        took = f"answered after {result.took_s:.2f} s; the calls of both calls together: {dict(told['calls'])}"
        once = set(told["calls"].values()) == {1} and again.variables.get("status") == RunStatus.SUCCEEDED
        if mode == "fail_open":
            ended = result.error is None and any("went on without it" in w for w in result.variables["warnings"])
        else:
            ended = result.error is not None and result.error.error_type == "SidecarUnavailable"
        say(f"sidecar killed in the middle, {mode}: {took}", holds=once and ended)
    return wrong


if __name__ == "__main__":
    sys.exit(main())

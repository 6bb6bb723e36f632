"""``python -m tests.soak``: kill everything at every point, many times, and print what it cost. ``--rounds 30``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ensemble.contract.outcomes import RunStatus
from examples.picture import table
from tests.faults.claims import budgets, increments, lost_writes, probes, successors, without_sidecar
from tests.faults.crash import POINTS, STORES, VICTIMS, Count, crashes

__all__ = ["main"]

ABREAST = 2
"""Worlds at one time; most of a round is waiting for leases."""


def main() -> int:
    """Play everything; 0 if nothing was found that must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="kills for each row, each with a run at every point")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS, help="whom to kill")
    given = parser.parse_args()
    rounds = given.rounds
    begun = time.monotonic()
    print(f"{rounds} kills for each row; at each, {len(POINTS)} runs are held at {len(POINTS)} points:")
    print("\n".join(f"  {point}" for point in POINTS), flush=True)
    with ThreadPoolExecutor(ABREAST) as pool:
        rows = [(victim, store) for victim in given.victims for store in STORES]
        counts = list(pool.map(lambda row: _row(row[0], row[1], rounds), rows))
    print("\n" + _crash_table(rows, counts))
    faults = [line for count in counts for line in count.seen]
    faults += _claims(rounds)
    print("\n".join(["", *faults, f"\n{len(faults)} findings after {(time.monotonic() - begun) / 60:.1f} minutes."]))
    return 1 if faults else 0


def _row(victim: str, store: str, rounds: int) -> Count:
    count = Count()
    with crashes(store) as world:
        for _ in range(rounds):
            count.add(world.round(victim))
    print(f"  {victim} with {store}: {count.faults} findings in {count.runs} runs", flush=True)
    return count


def _crash_table(named: Sequence[tuple[str, str]], counts: Sequence[Count]) -> str:
    head = (
        "killed", "store", "runs", "twice unflagged", "finished again", "stuck", "halted", "budget wrong",
        "leases left", "again, flagged",
    )  # fmt: skip
    rows = [
        tuple(map(str, (
            victim, store, count.runs, count.again_unflagged, count.finished_again, count.stuck, count.halted,
            count.wrong_budgets, count.leases, count.again,
        )))
        for (victim, store), count in zip(named, counts, strict=True)
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

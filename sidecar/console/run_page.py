"""One run as its page shows it, made from the view the API answers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ensemble.contract.budgets import NANO, BudgetView, Limits
from ensemble.contract.outcomes import RunStatus
from ensemble.contract.runs import RunView
from sidecar.console.graph import Graph, drawn, levels_of
from sidecar.console.rows import Row, Rows, run_scale
from sidecar.console.waterfall import Scale, Tick, ticks
from sidecar.console.words import count, lasting, money

__all__ = ["ROWS_SHOWN", "Line", "RunPage", "run_page", "spending"]

ROWS_SHOWN = 150
"""Steps on one page."""
ERRORS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One thing a run may spend."""

    name: str
    spent: str
    reserved: str
    limit: str
    """Empty where there is none."""
    per_cent: float | None
    """How much of the limit is spent or reserved; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """What stands on the page."""

    run: RunView
    now_ms: int
    lasted_ms: int
    rows: Sequence[Row]
    """Those of this page."""
    first: int
    """Which of all rows the first of them is."""
    total: int
    scale: Scale
    ticks: Sequence[Tick]
    graph: Graph | None
    planned: Mapping[str, Row]
    """The rows of planned steps by their id, for the drawing of the plan."""
    shape: str
    """What the plan looks like, in words, where it is not drawn."""
    errors: Sequence[Row]
    more_errors: int
    budget: Sequence[Line]

    @property
    def open(self) -> bool:
        """Whether it is under way."""
        return self.run.status is RunStatus.RUNNING

    @property
    def orphaned(self) -> bool:
        """Whether it is open and its engine is not heard of."""
        return self.open and self.run.lease_ms == 0

    @property
    def later(self) -> int | None:
        """From which row on the next page goes; None: this is the last one."""
        return self.first + len(self.rows) if self.first + len(self.rows) < self.total else None

    @property
    def earlier(self) -> int | None:
        """From which row on the page before goes; None: this is the first one."""
        return max(0, self.first - ROWS_SHOWN) if self.first else None


def run_page(run: RunView, now_ms: int, first: int = 0) -> RunPage:
    """Return the page of *run* that begins with its row number *first*."""
    scale = run_scale(run, now_ms)
    rows = Rows(run, now_ms, scale)
    first = min(first, max(0, len(rows) - 1))
    # A step that was skipped because another failed is that other's story.
    failed = [each.step for each in run.results if each.error is not None and each.error.code != "upstream_failed"]
    waits_for = {step.id: step.depends_on for step in run.steps}
    graph = drawn(waits_for)
    return RunPage(
        run=run,
        now_ms=now_ms,
        lasted_ms=(now_ms if run.closed_ms is None else run.closed_ms) - run.opened_ms,
        rows=rows[first : first + ROWS_SHOWN],
        first=first,
        total=len(rows),
        scale=scale,
        ticks=ticks(scale),
        graph=graph,
        planned={step: rows.of(step) for step in waits_for} if graph else {},
        shape="" if graph else _shape(waits_for),
        errors=[rows.of(step) for step in failed[:ERRORS_SHOWN]],
        more_errors=max(0, len(failed) - ERRORS_SHOWN),
        budget=spending(run.budget, run.limits),
    )


def _shape(waits_for: dict[str, tuple[str, ...]]) -> str:
    """Say in words what is not drawn."""
    steps = len(waits_for)
    levels = levels_of(waits_for)
    if levels is None:
        return "The steps wait for each other in a circle."
    if steps < 2:  # noqa: PLR2004 -- one
        return ""
    if len(levels) == 1:
        return f"No step waits for another: all {steps:,} may run at once."
    widths = ", ".join(f"{len(level):,}" for level in levels[:12])
    more = ", …" if len(levels) > 12 else ""  # noqa: PLR2004 -- as above
    return f"{steps:,} steps in {len(levels):,} levels ({widths}{more}): too many to draw."


def spending(used: BudgetView, limits: Limits) -> tuple[Line, ...]:
    """Return what is spent and reserved of each thing, beside its limit."""
    lines = [
        _line("Tokens", used.tokens_committed, used.tokens_reserved, limits.tokens, count),
        _line("Calls", used.calls_committed, used.calls_reserved, limits.calls, count),
        _line(
            "Agents' time",
            used.ms_committed,
            used.ms_reserved,
            None if limits.seconds is None else limits.seconds * 1000,
            lasting,
        ),
    ]
    if limits.money is not None:
        currency = limits.money.currency
        lines.append(
            _line(
                "Money",
                used.nano_committed,
                used.nano_reserved,
                limits.money.nano(),
                lambda nano: money(Decimal(nano) / NANO, currency),
            )
        )
    return tuple(lines)


def _line(name: str, spent: int, reserved: int, limit: int | None, say: Callable[[int], str]) -> Line:
    part = None if limit is None else min(100.0, 100.0 * (spent + reserved) / limit) if limit else 100.0
    return Line(name, say(spent), say(reserved) if reserved else "", "" if limit is None else say(limit), part)

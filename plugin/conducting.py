"""Runs what a tool asks of the engine in this process: on the sidecar's ledger or this process's book, with greenlets."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from ensemble.client.context import SidecarContext
from ensemble.client.fallback import FallbackLedger
from ensemble.contract.problems import Fault
from ensemble.engine.carrying import ESTIMATED
from ensemble.engine.events import Event, Report
from ensemble.engine.ports import Context, Ledger
from ensemble.engine.request import RunRequest
from ensemble.engine.run import run
from ensemble.rules.problems import Conflict
from plugin.adapters.greenlets import GreenletRunner
from plugin.adapters.pools import Pools
from plugin.charging import going_on, unknown_budget
from plugin.credentials import Credentials
from plugin.errors import BadParameters, SidecarRefused, in_words
from plugin.lineage import sealed

__all__ = ["conduct", "context_for", "ledger_for"]

_NO_LINK = (
    "run_url is empty: the sidecar was not told how browsers reach it. Set ENSEMBLE_PUBLIC_URL there, such as "
    "https://ops.example."
)


def conduct(
    request: RunRequest,
    credentials: Credentials,
    pools: Pools,
    *,
    fail_open: bool | None = None,
    links: bool = False,
) -> Generator[Event, None, Report]:
    """Run *request* in this process, yielding what happens; what the ledger has to say is among the report's warnings.

    *fail_open* is what the tool asks for when the sidecar is away, None where it asks for nothing. *links* says that the
    tool hands the run's link on, so that a warning tells why there is none.

    Raises:
        EnsembleError: the sidecar refuses to take part, or is away and the run does not go on without it.
        EngineError: another call with the same run_key has the run.

    """
    goes_on = going_on(request.budgets, asked=fail_open, saved=credentials.fail_open)
    ledger = ledger_for(credentials, pools, fail_open=goes_on)
    request = sealed(request, credentials, ledger)
    try:
        report = yield from run(
            request, ledger=ledger, runner=GreenletRunner(), context=context_for(credentials, pools)
        )
    except Conflict as error:  # of this process's own book; the sidecar's answer is in words already
        raise BadParameters(in_words([Fault(field=error.field, problem=f"{error.problem}.", fix=error.fix)])) from None
    except SidecarRefused as error:
        raise unknown_budget(error, request.budgets) or error from None
    finally:
        if isinstance(ledger, FallbackLedger):
            ledger.leave()
    if isinstance(ledger, FallbackLedger):
        unlinked = (_NO_LINK,) if links and ledger.durable and not report.run_url else ()
        report = replace(report, warnings=(*report.warnings, *ledger.warnings, *unlinked))
    return report


def ledger_for(credentials: Credentials, pools: Pools, *, fail_open: bool = True) -> Ledger:
    """Return the sidecar, with this process's book behind it, or the book alone.

    Not *fail_open*: a run whose sidecar is away fails.
    """
    book = pools.book(credentials)
    if credentials.sidecar is None:
        return book
    sidecar, absence = pools.sidecar(credentials.sidecar), pools.absence(credentials.sidecar)
    return FallbackLedger(sidecar, book, absence, hand_in=pools.outbox.put, fail_open=fail_open)


def context_for(credentials: Credentials, pools: Pools) -> Context:
    """Return who keeps what is carried within its limits: the sidecar, which counts, else this process."""
    if credentials.sidecar is None:
        return ESTIMATED
    return SidecarContext(pools.sidecar(credentials.sidecar), pools.absence(credentials.sidecar))

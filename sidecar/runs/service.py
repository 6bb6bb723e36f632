"""Runs over the store: exchanges are decided by the rules, and what is on record is shown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from ensemble.contract.caching import CacheParams, CacheView
from ensemble.contract.exchange import Exchange, ExchangeAnswer, Role, RunHead
from ensemble.contract.problems import Fault
from ensemble.contract.runs import CancelAnswer, RunList, RunLog, RunParams, RunsParams, RunView
from ensemble.rules.addresses import run_hash
from ensemble.rules.lineage.below import below_wants, runs_to_cancel
from ensemble.rules.runs.caching import cache_view, cache_wants
from ensemble.rules.runs.ending import cancel, cancel_inside, ending_wants
from ensemble.rules.runs.exchange import Conflict, Defaults, UnknownRun, decide, wanted
from ensemble.rules.runs.log import run_log
from ensemble.rules.runs.views import run_view
from ensemble.rules.snapshot import EVERY, Address, Changes, Snapshot
from sidecar import errors
from sidecar.runs.index import RunIndex
from sidecar.store.faults import record_errors
from sidecar.store.store import Store

__all__ = ["Link", "Runs"]

type Link = Callable[[str, str, int], str | None]
"""Takes the tenant, a run's id and the store's clock in milliseconds; returns a link to the run's page, if there are any."""

log = logging.getLogger("sidecar.runs")


class Runs:
    """The runs of all tenants."""

    def __init__(self, store: Store, defaults: Defaults | None = None, link: Link | None = None) -> None:
        self._store = store
        self._index = RunIndex(store)
        self._defaults = defaults or Defaults()
        self._link = link

    def exchange(self, tenant: str, ask: Exchange) -> ExchangeAnswer:
        """Settle, admit, open, renew, close; the same ask gets the same answer.

        Raises:
            Conflict: A ticket is known with another body, or not at all.
            NotFound: The run is not on record.
            Contended: Others were faster, every time.

        """
        now_ms = 0

        def decided(snapshot: Snapshot) -> tuple[ExchangeAnswer, Changes]:
            nonlocal now_ms
            now_ms = snapshot.now_ms
            return decide(ask, snapshot, self._defaults)

        try:
            answer = self._store.decide(tenant, decided, wanted(ask))
        except Conflict as error:
            fault = Fault(field=error.field, problem=error.problem, fix=error.fix)
            raise errors.Conflict("The exchange contradicts what is on record; nothing was written.", fault) from error
        except UnknownRun as error:
            raise _unknown(error) from error
        if (ask.open or ask.close) and log.isEnabledFor(logging.INFO):
            _tell(tenant, ask, answer.run)
        if ask.open and self._link is not None and answer.run.role is not Role.SUPERSEDED:
            url = self._link(tenant, answer.run.run_id, now_ms)
            answer = answer.model_copy(update={"run": answer.run.model_copy(update={"url": url})})
        return answer

    def cancel(self, tenant: str, params: RunParams) -> CancelAnswer:
        """End a run that is under way, by its engine if one runs it, and all runs below it. Raises NotFound, Contended.

        One that was cancelled before is cancelled as before: what was not reached then is reached now.
        """
        run_id = params.run_id
        try:
            status = self._store.decide(tenant, partial(cancel, run_id), ending_wants(run_id))
        except UnknownRun as error:
            raise _unknown(error) from error
        self._cancel_below(tenant, run_id)
        return CancelAnswer(run_id=run_id, status=status)

    def _cancel_below(self, tenant: str, run_id: str) -> None:
        """End the runs below one that was cancelled; one that can't be ended is told of once all others are."""
        wrong: Exception | None = None
        for below in self._store.look(tenant, partial(runs_to_cancel, run_id), below_wants(run_id)):
            try:
                self._store.decide(tenant, partial(cancel_inside, run_id, below), ending_wants(below))
            except errors.StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 -- raised below, whatever it is
                wrong = wrong or error
        if wrong is not None:
            raise wrong

    def get(self, tenant: str, params: RunParams) -> RunView:
        """Return one run, whole. Raises NotFound, StoreDamaged."""
        fields, now_ms = self._whole(tenant, params.run_id)
        try:
            with record_errors([run_hash(params.run_id)]):
                return run_view(params.run_id, fields, now_ms)
        except UnknownRun as error:
            raise _unknown(error) from error

    def log(self, tenant: str, params: RunParams) -> RunLog:
        """Return a run's messages in order. Raises NotFound, StoreDamaged."""
        fields, _ = self._whole(tenant, params.run_id)
        try:
            with record_errors([run_hash(params.run_id)]):
                return RunLog(messages=run_log(params.run_id, fields))
        except UnknownRun as error:
            raise _unknown(error) from error

    def cached(self, tenant: str, params: CacheParams) -> CacheView:
        """Return the answer that runs have kept under a key, if there is one."""
        return self._store.look(tenant, partial(cache_view, params), cache_wants(params))

    def page(self, tenant: str, params: RunsParams) -> RunList:
        """Return a page of the runs, newest first."""
        return self._index.page(tenant, params)

    def _whole(self, tenant: str, run_id: str) -> tuple[dict[str, str], int]:
        """Return every field of a run's hash, and the store's clock in unix milliseconds."""
        key = run_hash(run_id)

        def look(snapshot: Snapshot) -> tuple[dict[str, str], int]:
            return snapshot.fields(key), snapshot.now_ms

        return self._store.look(tenant, look, (Address(key, EVERY),))


def _tell(tenant: str, ask: Exchange, run: RunHead) -> None:
    """Tell the log that a run was opened, taken up again or closed by who runs it; sent twice, it is told twice."""
    if run.role is not Role.OWNER:
        return
    extra = {"tenant": tenant, "run_id": run.run_id}
    if ask.open and not ask.open.afterwards:
        became = "opened" if run.epoch == 1 else "taken up again"
        log.info("Run %s was %s.", run.run_id, became, extra=extra | {"trace_id": run.trace_id, "epoch": run.epoch})
    if ask.close:
        status = ask.close.status.value
        log.info("Run %s was closed: %s.", run.run_id, status, extra=extra | {"status": status})


def _unknown(error: UnknownRun) -> errors.NotFound:
    detail = f"No run {error.run_id} is on record: it was never opened, or its time to be kept has passed."
    return errors.NotFound(
        detail, Fault(field="run_id", problem="not on record", fix="Open the run, or open it again.")
    )

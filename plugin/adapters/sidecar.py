"""The sidecar as a ledger: one method for every endpoint of the contract, named as the contract names it."""

from __future__ import annotations

from ensemble.contract import endpoints
from ensemble.contract.about import About, Health, NoParams
from ensemble.contract.breakers import BreakerList, BreakerParams, BreakerView
from ensemble.contract.context import ContextAsk, PackedContext
from ensemble.contract.exchange import Exchange, ExchangeAnswer
from ensemble.contract.runs import CancelAnswer, RunList, RunLog, RunParams, RunsParams, RunView
from ensemble.contract.state import (
    Append,
    Appended,
    Deleted,
    Increment,
    Merge,
    NamespaceParams,
    SetChange,
    SetChanged,
    StateEntry,
    StateFound,
    StateList,
    StateParams,
    StatePut,
    StateRead,
    StateRemoval,
    StateWrite,
    StateWritten,
    TraceParams,
    Versions,
)
from ensemble.contract.whole import WholeParams, WholePut, WholeResult, WholeStored
from plugin.adapters.wire import Wire

__all__ = ["SidecarLedger"]

_NO_PARAMS = NoParams()


class SidecarLedger(Wire):
    """A sidecar at one address; every method raises what :meth:`Wire.call` says."""

    durable = True

    def live(self) -> Health:
        """Return whether its process lives."""
        return self.call(endpoints.LIVE, _NO_PARAMS)

    def ready(self) -> Health:
        """Return whether it can work."""
        return self.call(endpoints.READY, _NO_PARAMS)

    def about(self) -> About:
        """Return its versions and what stands behind it."""
        return self.call(endpoints.ABOUT, _NO_PARAMS)

    def exchange(self, ask: Exchange) -> ExchangeAnswer:
        """Settle, admit, open, renew, close."""
        return self.call(endpoints.EXCHANGE, _NO_PARAMS, ask)

    def run(self, run_id: str) -> RunView:
        """Return the run as it stands; the engine's word for :meth:`get_run`."""
        return self.get_run(RunParams(run_id=run_id))

    def get_run(self, params: RunParams) -> RunView:
        """Return one run, whole."""
        return self.call(endpoints.GET_RUN, params)

    def list_runs(self, params: RunsParams) -> RunList:
        """Return a page of the runs, newest first."""
        return self.call(endpoints.LIST_RUNS, params)

    def get_run_log(self, params: RunParams) -> RunLog:
        """Return a run's messages in order."""
        return self.call(endpoints.GET_RUN_LOG, params)

    def pack_context(self, ask: ContextAsk) -> PackedContext:
        """Return what fits into a window of tokens."""
        return self.call(endpoints.PACK_CONTEXT, _NO_PARAMS, ask)

    def cancel_run(self, params: RunParams) -> CancelAnswer:
        """End a run that is under way."""
        return self.call(endpoints.CANCEL_RUN, params)

    def list_breakers(self) -> BreakerList:
        """Return all breakers on record."""
        return self.call(endpoints.LIST_BREAKERS, _NO_PARAMS)

    def get_breaker(self, params: BreakerParams) -> BreakerView:
        """Return one breaker."""
        return self.call(endpoints.GET_BREAKER, params)

    def put_result(self, params: WholeParams, ask: WholePut) -> WholeStored:
        """Store a result whole, for a day."""
        return self.call(endpoints.PUT_RESULT, params, ask)

    def get_result(self, params: WholeParams) -> WholeResult:
        """Return a result stored whole."""
        return self.call(endpoints.GET_RESULT, params)

    def list_state(self, params: NamespaceParams) -> StateList:
        """Return the entries of a namespace."""
        return self.call(endpoints.LIST_STATE, params)

    def get_state(self, params: StateParams) -> StateEntry:
        """Return one value of the shared state."""
        return self.call(endpoints.GET_STATE, params)

    def put_state(self, params: StateParams, ask: StatePut) -> Versions:
        """Store a value."""
        return self.call(endpoints.PUT_STATE, params, ask)

    def delete_state(self, params: StateParams, ask: StateRemoval) -> Deleted:
        """Remove a value."""
        return self.call(endpoints.DELETE_STATE, params, ask)

    def increment_state(self, params: StateParams, ask: Increment) -> StateEntry:
        """Add to a number."""
        return self.call(endpoints.INCREMENT_STATE, params, ask)

    def merge_state(self, params: StateParams, ask: Merge) -> StateEntry:
        """Merge a patch into an object."""
        return self.call(endpoints.MERGE_STATE, params, ask)

    def append_state(self, params: StateParams, ask: Append) -> Appended:
        """Add to the end of a list."""
        return self.call(endpoints.APPEND_STATE, params, ask)

    def change_set(self, params: StateParams, ask: SetChange) -> SetChanged:
        """Add members to a set, and remove others."""
        return self.call(endpoints.CHANGE_SET, params, ask)

    def get_states(self, params: TraceParams, ask: StateRead) -> StateFound:
        """Return those of several values that are there, as they stand at one moment."""
        return self.call(endpoints.GET_STATES, params, ask)

    def put_states(self, params: TraceParams, ask: StateWrite) -> StateWritten:
        """Store several values, all of them or none."""
        return self.call(endpoints.PUT_STATES, params, ask)

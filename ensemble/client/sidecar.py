"""The sidecar as a ledger: one method for every endpoint of the contract, named as the contract names it."""

from __future__ import annotations

from collections.abc import Iterator

from ensemble.client.wire import Wire
from ensemble.contract import endpoints
from ensemble.contract.about import About, Health, NoParams
from ensemble.contract.agents import (
    AgentDeclaration,
    AgentForgotten,
    AgentList,
    AgentParams,
    AgentsParams,
    AgentView,
)
from ensemble.contract.breakers import BreakerForce, BreakerList, BreakerParams, BreakerPolicyAsk, BreakerView
from ensemble.contract.budgets import (
    BudgetDefinition,
    BudgetList,
    BudgetParams,
    BudgetState,
    Reservation,
    ReservationAsk,
    ReservationNews,
    ReservationSettled,
)
from ensemble.contract.caching import CacheParams, CacheView
from ensemble.contract.context import ContextAsk, PackedContext
from ensemble.contract.exchange import Exchange, ExchangeAnswer
from ensemble.contract.guarding import CallAdmission, CallAsk, CallNews, CallSettled
from ensemble.contract.mailboxes import (
    Acknowledge,
    Acknowledged,
    DeadLetters,
    DeadLettersParams,
    Deliveries,
    MailboxList,
    MailboxParams,
    Receive,
    Redrive,
    Redriven,
    Register,
    Registered,
    Reject,
    Rejected,
    Renew,
    Renewed,
    Send,
    Sent,
    TraceLog,
    TraceLogParams,
)
from ensemble.contract.messages import AgentMessage
from ensemble.contract.runs import CancelAnswer, RunList, RunLog, RunParams, RunsParams, RunView
from ensemble.contract.slots import SlotLimits, SlotsView
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

__all__ = ["EACH_S", "SidecarLedger"]

_NO_PARAMS = NoParams()
EACH_S = 0.001
"""How much longer an exchange may take for each attempt, result or wish in it; a sidecar needs a tenth of that."""


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
        """Settle, admit, open, renew, close. The more is told or asked for, the longer the answer may take."""
        told = len(ask.late) + len(ask.settle) + len(ask.ended) + len(ask.admit)
        return self.call(endpoints.EXCHANGE, _NO_PARAMS, ask, wait_s=told * EACH_S)

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

    def admit_call(self, ask: CallAsk) -> CallAdmission:
        """Ask whether a call of no run may go out."""
        return self.call(endpoints.ADMIT_CALL, _NO_PARAMS, ask)

    def settle_call(self, ask: CallNews) -> CallSettled:
        """Tell how a call of no run ended."""
        return self.call(endpoints.SETTLE_CALL, _NO_PARAMS, ask)

    def set_breaker_policy(self, params: BreakerParams, ask: BreakerPolicyAsk) -> BreakerView:
        """Judge an agent by an operator's numbers, or by plans' again."""
        return self.call(endpoints.SET_BREAKER_POLICY, params, ask)

    def force_breaker(self, params: BreakerParams, ask: BreakerForce) -> BreakerView:
        """Hold a breaker, or let it go."""
        return self.call(endpoints.FORCE_BREAKER, params, ask)

    def list_budgets(self) -> BudgetList:
        """Return all named budgets."""
        return self.call(endpoints.LIST_BUDGETS, _NO_PARAMS)

    def get_budget(self, params: BudgetParams) -> BudgetState:
        """Return a named budget as it stands."""
        return self.call(endpoints.GET_BUDGET, params)

    def define_budget(self, params: BudgetParams, ask: BudgetDefinition) -> BudgetState:
        """Say what a named budget allows."""
        return self.call(endpoints.DEFINE_BUDGET, params, ask)

    def forget_budget(self, params: BudgetParams) -> BudgetState:
        """Forget a named budget; return it as it stood."""
        return self.call(endpoints.FORGET_BUDGET, params)

    def reserve_budgets(self, ask: ReservationAsk) -> Reservation:
        """Reserve in several named budgets, or in none."""
        return self.call(endpoints.RESERVE_BUDGETS, _NO_PARAMS, ask)

    def settle_budgets(self, ask: ReservationNews) -> ReservationSettled:
        """Tell what a call has really used."""
        return self.call(endpoints.SETTLE_BUDGETS, _NO_PARAMS, ask)

    def get_slots(self) -> SlotsView:
        """Return how many calls may be out at one time, and how many are."""
        return self.call(endpoints.GET_SLOTS, _NO_PARAMS)

    def set_slots(self, ask: SlotLimits) -> SlotsView:
        """Say how many calls may be out at one time."""
        return self.call(endpoints.SET_SLOTS, _NO_PARAMS, ask)

    def list_agents(self, params: AgentsParams) -> AgentList:
        """Return a page of the agents, those called last first."""
        return self.call(endpoints.LIST_AGENTS, params)

    def get_agent(self, params: AgentParams) -> AgentView:
        """Return one agent: health and statistics."""
        return self.call(endpoints.GET_AGENT, params)

    def declare_agent(self, params: AgentParams, ask: AgentDeclaration) -> AgentView:
        """Take an operator's word on an agent."""
        return self.call(endpoints.DECLARE_AGENT, params, ask)

    def forget_agent(self, params: AgentParams) -> AgentForgotten:
        """Forget an agent until it is called again."""
        return self.call(endpoints.FORGET_AGENT, params)

    def put_result(self, params: WholeParams, ask: WholePut) -> WholeStored:
        """Store a result whole, for a day."""
        return self.call(endpoints.PUT_RESULT, params, ask)

    def get_result(self, params: WholeParams) -> WholeResult:
        """Return a result stored whole."""
        return self.call(endpoints.GET_RESULT, params)

    def cached(self, key: str) -> CacheView:
        """Return the answer kept under *key*; the engine's word for :meth:`get_cached`."""
        return self.get_cached(CacheParams(key=key))

    def get_cached(self, params: CacheParams) -> CacheView:
        """Return an answer kept for when its agent fails, if there is one."""
        return self.call(endpoints.GET_CACHED, params)

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

    def register_agent(self, params: MailboxParams, ask: Register) -> Registered:
        """Open a mailbox, or change its terms."""
        return self.call(endpoints.REGISTER_AGENT, params, ask)

    def list_mailboxes(self, params: TraceParams) -> MailboxList:
        """Return the mailboxes of a trace, and how full they are."""
        return self.call(endpoints.LIST_MAILBOXES, params)

    def send_message(self, params: TraceParams, ask: Send) -> Sent:
        """Put a message into its receiver's mailbox."""
        return self.call(endpoints.SEND_MESSAGE, params, ask)

    def receive_messages(self, params: MailboxParams, ask: Receive) -> Deliveries:
        """Lease the most urgent messages; where there is none, wait for one as long as *ask* says."""
        return self.call(endpoints.RECEIVE_MESSAGES, params, ask, wait_s=ask.wait_ms / 1000)

    def acknowledge_message(self, params: MailboxParams, ask: Acknowledge) -> Acknowledged:
        """Say that a delivery was handled."""
        return self.call(endpoints.ACKNOWLEDGE_MESSAGE, params, ask)

    def reject_message(self, params: MailboxParams, ask: Reject) -> Rejected:
        """Say that handling a delivery failed."""
        return self.call(endpoints.REJECT_MESSAGE, params, ask)

    def renew_message(self, params: MailboxParams, ask: Renew) -> Renewed:
        """Let a lease last longer."""
        return self.call(endpoints.RENEW_MESSAGE, params, ask)

    def list_dead_letters(self, params: DeadLettersParams) -> DeadLetters:
        """Return what was given up, the oldest first."""
        return self.call(endpoints.LIST_DEAD_LETTERS, params)

    def redrive_dead_letters(self, params: MailboxParams, ask: Redrive) -> Redriven:
        """Put dead letters back into their mailbox."""
        return self.call(endpoints.REDRIVE_DEAD_LETTERS, params, ask)

    def get_trace_log(self, params: TraceLogParams) -> TraceLog:
        """Return the messages of a trace in order."""
        return self.call(endpoints.GET_TRACE_LOG, params)

    def follow_trace(self, params: TraceLogParams) -> Iterator[AgentMessage]:
        """Yield the messages of a trace as they come, until the sidecar ends the stream."""
        return self.stream(endpoints.FOLLOW_TRACE, params)

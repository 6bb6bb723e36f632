"""The table of endpoints: every path, ask and answer, once.

The sidecar serves this table, the client's methods go by it, the OpenAPI document is made from it (``openapi``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from ensemble.contract.about import About, Health, NoParams
from ensemble.contract.agents import (
    AgentDeclaration,
    AgentForgotten,
    AgentList,
    AgentParams,
    AgentsParams,
    AgentView,
)
from ensemble.contract.base import Answer, Ask
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

__all__ = ["ALL", "Endpoint"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Endpoint[ParamsT: Ask, AnswerT: Answer]:
    """One thing that can be asked: verb and path, what stands in path and query, the body, the answer."""

    name: str
    """What the sidecar's handler and the client's method are called."""
    method: str
    path: str
    """With ``{field}`` for those fields of *params* that stand in the path; the others stand in the query."""
    params: type[ParamsT]
    ask: type[Ask] | None
    """The JSON body, or None where there is none."""
    answer: type[AnswerT]
    summary: str
    public: bool = False
    """True where no token is needed: health only."""
    streams: bool = False
    """True where answers come one by one, as server-sent events, until the stream ends."""

    def in_path(self) -> tuple[str, ...]:
        """Return the fields of *params* that stand in the path."""
        return tuple(_PLACEHOLDER.findall(self.path))

    def url(self, params: ParamsT) -> str:
        """Return path and query for *params*, quoted. A ``/`` in the last field of the path stays as it is."""
        values: dict[str, Any] = params.model_dump(exclude_none=True, exclude_defaults=True)
        fields = self.in_path()
        path = self.path
        for field in fields:
            safe = "/" if field == fields[-1] else ""
            path = path.replace(f"{{{field}}}", quote(str(values.pop(field)), safe=safe))
        return f"{path}?{urlencode(values)}" if values else path


LIVE = Endpoint("live", "GET", "/v1/health/live", NoParams, None, Health, "Whether the process lives.", public=True)
READY = Endpoint("ready", "GET", "/v1/health/ready", NoParams, None, Health, "Whether it can work.", public=True)
ABOUT = Endpoint("about", "GET", "/v1/about", NoParams, None, About, "Versions and the store behind it.")

EXCHANGE = Endpoint(
    "exchange", "POST", "/v1/exchange", NoParams, Exchange, ExchangeAnswer, "Settle, admit, open, renew, close."
)
GET_RUN = Endpoint("get_run", "GET", "/v1/runs/{run_id}", RunParams, None, RunView, "One run, whole.")
LIST_RUNS = Endpoint("list_runs", "GET", "/v1/runs", RunsParams, None, RunList, "The runs, newest first.")
GET_RUN_LOG = Endpoint(
    "get_run_log", "GET", "/v1/runs/{run_id}/messages", RunParams, None, RunLog, "The run's messages in order."
)
CANCEL_RUN = Endpoint(
    "cancel_run", "POST", "/v1/runs/{run_id}/cancel", RunParams, None, CancelAnswer, "End a run that is under way."
)

PACK_CONTEXT = Endpoint(
    "pack_context", "POST", "/v1/context", NoParams, ContextAsk, PackedContext, "Fit results into a window of tokens."
)

LIST_BREAKERS = Endpoint("list_breakers", "GET", "/v1/breakers", NoParams, None, BreakerList, "All breakers.")
GET_BREAKER = Endpoint("get_breaker", "GET", "/v1/breakers/one", BreakerParams, None, BreakerView, "One breaker.")
ADMIT_CALL = Endpoint(
    "admit_call", "POST", "/v1/breakers/admissions", NoParams, CallAsk, CallAdmission, "May a call of no run go out?"
)
SETTLE_CALL = Endpoint(
    "settle_call", "POST", "/v1/breakers/settlements", NoParams, CallNews, CallSettled, "How a call of no run ended."
)
SET_BREAKER_POLICY = Endpoint(
    "set_breaker_policy",
    "PUT",
    "/v1/breakers/policy",
    BreakerParams,
    BreakerPolicyAsk,
    BreakerView,
    "Judge an agent by an operator's numbers.",
)
FORCE_BREAKER = Endpoint(
    "force_breaker", "PUT", "/v1/breakers/force", BreakerParams, BreakerForce, BreakerView, "Hold a breaker, or let go."
)

LIST_BUDGETS = Endpoint("list_budgets", "GET", "/v1/budgets", NoParams, None, BudgetList, "All named budgets.")
_BUDGET = "/v1/budgets/one"
GET_BUDGET = Endpoint("get_budget", "GET", _BUDGET, BudgetParams, None, BudgetState, "One named budget.")
DEFINE_BUDGET = Endpoint(
    "define_budget", "PUT", _BUDGET, BudgetParams, BudgetDefinition, BudgetState, "What a named budget allows."
)
FORGET_BUDGET = Endpoint("forget_budget", "DELETE", _BUDGET, BudgetParams, None, BudgetState, "Forget a named budget.")
RESERVE_BUDGETS = Endpoint(
    "reserve_budgets",
    "POST",
    "/v1/budgets/reservations",
    NoParams,
    ReservationAsk,
    Reservation,
    "Reserve in all or none.",
)
SETTLE_BUDGETS = Endpoint(
    "settle_budgets",
    "POST",
    "/v1/budgets/settlements",
    NoParams,
    ReservationNews,
    ReservationSettled,
    "What a call has really used.",
)

GET_SLOTS = Endpoint(
    "get_slots", "GET", "/v1/slots", NoParams, None, SlotsView, "Limits of calls at one time, and use."
)
SET_SLOTS = Endpoint("set_slots", "PUT", "/v1/slots", NoParams, SlotLimits, SlotsView, "How many calls at one time.")

LIST_AGENTS = Endpoint(
    "list_agents", "GET", "/v1/agents", AgentsParams, None, AgentList, "The agents, those called last first."
)
_AGENT = "/v1/agents/one"
GET_AGENT = Endpoint("get_agent", "GET", _AGENT, AgentParams, None, AgentView, "One agent: health and statistics.")
DECLARE_AGENT = Endpoint(
    "declare_agent", "PUT", _AGENT, AgentParams, AgentDeclaration, AgentView, "Take an operator's word on an agent."
)
FORGET_AGENT = Endpoint(
    "forget_agent", "DELETE", _AGENT, AgentParams, None, AgentForgotten, "Forget an agent until it is called again."
)

_RESULT = "/v1/results/{ref}"
PUT_RESULT = Endpoint("put_result", "PUT", _RESULT, WholeParams, WholePut, WholeStored, "Store a result whole.")
GET_RESULT = Endpoint("get_result", "GET", _RESULT, WholeParams, None, WholeResult, "A result stored whole.")
GET_CACHED = Endpoint(
    "get_cached", "GET", "/v1/cache/{key}", CacheParams, None, CacheView, "An answer kept for when its agent fails."
)

_STATE = "/v1/traces/{trace_id}/state/{namespace}"
LIST_STATE = Endpoint("list_state", "GET", _STATE, NamespaceParams, None, StateList, "The entries of a namespace.")
GET_STATE = Endpoint("get_state", "GET", _STATE + "/{key}", StateParams, None, StateEntry, "One value.")
PUT_STATE = Endpoint("put_state", "PUT", _STATE + "/{key}", StateParams, StatePut, Versions, "Store a value.")
DELETE_STATE = Endpoint(
    "delete_state", "DELETE", _STATE + "/{key}", StateParams, StateRemoval, Deleted, "Remove a value."
)
INCREMENT_STATE = Endpoint(
    "increment_state", "POST", _STATE + "/{key}", StateParams, Increment, StateEntry, "Add to a number."
)
MERGE_STATE = Endpoint(
    "merge_state", "PATCH", _STATE + "/{key}", StateParams, Merge, StateEntry, "Merge a patch into an object."
)
_LIST = "/v1/traces/{trace_id}/lists/{namespace}/{key}"
APPEND_STATE = Endpoint("append_state", "POST", _LIST, StateParams, Append, Appended, "Add to the end of a list.")
_SET = "/v1/traces/{trace_id}/sets/{namespace}/{key}"
CHANGE_SET = Endpoint("change_set", "POST", _SET, StateParams, SetChange, SetChanged, "Add to a set, and remove.")
_TRACE = "/v1/traces/{trace_id}"
GET_STATES = Endpoint(
    "get_states", "POST", _TRACE + "/state-reads", TraceParams, StateRead, StateFound, "Several values at one moment."
)
PUT_STATES = Endpoint(
    "put_states", "POST", _TRACE + "/state-writes", TraceParams, StateWrite, StateWritten, "Store all or none."
)

_MESSAGES = _TRACE + "/messages"
SEND_MESSAGE = Endpoint("send_message", "POST", _MESSAGES, TraceParams, Send, Sent, "Put a message into a mailbox.")
GET_TRACE_LOG = Endpoint(
    "get_trace_log", "GET", _MESSAGES, TraceLogParams, None, TraceLog, "The trace's messages in order, its runs' too."
)
FOLLOW_TRACE = Endpoint(
    "follow_trace",
    "GET",
    _TRACE + "/events",
    TraceLogParams,
    None,
    AgentMessage,
    "The trace's messages as they come.",
    streams=True,
)
LIST_MAILBOXES = Endpoint(
    "list_mailboxes", "GET", _TRACE + "/mailboxes", TraceParams, None, MailboxList, "Mailboxes, and how full they are."
)
_MAILBOX = _TRACE + "/mailboxes/{agent}"
REGISTER_AGENT = Endpoint("register_agent", "PUT", _MAILBOX, MailboxParams, Register, Registered, "Open a mailbox.")
RECEIVE_MESSAGES = Endpoint(
    "receive_messages", "POST", _MAILBOX + "/deliveries", MailboxParams, Receive, Deliveries, "Lease messages, or wait."
)
ACKNOWLEDGE_MESSAGE = Endpoint(
    "acknowledge_message",
    "POST",
    _MAILBOX + "/acknowledgements",
    MailboxParams,
    Acknowledge,
    Acknowledged,
    "Say that a delivery was handled.",
)
REJECT_MESSAGE = Endpoint(
    "reject_message", "POST", _MAILBOX + "/rejections", MailboxParams, Reject, Rejected, "Say that handling failed."
)
RENEW_MESSAGE = Endpoint(
    "renew_message", "POST", _MAILBOX + "/renewals", MailboxParams, Renew, Renewed, "Let a lease last longer."
)
LIST_DEAD_LETTERS = Endpoint(
    "list_dead_letters",
    "GET",
    _MAILBOX + "/dead-letters",
    DeadLettersParams,
    None,
    DeadLetters,
    "What was given up, the oldest first.",
)
REDRIVE_DEAD_LETTERS = Endpoint(
    "redrive_dead_letters",
    "POST",
    _MAILBOX + "/dead-letters",
    MailboxParams,
    Redrive,
    Redriven,
    "Put dead letters back into their mailbox.",
)

ALL: tuple[Endpoint[Any, Any], ...] = (
    LIVE,
    READY,
    ABOUT,
    EXCHANGE,
    GET_RUN,
    LIST_RUNS,
    GET_RUN_LOG,
    CANCEL_RUN,
    PACK_CONTEXT,
    LIST_BREAKERS,
    GET_BREAKER,
    ADMIT_CALL,
    SETTLE_CALL,
    SET_BREAKER_POLICY,
    FORCE_BREAKER,
    LIST_BUDGETS,
    GET_BUDGET,
    DEFINE_BUDGET,
    FORGET_BUDGET,
    RESERVE_BUDGETS,
    SETTLE_BUDGETS,
    GET_SLOTS,
    SET_SLOTS,
    LIST_AGENTS,
    GET_AGENT,
    DECLARE_AGENT,
    FORGET_AGENT,
    PUT_RESULT,
    GET_RESULT,
    GET_CACHED,
    LIST_STATE,
    GET_STATE,
    PUT_STATE,
    DELETE_STATE,
    INCREMENT_STATE,
    MERGE_STATE,
    APPEND_STATE,
    CHANGE_SET,
    GET_STATES,
    PUT_STATES,
    SEND_MESSAGE,
    GET_TRACE_LOG,
    FOLLOW_TRACE,
    LIST_MAILBOXES,
    REGISTER_AGENT,
    RECEIVE_MESSAGES,
    ACKNOWLEDGE_MESSAGE,
    REJECT_MESSAGE,
    RENEW_MESSAGE,
    LIST_DEAD_LETTERS,
    REDRIVE_DEAD_LETTERS,
)

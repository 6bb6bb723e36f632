"""A Python function as an agent: what it is called with, and what its return values and exceptions mean.

A thread can't be killed, so a function that outlives its timeout is left behind and its result dropped. One that yields
its answer piece by piece is stopped between two pieces.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Generator, Mapping
from typing import Any

from ensemble.agents.classification import quote
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.answers import text_of
from ensemble.contract.outcomes import Outcome
from ensemble.contract.plain import plain
from ensemble.contract.results import Usage

__all__ = ["FunctionAgent", "unfit"]

_LONGEST_IDENTITY = 512
_FREE = Usage(tokens=0)
"""Python code uses no tokens; a function that calls a model says so in a :class:`Reply` of its own."""


def unfit(function: object) -> str:
    """Return why *function* can't be an agent, as a sentence; empty for one that can."""
    if not callable(function):
        return "It is neither a Dify app nor a function."
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "It is async, and agents run in threads."
    try:
        inspect.signature(function)
    except (TypeError, ValueError):
        return "Python can't tell what it takes."
    return ""


class FunctionAgent:
    """One function under the name a team gives it."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Call *function*, which is one :func:`unfit` has nothing against."""
        self._name = name
        self._function = function
        self._signature = inspect.signature(function)
        self._takes_call = _takes_call(self._signature)
        where = getattr(function, "__module__", None) or type(function).__module__
        what = getattr(function, "__qualname__", None) or type(function).__qualname__
        self._identity = f"python:{where}.{what}#{name}"[:_LONGEST_IDENTITY]

    @property
    def identity(self) -> str:
        """``python:<module>.<function>#<name in the team>``: what its breaker is known by."""
        return self._identity

    @property
    def host(self) -> str:
        """The function itself: it shares its places with nobody."""
        return self._identity

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Make one attempt."""
        arguments = self._arguments(call)
        if isinstance(arguments, Reply):
            return arguments
        try:
            value = self._function(*arguments.args, **arguments.kwargs)
            if inspect.isgenerator(value):
                value = _spoken(value, scope)
        except BaseException as error:  # noqa: BLE001 - also what would end a thread without a word to the engine
            return _failed(self._name, error)
        return _reply(value)

    def _arguments(self, call: Call) -> inspect.BoundArguments | Reply:
        """Return what the function is called with: the call, or the text and the inputs by their names."""
        inputs = {**call.fixed_inputs, **(call.inputs or {})}
        text = (call.query,) if call.asked or call.inputs is None else ()
        if self._takes_call:
            text, inputs = (), {}
            given: tuple[Any, ...] = (call,)
        elif text and not self._signature.parameters:
            given = ()
        else:
            given = text
        try:
            return self._signature.bind(*given, **inputs)
        except TypeError as error:
            names = ", ".join(inputs) or "the text alone"
            words = f"{self._name}{self._signature} can't be called with {names}: {error}. Correct the step's inputs."
            return Reply(outcome=Outcome.REJECTED, message=words, sent=False)


def _takes_call(signature: inspect.Signature) -> bool:
    """Whether the function wants everything there is: its first parameter is annotated as a call, or named so."""
    first = next(iter(signature.parameters.values()), None)
    if first is None:
        return False
    wanted = first.annotation
    if isinstance(wanted, str):  # under `from __future__ import annotations`
        return wanted.rpartition(".")[2] == Call.__name__
    return wanted is Call or (wanted is inspect.Parameter.empty and first.name == "call")


def _spoken(pieces: Generator[Any, Any, Any], scope: CallScope) -> str:
    """Return what a generator yields as one text, each piece passed on as it comes."""
    said = []
    for piece in pieces:
        if scope.cancelled or scope.left_s() <= 0:
            pieces.close()
            raise TimeoutError("its time was over before it was done")
        said.append(str(piece))
        scope.text(said[-1])
    return "".join(said)


def _reply(value: Any) -> Reply:
    match value:
        case Reply():
            return value
        case None:
            return Reply(outcome=Outcome.SUCCEEDED, usage=_FREE)
        case str():
            return Reply(outcome=Outcome.SUCCEEDED, text=value, data={"text": value}, usage=_FREE)
        case Mapping():
            data = plain(value)
            return Reply(outcome=Outcome.SUCCEEDED, text=text_of(data), data=data, usage=_FREE)
        case _:
            result = plain(value)
            text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
            return Reply(outcome=Outcome.SUCCEEDED, text=text, data={"result": result}, usage=_FREE)


def _failed(name: str, error: BaseException) -> Reply:
    """Say what an exception means: whoever is out of time or reach says so by Python's own exceptions."""
    outcome = Outcome.AGENT_FAILED
    if isinstance(error, TimeoutError):
        outcome = Outcome.TIMED_OUT
    elif isinstance(error, ConnectionError):
        outcome = Outcome.UNAVAILABLE
    words = f"{name} failed: {type(error).__name__}: {quote(str(error)) or 'no reason given'}"
    return Reply(outcome=outcome, message=words, retry_allowed=True, usage=_FREE)

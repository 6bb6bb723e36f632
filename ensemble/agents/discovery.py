"""What is known about the apps behind the keys: mode and declared inputs, asked once and kept for five minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ensemble.agents.app_ids import AppIds
from ensemble.agents.inputs import Variable
from ensemble.agents.port import CallScope, Reply
from ensemble.contract.outcomes import Outcome

__all__ = ["KEPT_S", "AppFacts", "Discovery"]

KEPT_S = 300.0
"""How long what an app told about itself is believed."""
_MOST_APPS = 10_000
_LOOK_S = 0.1
"""How often who waits for another's question looks whether its own call was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFacts:
    """What an app told about itself."""

    name: str
    mode: str
    """``workflow``, ``advanced-chat`` (a chatflow), ``chat``, ``agent-chat`` or ``completion``; "" while unknown."""
    variables: tuple[Variable, ...] = ()
    known_at: float = field(default_factory=time.monotonic)


class _Question:
    """One question under way; others who want the same answer wait for it."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.answer: AppFacts | Reply | None = None


class Discovery:
    """A process's knowledge of apps by identity. Safe to use from many threads or greenlets at once."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        """Begin knowing nothing; what is learnt is believed for *kept_s* seconds."""
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._facts: dict[str, AppFacts] = {}
        self._questions: dict[str, _Question] = {}
        self._streaming: set[str] = set()
        self.app_ids = AppIds()
        """Which apps are behind the keys."""

    def facts(self, identity: str, ask: Callable[[], AppFacts | Reply], scope: CallScope) -> AppFacts | Reply:
        """Return what is known, else what *ask* brings; of many who want to know the same, one asks for all.

        An answer that only concerns who asked (cancelled, out of time) is not shared: the next one asks again.
        """
        while True:
            with self._lock:
                known = self._facts.get(identity)
                if known is not None and time.monotonic() - known.known_at < self._kept_s:
                    return known
                question = self._questions.get(identity)
                asking = question is None
                if question is None:
                    question = self._questions[identity] = _Question()
            if asking:
                return self._ask(identity, question, ask)
            while not question.answered.wait(min(_LOOK_S, scope.left_s())):
                if scope.cancelled or scope.left_s() <= 0:
                    return ask()
            answer = question.answer
            if answer is not None and not (isinstance(answer, Reply) and answer.outcome in _PERSONAL):
                return answer

    def drop(self, identity: str) -> None:
        """Forget an app's mode and inputs: it answered as if they had changed."""
        with self._lock:
            self._facts.pop(identity, None)

    def learn(self, identity: str, facts: AppFacts) -> None:
        """Believe *facts* from now on: an answer told what the app had not."""
        with self._lock:
            self._facts[identity] = facts

    def streams_only(self, identity: str) -> bool:
        """Whether the app has said that it does not answer in blocking mode."""
        return identity in self._streaming

    def remember_streaming(self, identity: str) -> None:
        """Remember that the app does not answer in blocking mode."""
        with self._lock:
            self._streaming.add(identity)

    def _ask(self, identity: str, question: _Question, ask: Callable[[], AppFacts | Reply]) -> AppFacts | Reply:
        try:
            question.answer = answer = ask()
            if isinstance(answer, AppFacts):
                with self._lock:
                    if len(self._facts) >= _MOST_APPS:
                        self._facts.clear()
                    self._facts[identity] = answer
            return answer
        finally:
            with self._lock:
                del self._questions[identity]
            question.answered.set()


_PERSONAL = frozenset({Outcome.CANCELLED, Outcome.TIMED_OUT})

"""An agent with a memory goes on with one conversation, and only an attempt that succeeds moves it on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ensemble.agents.memory import LocalMemory, Memory, MemoryAway, Remembering
from ensemble.agents.port import Call, CallScope, Reply
from ensemble.contract.exchange import Remote
from ensemble.contract.outcomes import Outcome


@dataclass
class Talker:
    """Answers by a function of the conversation it is called in."""

    answer: Callable[[str | None], Reply]
    identity: str = "app:1"
    host: str = "h"
    asked: list[str | None] = field(default_factory=list)

    def call(self, call: Call, _scope: CallScope) -> Reply:
        self.asked.append(call.conversation_id)
        return self.answer(call.conversation_id)


def told(conversation: str | None, outcome: Outcome = Outcome.SUCCEEDED, message: str = "") -> Reply:
    return Reply(outcome=outcome, remote=Remote(conversation_id=conversation), message=message)


def ask(talker: Talker, memory: Memory, by: str = "c", user: str = "u") -> Reply:
    return Remembering(talker, memory, "market").call(Call(query="x", memory=by, user=user), CallScope(1))


def test_the_second_call_goes_on_where_the_first_ended() -> None:
    talker, memory = Talker(lambda known: told(known or "one")), LocalMemory()

    for _ in range(2):
        ask(talker, memory)

    assert [None, "one"] == talker.asked


def test_callers_users_and_agents_have_conversations_of_their_own() -> None:
    memory = LocalMemory()
    talker, other = Talker(lambda known: told(known or "one")), Talker(lambda known: told(known or "two"), "app:2")

    ask(talker, memory)
    ask(talker, memory, by="d")
    ask(talker, memory, user="v")
    ask(other, memory)

    assert ([None] * 3, [None]) == (talker.asked, other.asked)


def test_a_failure_does_not_move_it_on() -> None:
    replies = iter([told("one"), told("two", Outcome.AGENT_FAILED), told("one")])
    talker, memory = Talker(lambda _: next(replies)), LocalMemory()

    for _ in range(3):
        ask(talker, memory)

    assert [None, "one", "one"] == talker.asked


def test_a_conversation_that_is_gone_begins_anew_with_a_warning() -> None:
    def answer(known: str | None) -> Reply:
        if known == "gone":
            return told(None, Outcome.REJECTED, "refused the call (404 not_found: Conversation Not Exists.)")
        return told("new")

    talker, memory = Talker(answer), LocalMemory()
    memory.keep(_only_key(memory), "gone")

    reply = ask(talker, memory)

    assert (Outcome.SUCCEEDED, ["gone", None]) == (reply.outcome, talker.asked)
    assert "since Dify 1.15" in reply.warnings[0]
    ask(talker, memory)
    assert "new" == talker.asked[-1]


def _only_key(memory: LocalMemory) -> str:
    """The key by which ``ask`` remembers, found by asking once."""
    keys: list[str] = []

    class Spy(LocalMemory):
        def recall(self, key: str) -> str | None:
            keys.append(key)
            return memory.recall(key)

    ask(Talker(lambda _: told(None, Outcome.AGENT_FAILED)), Spy())
    return keys[0]


def test_an_app_without_conversations_is_told_so() -> None:
    reply = ask(Talker(lambda _: Reply(outcome=Outcome.SUCCEEDED)), LocalMemory())

    assert "only chat-like apps do" in reply.warnings[0]


def test_a_memory_that_is_away_costs_the_conversation_and_not_the_call() -> None:
    class Away(LocalMemory):
        def recall(self, key: str) -> str | None:  # noqa: ARG002 - the port's
            raise MemoryAway("No answer.")

        def keep(self, key: str, conversation_id: str) -> None:  # noqa: ARG002 - the port's
            raise MemoryAway("No answer.")

    reply = ask(Talker(lambda _: told("one")), Away())

    assert Outcome.SUCCEEDED is reply.outcome
    assert ["market may not go on with its conversation: No answer."] * 2 == list(reply.warnings)

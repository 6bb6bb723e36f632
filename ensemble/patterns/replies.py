"""What a manager said: subtasks to give out, or the answer; read with suspicion, and refused in words it can act on."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble.contract.base import is_name
from ensemble.contract.loose import objects, without_thoughts
from ensemble.plan.faults import folded, nearest, shortened
from ensemble.plan.reading.cycles import find_cycles, in_words

__all__ = ["Answered", "BadPlan", "Given", "NoObject", "Subtask", "read_reply"]

READ_CHARS = 200_000
"""How much of a reply is read."""
_TASKS = ("subtasks", "tasks")


class BadPlan(Exception):  # noqa: N818 - what it says is about the reply
    """The subtasks can't be given out as written; the message says what to write instead."""


class NoObject(BadPlan):
    """The reply holds no JSON object with subtasks or an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtask:
    """One piece of work, for one of the team."""

    id: str
    agent: str
    input: str
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """Work to give out."""

    subtasks: tuple[Subtask, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to the whole task; whatever else stood beside it is data."""

    text: str
    data: Mapping[str, Any]


def read_reply(text: str, team: Sequence[str], earlier: Collection[str], most: int) -> Given | Answered:
    """Return what a manager said.

    Args:
        text: Its reply.
        team: Whom it can give work to.
        earlier: Ids of subtasks of earlier rounds, which new ones may depend on.
        most: How many subtasks it may give out at once.

    Raises:
        NoObject: it holds no object with subtasks or an answer.
        BadPlan: what it gives out can't be done as written.

    """
    # A brace that is never closed may belong to a sentence, so what comes after it counts as well.
    read = (each.read() for each in objects(without_thoughts(text[:READ_CHARS])) if each.whole)
    found = [said for said in read if said is not None and _speaks(said)]
    if not found:
        raise NoObject('It holds no JSON object with "subtasks" or an "answer".')
    said = found[-1]
    listed = next((said[name] for name in _TASKS if said.get(name)), None)
    if listed is None:
        return _answered(said)
    if not isinstance(listed, list):
        raise BadPlan('"subtasks" is no list.')
    if len(listed) > most:
        raise BadPlan(f"There are {len(listed)} subtasks; give out at most {most} at once.")
    subtasks = tuple(_subtask(each, number, team) for number, each in enumerate(listed, 1))
    _check(subtasks, earlier)
    return Given(subtasks)


def _speaks(said: Mapping[str, Any]) -> bool:
    return any(said.get(name) for name in _TASKS) or "answer" in said


def _answered(said: Mapping[str, Any]) -> Answered:
    answer = said.get("answer")
    if answer in (None, ""):
        raise BadPlan("There are neither subtasks nor an answer.")
    data = {name: value for name, value in said.items() if name not in _TASKS}
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False, default=str)
    return Answered(text, data)


def _subtask(given: Any, number: int, team: Sequence[str]) -> Subtask:
    if not isinstance(given, Mapping):
        raise BadPlan(f"Subtask {number} is no object.")
    name = str(given.get("id") or number).strip()
    if not is_name(name):
        raise BadPlan(f"'{shortened(name)}' is no id; write a short name.")
    word = given.get("agent")
    known = {folded(each): each for each in team}
    agent = known.get(folded(word)) if isinstance(word, str) else None
    if agent is None:
        near = nearest(str(word), team)
        meant = f"Did you mean '{near}'? " if near else ""
        raise BadPlan(f"Subtask '{name}': there is no agent '{shortened(word)}'. {meant}There are: {', '.join(team)}.")
    work = given.get("input", given.get("task"))
    text = work if isinstance(work, str) else "" if work is None else json.dumps(work, ensure_ascii=False, default=str)
    if not text.strip():
        raise BadPlan(f"Subtask '{name}' has no input; say what {agent} shall do.")
    before = given.get("depends_on") or ()
    before = [before] if isinstance(before, str | int) else before
    if not isinstance(before, list | tuple):
        raise BadPlan(f"Subtask '{name}': depends_on is no list of ids.")
    return Subtask(
        id=name, agent=agent, input=text, depends_on=tuple(dict.fromkeys(str(each).strip() for each in before))
    )


def _check(subtasks: Sequence[Subtask], earlier: Collection[str]) -> None:
    ids = [subtask.id for subtask in subtasks]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise BadPlan(f"The id '{twice}' stands there twice.")
    for subtask in subtasks:
        unknown = next((name for name in subtask.depends_on if name not in ids and name not in earlier), None)
        if unknown is not None:
            raise BadPlan(f"Subtask '{subtask.id}' depends on '{shortened(unknown)}', which is no subtask.")
    for cycle in find_cycles({each.id: tuple(name for name in each.depends_on if name in ids) for each in subtasks}):
        raise BadPlan(f"A circle: {in_words(cycle)}.")

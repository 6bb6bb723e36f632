"""Reading ``cache`` and ``fallback``, and what is wrong with them once every agent is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ensemble.contract.caching import LONGEST_KEPT_S
from ensemble.plan.fallbacks import Cache, Fallback, back_to, circles
from ensemble.plan.faults import Faults
from ensemble.plan.inside import callers_within
from ensemble.plan.model import Plan
from ensemble.plan.reading.fields import Fields, at, name_of
from ensemble.plan.reading.lookup import Declaration, Directory
from ensemble.plan.reading.texts import Texts
from ensemble.plan.templates import BareWords

__all__ = [
    "FRESH_S", "MOST_S", "REFUSAL", "STALE_S", "check_fallbacks", "fallback_settings", "find_backups", "found_backup",
]  # fmt: skip

FRESH_S = 300
"""How long an answer counts as fresh where only *stale* is given."""
STALE_S = 86_400
"""How long it may stand in after that, where nobody says."""
MOST_S = LONGEST_KEPT_S // 2
"""The most of either."""

OFF = False
"""Written for either field: nothing of the kind here, whatever agent or defaults say."""
REFUSAL = "It may be needed before any step has a result; refer to task or start."


def fallback_settings(fields: Fields, texts: Texts) -> dict[str, Any]:
    """Read both fields, as agents, steps and defaults have them; None for what is not said."""
    return {"cache": _read_cache(fields, texts.faults), "fallback": _read_fallback(fields, texts)}


def _read_cache(fields: Fields, faults: Faults) -> Cache | None:
    """Read ``cache``: seconds, ``{fresh, stale}``, or true or false; None where nothing is said."""
    path = fields.at("cache")
    match fields.take("cache"):
        case None | "":
            return None
        case bool(on):
            return Cache(FRESH_S, STALE_S) if on else Cache(0, 0)
        case Mapping() as value:
            inner = Fields(value, path, faults)
            fresh, stale = inner.whole("fresh", 0, MOST_S), inner.whole("stale", 0, MOST_S)
            inner.close()
            return Cache(FRESH_S if fresh is None else fresh, STALE_S if stale is None else stale)
        case int() | float() | str() as value:
            seconds = Fields({path: value}, "", faults).whole(path, 1, MOST_S)
            return None if seconds is None else Cache(seconds, STALE_S)
        case _:
            faults.add(path, "It is no time.", "Write seconds, {fresh: 300, stale: 86400}, true or false.")
            return None


def _read_fallback(fields: Fields, texts: Texts) -> Fallback | None:
    """Read ``fallback``: an agent's name, ``{agent, default}``, or false; None where nothing is said.

    The name is looked up later, by :func:`find_backups` or by whoever reads a step.
    """
    value, path = fields.take("fallback"), fields.at("fallback")
    if value is None or value == "":
        return None
    if value is OFF:
        return Fallback()
    if not isinstance(value, Mapping):
        name = name_of(value, path, texts.faults)
        return None if name is None else Fallback(agent=name)
    inner = Fields(value, path, texts.faults)
    name, default = inner.name("agent"), inner.take("default")
    if not inner.has("agent") and not inner.has("default"):
        texts.faults.add(path, "It names neither an agent nor a default.", "Write {agent: name, default: value}.")
    inner.close()
    own = replace(texts, words=BareWords((), texts.words.inputs), refusal=REFUSAL)
    return Fallback(agent=name, default=own.value(default, at(path, "default")))


def found_backup(fallback: Fallback | None, path: str, directory: Directory) -> Fallback | None:
    """Return *fallback* with its agent looked up; a fault is noted where there is none of that name."""
    if fallback is None or fallback.agent is None:
        return fallback
    return replace(fallback, agent=directory.find(fallback.agent, path))


def find_backups(declared: Iterable[Declaration], directory: Directory) -> None:
    """Look up the backups that agents name for themselves."""
    for declaration in declared:
        spec = directory.agents.get(declaration.name)
        if spec is not None and spec.fallback is not None:
            found = found_backup(spec.fallback, at(declaration.path, "fallback"), directory)
            directory.keep(replace(spec, fallback=found))


def check_fallbacks(plan: Plan, paths: Mapping[str, str], faults: Faults) -> None:
    """Note circles of backups, and caches of agents whose answers can't be kept; *paths*: where each step stands."""
    others = {name: spec.fallback for name, spec in plan.agents.items()}
    for circle in circles(others):
        _circle(f"agents.{circle[0]}.fallback", circle, faults)
    for name, spec in plan.agents.items():
        if spec.memory and spec.cache is not None and spec.cache.kept_s:
            _forgetful(f"agents.{name}.cache", name, faults)
    memories = {name for name, spec in plan.agents.items() if spec.memory}
    for path, step in ((paths.get(outer.id, ""), step) for outer in plan.steps for step in callers_within(outer)):
        if step.cache is not None and step.cache.kept_s and step.agent in memories:
            _forgetful(at(path, "cache"), step.agent, faults)
        row = None if step.fallback is None else back_to(step.agent, step.fallback, others)
        if row is not None:
            _circle(at(path, "fallback"), row, faults)


def _circle(path: str, circle: tuple[str, ...], faults: Faults) -> None:
    problem = f"A circle of backups: {' → '.join(circle)}."
    faults.add(path, problem, "Take one of these fallbacks out, or name another agent.")


def _forgetful(path: str, agent: str, faults: Faults) -> None:
    problem = f"The answers of '{agent}' depend on its conversation (memory: true), so none can stand for another."
    faults.add(path, problem, "Leave cache out, or memory.")

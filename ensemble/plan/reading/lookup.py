"""Whom the name of an agent means: one declared in the plan, an app in the credentials, or an app by its id."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ensemble.plan.agents import AgentRef, AgentSpec, AppAgent, CredentialAgent
from ensemble.plan.faults import Faults, folded, nearest

__all__ = ["Declaration", "Directory", "resolve"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """An agent as a plan declares it, before its app is looked up."""

    name: str
    path: str
    target: str
    """What to look up: an app's name in the credentials or its id; the agent's own name where nothing is said."""
    target_path: str
    ref: AgentRef | None = None
    """Given where nothing has to be looked up: a model or a tool."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The other fields of an :class:`AgentSpec`."""


def resolve(word: str, credentials: Collection[str]) -> AgentRef | None:
    """Return the app that *word* means: a name in the credentials, ignoring case, else a UUID."""
    for name in credentials:
        if folded(name) == folded(word):
            return CredentialAgent(name)
    return AppAgent(word.strip().lower()) if _UUID.fullmatch(word.strip()) else None


class Directory:
    """Finds agents by name, and gathers those a plan uses."""

    def __init__(self, declared: Collection[Declaration], credentials: Collection[str], faults: Faults) -> None:
        """Look every declared agent up at once, so that an unused one with a typo is found too."""
        self._credentials = tuple(credentials)
        self._faults = faults
        self._names = tuple(each.name for each in declared if each.ref or resolve(each.target, credentials))
        self._failed: set[str] = set()
        self.agents: dict[str, AgentSpec] = {}
        self._by_key: dict[str, AgentSpec] = {}
        for declaration in declared:
            self._declare(declaration)

    def find(self, word: str, path: str) -> str | None:
        """Return the name of the agent that *word* at *path* means, or None after noting that there is none."""
        known = self._by_key.get(folded(word))
        if known:
            return known.name
        if folded(word) in self._failed:
            return None
        ref = resolve(word, self._credentials)
        if ref is None:
            self._unknown(word, path)
            return None
        name = ref.name if isinstance(ref, CredentialAgent) else word.strip().lower()
        return self.keep(AgentSpec(name=name, ref=ref)).name

    def _declare(self, declaration: Declaration) -> None:
        ref = declaration.ref or resolve(declaration.target, self._credentials)
        if ref is None:
            self._failed.add(folded(declaration.name))
            self._unknown(declaration.target, declaration.target_path)
        else:
            self.keep(AgentSpec(name=declaration.name, ref=ref, **declaration.settings))

    def keep(self, spec: AgentSpec) -> AgentSpec:
        """Let *spec* be the agent of its name."""
        self.agents[spec.name] = spec
        self._by_key[folded(spec.name)] = spec
        return spec

    def _unknown(self, word: str, path: str) -> None:
        known = list(dict.fromkeys((*self._names, *self._credentials)))
        near = nearest(word, [name for name in known if folded(name) != folded(word)])
        meant = f"Did you mean '{near}'? " if near else ""
        listed = f"There are: {', '.join(known[:20])}. " if known else "There are no agents yet. "
        self._faults.add(
            path,
            f"There is no agent '{word}'.",
            f"{meant}{listed}To add an app, paste the whole list of keys (name = app-...) into the plugin's settings "
            "again, old ones included: saved keys are never shown.",
        )

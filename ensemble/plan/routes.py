"""What a router chooses between, and how: routes and strategies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from ensemble.plan.conditions import Condition

__all__ = ["MARGIN", "THRESHOLD", "ModelName", "Route", "Routing", "Strategy"]

THRESHOLD = 0.3
"""The least cosine that decides: for a small embedding model measured, as docs/router.md tells."""
MARGIN = 0.02


class Strategy(StrEnum):
    """Who decides."""

    RULES = "rules"
    """Keywords, patterns and conditions."""
    SEMANTIC = "semantic"
    """An embedding model: the route whose description or example is nearest."""
    LLM = "llm"
    """A model or a classifier app is asked."""
    AUTO = "auto"
    """Each of these that is set up, in this order, until one decides."""


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model of the workspace."""

    provider: str
    """Such as ``langgenius/openai/openai``."""
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way a query can go."""

    name: str
    description: str = ""
    examples: tuple[str, ...] = ()
    """Queries that go this way."""
    keywords: tuple[str, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    when: Condition | None = None
    """About the task and the inputs; where it does not hold, rules don't take the route."""
    agents: tuple[str, ...] = ()
    """Who works, as written; nobody named: the agent of the route's own name."""

    @property
    def has_rules(self) -> bool:
        """Whether rules can choose it."""
        return bool(self.keywords or self.patterns or self.when)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """How to choose between routes."""

    routes: tuple[Route, ...]
    strategy: Strategy = Strategy.AUTO
    default: str = ""
    """The route where nobody decides; empty where there is none."""
    model: ModelName | None = None
    """Who is asked as *llm*."""
    classifier: str = ""
    """The app that is asked instead of a model, as written."""
    embedding: ModelName | None = None
    threshold: float = THRESHOLD
    """The least cosine at which *semantic* decides."""
    margin: float = MARGIN
    """How far the nearest route has to be before the next one."""

    def uses(self, strategy: Strategy) -> bool:
        """Return whether *strategy* has a say."""
        if self.strategy not in {strategy, Strategy.AUTO}:
            return False
        match strategy:
            case Strategy.RULES:
                return any(route.has_rules for route in self.routes)
            case Strategy.SEMANTIC:
                return self.embedding is not None
            case _:
                return self.model is not None or bool(self.classifier)

"""Reading routes and how to choose between them, from ``route`` of a plan or the router's parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ensemble.plan.expressions import BadPattern, read_pattern
from ensemble.plan.faults import Faults, folded, suggestion
from ensemble.plan.reading.fields import Fields, at, entries, name_of
from ensemble.plan.reading.texts import Texts
from ensemble.plan.reading.when import read_when
from ensemble.plan.routes import MARGIN, THRESHOLD, ModelName, Route, Routing, Strategy

__all__ = ["MOST_ROUTES", "read_model_name", "read_routing"]

MOST_ROUTES = 100
MOST_TEXTS = 1000
"""Descriptions and examples of all routes together: what one call to an embedding model is given."""
MOST_WORDS = 200
"""Keywords, examples or patterns of one route."""
LONGEST_TEXT = 2000
MOST_WAYS_IN_ALL = 50_000
"""Ways of all patterns together (see :mod:`ensemble.plan.expressions`)."""


def read_routing(fields: Fields, team: Mapping[str, str], texts: Texts) -> Routing:
    """Return the routing that *fields* describe; what is wrong is noted.

    Args:
        fields: ``route`` of a plan, or the same made of the tool's parameters.
        team: Descriptions by agent's name; without routes of their own, each agent is one.
        texts: Reads conditions.

    """
    faults = texts.faults
    routes = _routes(fields, team, texts)
    strategy = fields.choice("strategy", tuple(Strategy))
    default = fields.text("default").strip()
    routing = Routing(
        routes=routes,
        strategy=Strategy(strategy) if strategy else Strategy.AUTO,
        default=_known(default, routes, fields.at("default"), faults),
        model=read_model_name(fields.take("model"), fields.at("model"), faults),
        classifier=fields.text("classifier").strip(),
        embedding=read_model_name(fields.take("embedding"), fields.at("embedding"), faults),
        threshold=_share(fields, "threshold", THRESHOLD, faults),
        margin=_share(fields, "margin", MARGIN, faults),
    )
    fields.close()
    _check(routing, fields, faults)
    return routing


def read_model_name(given: Any, path: str, faults: Faults) -> ModelName | None:
    """Read a model as ``provider/model``, as ``{provider, name}``, or as Dify's selector gives it."""
    if given in (None, "", {}):
        return None
    if isinstance(given, Mapping):
        provider = str(given.get("provider") or "").strip()
        model = str(given.get("model") or given.get("name") or "").strip()
    else:
        provider, _, model = str(given).strip().rpartition("/")
    if provider and model:
        return ModelName(provider, model)
    fix = "Write provider/model, such as langgenius/openai/openai/gpt-4o-mini, or {provider: ..., name: ...}."
    faults.add(path, "It names no provider and model.", fix)
    return None


def _routes(fields: Fields, team: Mapping[str, str], texts: Texts) -> tuple[Route, ...]:
    data, path = fields.take("routes"), fields.at("routes")
    if data is None:
        return tuple(Route(name=name, description=about, agents=(name,)) for name, about in team.items())
    if isinstance(data, Mapping):
        data = [_entry(name, spec) for name, spec in data.items()]
    listed = entries(data, path, texts.faults)
    if len(listed) > MOST_ROUTES:
        texts.faults.add(path, f"There are {len(listed)} routes.", f"At most {MOST_ROUTES}.")
        return ()
    found: dict[str, Route] = {}
    for where, item in listed:
        route = _route(item, where, texts)
        if route is not None and folded(route.name) in found:
            texts.faults.add(where, f"The name '{route.name}' is taken.", "Give every route a name of its own.")
        elif route is not None:
            found[folded(route.name)] = route
    return tuple(found.values())


def _entry(name: Any, spec: Any) -> Any:
    """Return an entry of a map of routes as one of a list; a text behind a name is its description."""
    if spec is None or isinstance(spec, str):
        return {"name": name, "description": spec}
    return {"name": name, **spec} if isinstance(spec, Mapping) and "name" not in spec else spec


def _route(item: Any, path: str, texts: Texts) -> Route | None:
    faults = texts.faults
    if isinstance(item, str):
        item = {"name": item}
    fields = Fields(item, path, faults)
    name = fields.name("name")
    if name is None and not fields.has("name"):
        faults.add(at(path, "name"), "It is missing.", "Name the route.")
    condition, when_path = fields.take("when"), fields.at("when")
    route = Route(
        name=name or path,
        description=fields.text("description").strip()[:LONGEST_TEXT],
        examples=_words(fields, "examples", faults),
        keywords=_words(fields, "keywords", faults),
        patterns=_patterns(fields, faults),
        when=None if condition is None else read_when(condition, when_path, texts),
        agents=_agents(fields, faults),
    )
    fields.close()
    return route if name else None


def _words(fields: Fields, name: str, faults: Faults) -> tuple[str, ...]:
    data, path = fields.take(name), fields.at(name)
    if isinstance(data, str) and name == "keywords":
        data = [word for word in re.split(r"[,;\uff0c\uff1b\u3001\n]", data) if word.strip()]
    listed = [(where, str(item).strip()) for where, item in entries(data, path, faults)]
    if len(listed) > MOST_WORDS:
        faults.add(path, f"There are {len(listed)}.", f"At most {MOST_WORDS}.")
        return ()
    for where, word in listed:
        if not 0 < len(word) <= LONGEST_TEXT:
            faults.add(where, "It is empty." if not word else "It is too long.", f"1 to {LONGEST_TEXT} characters.")
    return tuple(dict.fromkeys(word for _, word in listed))


def _patterns(fields: Fields, faults: Faults) -> tuple[re.Pattern[str], ...]:
    found = []
    listed = entries(fields.take("patterns"), fields.at("patterns"), faults)
    if len(listed) > MOST_WORDS:
        faults.add(fields.at("patterns"), f"There are {len(listed)}.", f"At most {MOST_WORDS}.")
    for where, item in listed[:MOST_WORDS]:
        try:
            found.append(read_pattern(str(item))[0])
        except BadPattern as error:
            faults.add(where, str(error), "See the subset of regular expressions that routes take.")
    return tuple(found)


def _agents(fields: Fields, faults: Faults) -> tuple[str, ...]:
    listed = entries(fields.take("agents"), fields.at("agents"), faults)
    names = (name_of(item, where, faults) for where, item in listed)
    return tuple(dict.fromkeys(name for name in names if name))


def _share(fields: Fields, name: str, default: float, faults: Faults) -> float:
    value = fields.take(name)
    if value in (None, ""):
        return default
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if 0 <= number <= 1:
        return number
    faults.add(fields.at(name), "It is no number from 0 to 1.", f"Write one, such as {default}.")
    return default


def _known(default: str, routes: tuple[Route, ...], path: str, faults: Faults) -> str:
    names = {folded(route.name): route.name for route in routes}
    if default and folded(default) not in names:
        faults.add(path, f"There is no route '{default}'.", suggestion(default, tuple(names.values())))
    return names.get(folded(default), "")


def _check(routing: Routing, fields: Fields, faults: Faults) -> None:
    """Note what the strategy needs and does not have."""
    if not routing.routes:
        faults.add(fields.at("routes"), "There are no routes.", "Write a list of {name, description, ...}.")
        return
    texts = sum(bool(route.description) + len(route.examples) for route in routing.routes)
    if texts > MOST_TEXTS:
        faults.add(fields.at("routes"), f"There are {texts} descriptions and examples.", f"At most {MOST_TEXTS}.")
    ways = sum(_ways(pattern) for route in routing.routes for pattern in route.patterns)
    if ways > MOST_WAYS_IN_ALL:
        faults.add(fields.at("routes"), "All patterns together take too much work.", "Use fewer * and +.")
    if not any(routing.uses(strategy) for strategy in Strategy if strategy is not Strategy.AUTO):
        problem, fix = _NEEDS[routing.strategy]
        faults.add(fields.at("strategy"), problem, fix)


_NEEDS: Mapping[Strategy, tuple[str, str]] = {
    Strategy.RULES: ("No route has a rule.", "Give routes keywords, patterns or when."),
    Strategy.SEMANTIC: ("There is no embedding model.", "Name one as embedding: provider/model."),
    Strategy.LLM: ("There is nobody to ask.", "Name a model: provider/model, or an app as classifier."),
    Strategy.AUTO: (
        "There is nothing to decide by.",
        "Give routes keywords, or name an embedding model, a model or a classifier app.",
    ),
}


def _ways(pattern: re.Pattern[str]) -> int:
    return read_pattern(pattern.pattern)[1]

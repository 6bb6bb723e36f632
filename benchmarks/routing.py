"""How often each of the router's strategies is right, and what it costs, over labelled queries in three languages.

The figures are the mechanism's, not a model's: vectors come from hashed letters and words, and the model that is asked
is a script that knows the label, errs at a set rate and sometimes replies carelessly. What they show is how the strategies
compare, what *auto* saves, and that a wrong or broken reply stays what it is.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from benchmarks.results import Entry, table
from ensemble.agents.port import Agent, Call, CallScope, Reply
from ensemble.contract.outcomes import Outcome
from ensemble.contract.results import Usage
from ensemble.engine.attempts.hosts import Hosts
from ensemble.engine.events import Report
from ensemble.engine.ledger.book import Book
from ensemble.engine.request import RunRequest
from ensemble.engine.run import run
from ensemble.engine.threads import ThreadRunner
from ensemble.packing.estimate import estimate_tokens
from ensemble.plan.faults import Faults
from ensemble.plan.model import Plan
from ensemble.plan.reading.fields import Fields
from ensemble.plan.reading.routes import read_routing
from ensemble.plan.reading.texts import Texts
from ensemble.plan.routes import ModelName, Routing, Strategy
from ensemble.plan.templates import BareWords
from ensemble.routing.choices import Choice
from ensemble.routing.deciders import Embedded, Embedder
from ensemble.routing.nearness import Vector, unit
from ensemble.routing.team import routed

__all__ = ["HashedEmbedder", "Query", "ScriptedModel", "measure", "queries", "routing_of"]

DATA = Path(__file__).resolve().parent.parent / "tests" / "ensemble" / "routing"
DIMENSIONS = 1024
ERRS = 0.04
"""How often the scripted model names a wrong route."""
CARELESS = 0.1
"""How often its first reply can't be read."""


@dataclass(frozen=True, slots=True)
class Query:
    """One labelled query; the label of one that fits no route is empty."""

    domain: str
    label: str
    language: str
    text: str


def queries() -> Iterator[Query]:
    """Yield the labelled queries."""
    data = yaml.safe_load((DATA / "queries.yaml").read_text(encoding="utf-8"))
    for domain, routes in data.items():
        for route, languages in routes.items():
            for language, texts in languages.items():
                yield from (Query(domain, "" if route == "none" else route, language, text) for text in texts)


def routing_of(domain: str, strategy: Strategy) -> Routing:
    """Return the routes of *domain* with everybody who may decide."""
    data = yaml.safe_load((DATA / "routes.yaml").read_text(encoding="utf-8"))
    faults = Faults()
    settings = {"routes": data[domain], "strategy": str(strategy), "threshold": 0.12, "margin": 0.01}
    texts = Texts(BareWords((), {}), faults, [])
    named = {**settings, "model": "scripted/model", "embedding": "hashed/letters"}
    routing = read_routing(Fields(named, "route", faults), {}, texts)
    faults.stop()
    return replace(routing, embedding=ModelName("hashed", "letters"))


class HashedEmbedder:
    """Vectors out of hashed words and pairs of letters: the same on every machine, and meaning nothing."""

    identity = "model:hashed/letters#0000000000000000"
    host = "here"

    def __init__(self) -> None:
        """Begin without any vector."""
        self._known: dict[str, Vector] = {}
        self.calls = 0

    def embed(self, query: str, lasting: Sequence[str], scope: CallScope) -> Embedded | Reply:
        """Return vectors; texts that last are paid for once."""
        del scope
        self.calls += 1
        missing = [text for text in dict.fromkeys((query, *lasting)) if text not in self._known]
        new = {text: hashed(text) for text in missing}
        self._known |= {text: vector for text, vector in new.items() if text in lasting}
        return Embedded({**self._known, **new}, Usage(tokens=sum(map(estimate_tokens, missing))))


def hashed(text: str) -> Vector:
    """Return the vector of *text*."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"[a-z0-9]+", plain)
    wide = [letter for letter in plain if unicodedata.east_asian_width(letter) in "WF" and letter.isalnum()]
    features = [*words, *(word[:5] for word in words), *("".join(pair) for pair in itertools.pairwise(wide))]
    values = [0.0] * DIMENSIONS
    for feature in features:
        digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
        values[int.from_bytes(digest[:4]) % DIMENSIONS] += 1.0 if digest[4] % 2 else -1.0
    return unit(values) or values


class ScriptedModel:
    """A model that knows the labels, errs now and then, and has a careless way of writing JSON."""

    identity = "model:scripted/model#0000000000000000"
    host = "here"

    def __init__(self, labels: Mapping[str, str], routes: Sequence[str]) -> None:
        """Know *labels* by query, and the *routes* to err among."""
        self._labels = labels
        self._routes = tuple(routes)
        self.calls = 0

    def call(self, call: Call, scope: CallScope) -> Reply:
        """Reply as a model does."""
        del scope
        self.calls += 1
        query, _, complaint = call.query.partition("### query\n")[2].partition("\n\nYour last reply")
        chance = int.from_bytes(hashlib.blake2b(query.encode(), digest_size=4).digest()) / 2**32
        label = self._labels[query] or "none"
        if chance < ERRS:
            label = next(route for route in self._routes if route != label)
        text = json.dumps({"route": label, "confidence": 0.9, "reason": "It fits."})
        if not complaint and chance > 1 - CARELESS:
            text = "It might be several of them."
        elif chance > 0.5:
            text = f"Sure!\n```json\n{text[:-1]},}}\n```"
        tokens = estimate_tokens(call.query) + estimate_tokens(text)
        return Reply(outcome=Outcome.SUCCEEDED, text=text, data={"answer": text}, usage=Usage(tokens=tokens))


@dataclass(frozen=True, slots=True)
class _Judges:
    """The scripted ones."""

    near: HashedEmbedder
    model: ScriptedModel

    def embedder(self, provider: str, model: str) -> Embedder:
        del provider, model
        return self.near

    def asked(self, provider: str, model: str, prompt: str) -> Agent:
        del provider, model, prompt
        return self.model

    def app(self, name: str) -> Agent:
        raise KeyError(name)


def decide(routing: Routing, query: Query, judges: _Judges) -> tuple[Choice, Report | None]:
    """Route one query through the engine; the report is None where rules decided."""
    plan = Plan(agents={}, steps=(), pattern="routing")
    made = routed(plan, routing, task=query.text, inputs={}, judges=judges)
    if not made.plan.steps:
        return made.choice(()), None
    request = RunRequest(plan=made.plan, agents=made.agents, task=query.text)
    conducting = run(request, ledger=Book(), runner=ThreadRunner(), hosts=Hosts(), chance=lambda: 0.0)
    while True:
        try:
            next(conducting)
        except StopIteration as ended:
            report: Report = ended.value
            return made.choice(report.results), report


def measure(every: int = 1) -> list[Entry]:
    """Route every query (or every so manieth) by every strategy, print the table, return the entries."""
    asked = list(queries())[::every]
    entries: list[Entry] = []
    rows = []
    for strategy in Strategy:
        right: dict[str, list[bool]] = {}
        tokens = calls = 0
        for domain in dict.fromkeys(query.domain for query in asked):
            routing = routing_of(domain, strategy)
            own = [query for query in asked if query.domain == domain]
            labels = {query.text: query.label for query in own}
            judges = _Judges(HashedEmbedder(), ScriptedModel(labels, [route.name for route in routing.routes]))
            for query in own:
                choice, report = decide(routing, query, judges)
                right.setdefault(query.language, []).append(choice.route == query.label)
                tokens += (report.usage.tokens or 0) if report else 0
            calls += judges.near.calls + judges.model.calls
        all_ = [each for found in right.values() for each in found]
        share = sum(all_) / len(all_)
        name = f"routing.{strategy}"
        entries.append(Entry(f"{name}.accuracy", share * 100, "%"))
        if calls:  # Rules cost nothing.
            entries.append(Entry(f"{name}.tokens", tokens / len(all_), "tokens/query"))
            entries.append(Entry(f"{name}.calls", calls / len(all_), "calls/query"))
        shown = [f"{sum(found) / len(found):.1%}" for found in right.values()]
        rows.append([str(strategy), f"{share:.1%}", *shown, f"{tokens / len(all_):.1f}", f"{calls / len(all_):.2f}"])
    languages = list(dict.fromkeys(query.language for query in asked))
    head = ("strategy", "right", *languages, "tokens/query", "calls/query")
    print(f"\nRouting {len(asked)} labelled queries (vectors and model are scripted: the mechanism's figures)\n")
    print(table(head, rows))
    return entries

"""What holds for the spans of any record, and a short way to get them."""

from __future__ import annotations

import re
from functools import partial

from ensemble.contract.tracing import attempt_span, run_span, w3c_trace_id
from ensemble.rules.happenings import EngineLost, RunClosed
from ensemble.rules.snapshot import Changes
from sidecar.traces.attributes import MEANINGS
from sidecar.traces.reading import find_stretch, stretch_wants
from sidecar.traces.spans import Span, spans_of
from sidecar.traces.stretch import Stretch
from tests.ensemble.rules.store import StrictStore

TENANT = "us"
SPAN_ID = re.compile(r"(?!0{16})[0-9a-f]{16}")


def stretch_at(store: StrictStore, end: RunClosed | EngineLost) -> Stretch | None:
    """Return what is on record of the stretch that *end* ended."""
    find = partial(find_stretch, TENANT, end.run_id, end.run, lost=isinstance(end, EngineLost))
    wants = stretch_wants(end.run_id, end.run)
    return store.apply(lambda snapshot: (find(snapshot), Changes()), wants)


def last_spans(store: StrictStore) -> tuple[Span, ...]:
    """Return the spans of the stretch that ended last, having held them against the laws."""
    end = next(each for each in reversed(store.news) if isinstance(each, RunClosed | EngineLost))
    stretch = stretch_at(store, end)
    assert stretch is not None
    spans = spans_of(stretch)
    hold(stretch, spans)
    return spans


def hold(stretch: Stretch, spans: tuple[Span, ...]) -> None:
    """Assert what holds for the spans of any stretch."""
    root, *others = spans
    by_id = {each.span_id: each for each in spans}
    assert len(by_id) == len(spans), "an id stands twice"
    assert root.span_id == run_span(stretch.run_id, stretch.run.epoch)
    assert root.parent_id not in by_id
    before = {root.span_id}
    for each in others:
        above = by_id[each.parent_id]
        assert each.parent_id in before, "a span stands before the one it hangs below"
        before.add(each.span_id)
        assert above.start_ms <= each.start_ms <= each.end_ms <= above.end_ms
        assert all(each.start_ms <= event.at_ms <= each.end_ms for event in each.events)
    assert 0 <= root.start_ms <= root.end_ms
    assert {each.trace_id for each in spans} == {w3c_trace_id(stretch.about.trace_id)}
    assert all(SPAN_ID.fullmatch(each.span_id) for each in spans)
    assert all(each.attributes.get("error.type", "") == each.error for each in spans)
    for each in spans:
        kind = {"run": "run", "step": "step"}.get(each.name.split(" ", maxsplit=1)[0], "attempt")
        known = {str(name) for name, (where, _) in MEANINGS.items() if where == "all" or kind in where.split(", ")}
        assert each.attributes.keys() <= known
    attempts = [each for each in spans if each.name.startswith("invoke_agent ")]
    own = {each.ask.ticket: each for each in stretch.attempts if each.epoch == stretch.run.epoch}
    assert {each.span_id for each in attempts} == {attempt_span(ticket) for ticket in own}
    for each in attempts:
        news = own[str(each.attributes["ensemble.attempt.ticket"])].settlement
        if news is not None and not own[str(each.attributes["ensemble.attempt.ticket"])].nests:
            assert each.end_ms - each.start_ms <= news.took_ms

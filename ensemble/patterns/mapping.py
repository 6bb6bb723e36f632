"""``for_each``: the same step for every item of a list, some at one time, the results in the order of the items."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from ensemble.contract.loose import unfenced
from ensemble.contract.outcomes import StepStatus
from ensemble.contract.plain import read_json
from ensemble.contract.results import StepResult
from ensemble.patterns.moves import Made, Move, Part, Setting, failed, first_failure, succeeded
from ensemble.plan.groups import ALL_DONE, INDEX, ITEM, MAX_ITEMS, ForEach
from ensemble.plan.joins import Decision, Join, JoinKind, Standing, join_verdict
from ensemble.plan.rendering import render

__all__ = ["ForEachPattern"]

_QUOTED = 60
_NAMED = 5


class ForEachPattern:
    """One ``for_each`` while it runs. A part comes into being when its turn comes, so that a long list costs little."""

    def __init__(self, group: ForEach, setting: Setting) -> None:
        """Begin before any item."""
        self._group = group
        self._setting = setting
        self._join = group.join or (Join(JoinKind.ALL_SUCCESS) if setting.fail_fast else ALL_DONE)
        self._items: list[Any] = []
        self._next = self._out = 0
        self._results: dict[int, StepResult] = {}
        self._standing: Counter[Standing] = Counter()

    def begin(self) -> Move:
        """Read the list and start with its first items."""
        given, warnings = render(self._group.items, self._setting.scope({}, {}))
        for warning in warnings:
            self._setting.warn(f"{self._setting.id}: for_each: {warning}")
        items = _items(given)
        if items is None:
            shown = str(given)[:_QUOTED]
            return failed(f'for_each: \'{shown}\' is no list. A text has to be a JSON list, such as ["a", "b"].')
        if len(items) > MAX_ITEMS:
            return failed(f"for_each: There are {len(items):,} items; at most {MAX_ITEMS:,} are taken.")
        self._items = items
        self._standing[Standing.OPEN] = len(items)
        return self._move()

    def heard(self, result: StepResult) -> Move:
        """Note an item's result and let the next one in."""
        index = int(result.step[len(self._setting.id) + 1 : -1])
        self._results[index] = result
        self._out -= 1
        self._standing[Standing.OPEN] -= 1
        left = result.status is StepStatus.SKIPPED and result.error is None
        self._standing[Standing.SUCCEEDED if succeeded(result) else Standing.LEFT if left else Standing.FAILED] += 1
        return self._move()

    def _move(self) -> Move:
        verdict = join_verdict(self._join, self._standing)
        all_ended = not self._standing[Standing.OPEN]
        if verdict.decision is Decision.READY and (all_ended or self._join.kind in {JoinKind.ANY, JoinKind.QUORUM}):
            return self._made()
        if verdict.decision is Decision.SKIPPED:
            return self._none(all_ended=all_ended)
        wide = self._group.max_parallel or len(self._items)
        parts = []
        while self._next < len(self._items) and self._out < wide:
            parts.append(self._part(self._next))
            self._next += 1
            self._out += 1
        return tuple(parts)

    def _part(self, index: int) -> Part:
        step = replace(self._group.each, id=f"{self._setting.id}[{index}]")
        return Part(step=step, local={ITEM: self._items[index], INDEX: index})

    def _none(self, *, all_ended: bool) -> Made:
        """Return that too few items succeeded."""
        ordered = [self._results[index] for index in sorted(self._results)]
        good = sum(map(succeeded, ordered))
        if all_ended and not any(result.error for result in ordered):
            return Made(data=self._data(), text="")  # every item was left out by its own conditions
        words = f"{good} of {len(self._items)} items succeeded, which is too few (join: {self._join.kind})."
        return failed(words, first_failure(ordered), data=self._data())

    def _made(self) -> Made:
        ordered = [self._results[index] for index in sorted(self._results)]
        wrong = [result for result in ordered if result.error is not None]
        met = self._join.kind in {JoinKind.ANY, JoinKind.QUORUM}
        if wrong and not met:
            named = ", ".join(result.step for result in wrong[:_NAMED]) + (" and more" if len(wrong) > _NAMED else "")
            self._setting.warn(f"{self._setting.id}: {len(wrong)} of {len(self._items)} items have no result: {named}.")
        sections = [
            f"### {index}\n\n{result.text}" for index, result in sorted(self._results.items()) if succeeded(result)
        ]
        return Made(text="\n\n".join(sections), data=self._data(), incomplete=bool(wrong) and not met)

    def _data(self) -> dict[str, Any]:
        known = {index: result for index, result in self._results.items() if succeeded(result)}
        return {
            "texts": [known[index].text if index in known else None for index in range(len(self._items))],
            "items": [self._entry(index) for index in range(len(self._items))],
        }

    def _entry(self, index: int) -> dict[str, Any]:
        result = self._results.get(index)
        status = StepStatus.CANCELLED if result is None else result.status
        entry: dict[str, Any] = {"index": index, "status": status.value}
        if result is not None and succeeded(result):
            entry["data"] = result.data
        if result is not None and result.error is not None:
            entry["error"] = result.error.message
        return entry


def _items(value: Any) -> list[Any] | None:
    """Return the list that *value* is, perhaps as JSON in a code fence as models write it; nothing is an empty list."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            value = read_json(unfenced(value).strip())
        except ValueError:
            return None
    return list(value) if isinstance(value, list | tuple) else None

"""Reading one step, as a list of steps or Dify's node form writes it; both have the same fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ensemble.plan.conditions import Condition, condition_references
from ensemble.plan.faults import Faults, folded, suggestion
from ensemble.plan.inside import group_references
from ensemble.plan.model import Output, Step
from ensemble.plan.reading.declarations import read_settings
from ensemble.plan.reading.fallbacks import fallback_settings, found_backup
from ensemble.plan.reading.fields import Fields, at, entries, name_of
from ensemble.plan.reading.groups import BODIES, GroupFields
from ensemble.plan.reading.joins import read_join
from ensemble.plan.reading.lookup import Directory
from ensemble.plan.reading.texts import Texts
from ensemble.plan.reading.when import read_when
from ensemble.plan.templates import RESERVED, references

__all__ = ["RawStep", "raw_nodes", "raw_steps", "read_step"]

OUTPUT_TYPES = (
    "string", "number", "integer", "boolean", "object", "array", "array[string]", "array[number]", "array[boolean]",
    "array[object]", "array[any]", "array[file]", "file", "files", "any", "secret",
)  # fmt: skip
"""The types Dify knows for a variable."""


@dataclass(frozen=True, slots=True)
class RawStep:
    """A step whose id and agent are known, and whose other fields are still to be read."""

    id: str
    """Its path where it has no id, or one that is taken, so that its other faults are found all the same."""
    agent: str | None
    """None where that fault is noted already."""
    agent_path: str
    path: str
    """Where the step stands."""
    fields: Fields
    """Its other fields."""


def raw_steps(data: Any, faults: Faults, where: str = "steps") -> list[RawStep]:
    """Return the entries of ``steps``. Without an id, a step is called like its agent; without an agent, like its id."""
    found = []
    for path, item in _listed(data, where, faults):
        fields = Fields(item, path, faults)
        step_id, agent = fields.name("id"), fields.name("agent")
        if not fields.has("id") and not fields.has("agent"):
            faults.add(at(path, "id"), "The step has no id.", "Write {id: ..., agent: ...}.")
        named = at(path, "agent" if agent else "id")
        called = agent if _is_group(fields) else agent or step_id
        found.append(RawStep(step_id or agent or path, called, named, path, fields))
    return _unique(found, faults)


def raw_nodes(data: Any, faults: Faults) -> list[RawStep]:
    """Return the entries of ``nodes``. A node without ``agent_config`` calls the agent named like its id."""
    found = []
    for path, item in _listed(data, "nodes", faults):
        outer = Fields(item, path, faults)
        node_id = outer.name("id")
        outer.choice("type", ("agent",))
        fields = Fields(outer.take("data"), at(path, "data"), faults)
        outer.close()
        config_path = fields.at("agent_config")
        config = Fields(fields.take("agent_config"), config_path, faults)
        word = config.text("app_id").strip()
        config.close()
        if node_id is None and not outer.has("id"):
            faults.add(at(path, "id"), "The node has no id.", "Write id: and a name.")
        where = at(config_path, "app_id") if word else at(path, "id")
        agent: str | None = word or (None if _is_group(fields) else node_id)
        if fields.has("agent_config") and not word:
            faults.add(at(config_path, "app_id"), "It is missing.", "Name the app, or leave agent_config out.")
            agent = None
        found.append(RawStep(node_id or path, agent, where, path, fields))
    return _unique(found, faults)


def read_step(raw: RawStep, ids: Collection[str], directory: Directory, texts: Texts) -> Step:
    """Return the step; what is wrong with it is noted, and left out of what is returned."""
    fields = raw.fields
    when_path = fields.at("when")
    condition = fields.take("when")
    when = None if condition is None else read_when(condition, when_path, texts)
    groups = GroupFields(fields, directory, texts)
    inputs = _inputs(fields, groups.texts)
    query = groups.texts.text(fields.text("query"), fields.at("query")) or None
    explicit = _depends_on(fields, ids, texts.faults)
    settings = read_settings(fields) | fallback_settings(fields, texts)
    settings["fallback"] = found_backup(settings["fallback"], fields.at("fallback"), directory)
    leaf = Step(
        id=raw.id,
        agent=(raw.agent and directory.find(raw.agent, raw.agent_path)) or "",
        inputs=inputs,
        query=query,
        carries=explicit if inputs is None and query is None else (),
        outputs=_outputs(fields, texts.faults),
        stream=fields.flag("stream"),
        **settings,
    )
    around = groups.around(leaf, lambda data, path, words: _nested(data, path, words, directory))
    depends_on = tuple(dict.fromkeys((*explicit, *_implied(around, when, ids))))
    step = replace(
        around,
        title=fields.text("title"),
        depends_on=depends_on,
        when=when,
        join=read_join(fields, len(depends_on), texts.faults),
    )
    fields.close()
    return step


def _is_group(fields: Fields) -> bool:
    return any(fields.has(name) for name in BODIES)


def _nested(data: Any, path: str, texts: Texts, directory: Directory) -> tuple[Step, ...]:
    """Return the steps of a plan inside a step, whose texts may refer to each other and to what *texts* may."""
    if isinstance(data, list) and not data:
        texts.faults.add(path, "There are no steps.", "Write at least one.")
    raws = raw_steps(data, texts.faults, path)
    ids = dict.fromkeys(raw.id for raw in raws)
    inner = texts.with_steps(ids)
    return tuple(read_step(raw, ids, directory, inner) for raw in raws)


def _listed(data: Any, name: str, faults: Faults) -> list[tuple[str, Any]]:
    if isinstance(data, list):
        return entries(data, name, faults)
    faults.add(name, "It is no list.", "Write a list, each entry beginning with '-'.")
    return []


def _unique(found: list[RawStep], faults: Faults) -> list[RawStep]:
    taken: dict[str, str] = {}
    unique = []
    for raw in found:
        key = folded(raw.id)
        if key in RESERVED:
            faults.add(at(raw.path, "id"), f"'{raw.id}' is reserved for {RESERVED[key]}.", "Choose another id.")
        elif key in taken:
            problem = f"The id '{raw.id}' is taken by {taken[key]}."
            faults.add(at(raw.path, "id"), problem, "Give every step an id of its own; case does not count.")
        else:
            taken[key] = raw.path
            unique.append(raw)
            continue
        unique.append(replace(raw, id=raw.path))
    return unique


def _depends_on(fields: Fields, ids: Collection[str], faults: Faults) -> tuple[str, ...]:
    found = []
    for path, item in entries(fields.take("depends_on"), fields.at("depends_on"), faults):
        name = name_of(item, path, faults)
        if name and name in ids:
            found.append(name)
        elif name:
            faults.add(path, f"There is no step '{name}'.", suggestion(name, tuple(ids)))
    return tuple(dict.fromkeys(found))


def _implied(step: Step, when: Condition | None, ids: Collection[str]) -> list[str]:
    """Return the steps that texts of *step*, and of all it is made of, refer to."""
    own = (*references(step.inputs), *references(step.query))
    found = (*own, *condition_references(when), *(() if step.group is None else group_references(step.group)))
    return [reference.head for reference in found if reference.head in ids]


def _inputs(fields: Fields, texts: Texts) -> dict[str, Any] | None:
    """Read ``inputs``: a map, or Dify's list of ``{name, value}``."""
    data, path = fields.take("inputs"), fields.at("inputs")
    if data is None:
        return None
    if isinstance(data, Mapping):
        return {str(name): texts.value(value, at(path, str(name))) for name, value in data.items()}
    if not isinstance(data, list):
        texts.faults.add(path, "It is neither map nor list.", "Write 'name: value' pairs, or a list of {name, value}.")
        return None
    found: dict[str, Any] = {}
    for where, item in entries(data, path, texts.faults):
        entry = Fields(item, where, texts.faults)
        name, value = entry.text("name").strip(), entry.take("value")
        entry.close()
        if not name:
            texts.faults.add(at(where, "name"), "It is missing.", "Name the input as the app declares it.")
        elif name in found:
            texts.faults.add(at(where, "name"), f"The input '{name}' is given twice.", "Keep one of them.")
        else:
            found[name] = texts.value(value, at(where, "value"))
    return found


def _outputs(fields: Fields, faults: Faults) -> tuple[Output, ...]:
    """Read ``outputs``: names, or ``{name, type}``, or a map from name to type."""
    data, path = fields.take("outputs"), fields.at("outputs")
    if isinstance(data, Mapping):
        data = [{"name": name, "type": kind} for name, kind in data.items()]
    found = []
    for where, item in entries(data, path, faults):
        entry = Fields(item if isinstance(item, Mapping) else {"name": item}, where, faults)
        name, kind = entry.text("name").strip(), entry.choice("type", OUTPUT_TYPES)
        entry.close()
        if name:
            found.append(Output(name, kind or "string"))
        else:
            faults.add(at(where, "name"), "It is missing.", "Name the output as the app does.")
    return tuple(found)

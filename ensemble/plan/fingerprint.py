"""By what two calls with one ``run_key`` are known to be the same run: a hash of all that decides what it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ensemble.plan.conditions import AllOf, AnyOf, Chosen, Comparison, Condition
from ensemble.plan.groups import ForEach, Group, Loop, Managed, Nested, Race, Vote
from ensemble.plan.inside import steps_within
from ensemble.plan.model import Plan, Step
from ensemble.plan.templates import Template

__all__ = ["condition_document", "digest", "fingerprint"]

FILE_IDS = ("upload_file_id", "tool_file_id", "related_id", "content_hash", "sha256")
"""Fields that say which file it is, the surest first. Dify signs a file's URL anew each time it is shown."""
SIGNATURE = frozenset({"sign", "timestamp", "nonce"})
"""The query parameters of Dify's signature."""


def fingerprint(plan: Plan, *, task: str, inputs: Mapping[str, Any], user: str, identities: Mapping[str, str]) -> str:
    """Return 64 hex digits: the same for the same work, whatever its limits, timeouts, retries, breakers and titles.

    Args:
        plan: The plan.
        task: The run's task.
        inputs: The run's inputs; a file counts by its id, else the hash of its content, else its unsigned URL.
        user: The end user.
        identities: What each of the plan's agents is, by its name in the plan.

    """
    document = {
        "task": task,
        "inputs": _inputs(inputs),
        "user": user,
        "steps": [_step(plan, step, identities) for step in plan.steps],
        "synthesizer": plan.synthesizer,
        "output": _value(plan.output),
    }
    return _hashed(document)


def digest(given: Mapping[str, Any]) -> str:
    """Return 64 hex digits for what is given to an agent; a file counts as in :func:`fingerprint`."""
    return _hashed(_inputs(given))


def _hashed(document: Any) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _step(plan: Plan, step: Step, identities: Mapping[str, str]) -> dict[str, Any]:
    if step.group is not None:
        return _group(plan, step, step.group, identities)
    spec = plan.spec(step)
    return {
        "id": step.id,
        "agent": step.agent,
        "identity": identities[step.agent],
        "memory": spec.memory,
        "agent_inputs": _value(spec.inputs),
        "inputs": _value(step.inputs),
        "query": _value(step.query),
        "depends_on": sorted(step.depends_on),
        "carries": step.carries,
        "when": condition_document(step.when),
        "join": [step.join.kind, step.join.n],
        "outputs": [[output.name, output.type] for output in step.outputs],
    }


def _group(plan: Plan, step: Step, group: Group, identities: Mapping[str, str]) -> dict[str, Any]:
    """Return all that decides what a group does; like limits, how many rounds and calls at one time does not."""
    own: list[Any]
    match group:
        case ForEach():
            own = [_value(group.items), group.join and [group.join.kind, group.join.n]]
        case Loop():
            own = [condition_document(group.until), group.critic is not None]
        case Vote():
            own = [group.on, dict(group.weights), group.by_confidence, group.agree]
        case Race():
            own = [condition_document(group.good)]
        case Nested():
            own = [_value(group.plan.output)]
        case Managed():
            own = _managed(group, identities)
    return {
        "id": step.id,
        "depends_on": sorted(step.depends_on),
        "when": condition_document(step.when),
        "join": [step.join.kind, step.join.n],
        "group": [type(group).__name__, *own],
        "parts": [_step(plan, part, identities) for part in steps_within(group)],
    }


def _managed(group: Managed, identities: Mapping[str, str]) -> list[Any]:
    team = [
        [each.name, each.description, identities[each.name] if each.team is None else _managed(each.team, identities)]
        for each in group.executors
    ]
    return [identities[group.manager], _value(group.settings.query), group.settings.carries, team]


def _value(value: Any) -> Any:
    """Return *value* with each template as the list of its parts, so that both ways to write it count as one."""
    if isinstance(value, Template):
        parts = [part if isinstance(part, str) else [part.head, *part.path] for part in value.parts]
        return {"template": parts}
    if isinstance(value, Mapping):
        return {"map": {str(key): _value(item) for key, item in value.items()}}
    return [_value(item) for item in value] if isinstance(value, list | tuple) else value


def condition_document(condition: Condition | None) -> Any:
    """Return *condition* as plain lists and maps, the same for what means the same."""
    match condition:
        case Comparison():
            return [_value(condition.field), condition.operator, _value(condition.value)]
        case AllOf() | AnyOf():
            return {type(condition).__name__: [condition_document(part) for part in condition.parts]}
        case Chosen():
            return {"Chosen": [condition.by, condition.routes, condition.rules]}
        case _:
            return None


def _inputs(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "transfer_method" in value or value.get("dify_model_identity") == "__dify__file__":
            return {"file": _file(value)}
        return {str(key): _inputs(item) for key, item in value.items()}
    return [_inputs(item) for item in value] if isinstance(value, list | tuple) else value


def _file(file: Mapping[str, Any]) -> Any:
    for name in FILE_IDS:
        if file.get(name):
            return [name, str(file[name])]
    return ["url", _unsigned(str(file.get("url") or file.get("remote_url") or file.get("id") or ""))]


def _unsigned(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    query = parse_qsl(parts.query, keep_blank_values=True)
    if not any(name == "sign" for name, _ in query):
        return url
    return urlunsplit(parts._replace(query=urlencode([pair for pair in query if pair[0] not in SIGNATURE])))

"""One call of the aggregator: from parameters and credentials to one result out of several."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

from ensemble.aggregate.results import Result, from_steps, read_results
from ensemble.contract.base import is_part
from ensemble.engine.carrying import ESTIMATED
from ensemble.engine.events import Event
from ensemble.rules.problems import UnknownRun
from plugin.adapters.pools import POOLS, Pools
from plugin.aggregator.asking import ask_agent
from plugin.aggregator.one_result import Aggregated, Aggregation
from plugin.aggregator.parameters import AggregatorParameters, read_aggregator_parameters
from plugin.casting import Caller
from plugin.conducting import context_for, ledger_for
from plugin.credentials import Credentials, read_credentials
from plugin.errors import BadParameters, SidecarRefused

__all__ = ["aggregate"]

_NOTHING = "There is no result to aggregate: results is empty, or none of it succeeded."


def aggregate(
    parameters: Mapping[str, Any], credentials: Mapping[str, Any], caller: Caller, pools: Pools = POOLS
) -> Generator[Event, None, Aggregated]:
    """Make one result of what *parameters* name, yielding what happens where an agent is asked.

    Raises:
        EnsembleError: parameters, credentials or results can't be used.
        EngineError: another call with the same run_key has the judge's or writer's run.

    """
    saved = read_credentials(credentials)
    read = read_aggregator_parameters(parameters)
    given, warnings = _given(read, saved, pools)
    if not given:
        raise BadParameters("\n".join((_NOTHING, *warnings)))
    context = context_for(saved, pools)
    work = Aggregation(read, given, context)
    asked = None
    question = work.question()
    if question is not None:
        asked = yield from ask_agent(read, question, saved, caller, pools)
    made = work.made(asked)
    if not (saved.sidecar or context is not ESTIMATED):
        work.warn("Tokens were estimated, not counted: no sidecar is configured.")
    return replace(
        made, warnings=(*warnings, *dict.fromkeys((*work.warnings, *(asked.report.warnings if asked else ()))))
    )


def _given(
    read: AggregatorParameters, credentials: Credentials, pools: Pools
) -> tuple[tuple[Result, ...], tuple[str, ...]]:
    """Return the results that are named, out of the parameter or of a run on record."""
    if not read.run_id:
        return read_results(read.results)
    try:
        view = ledger_for(credentials, pools).run(read.run_id)
    except (UnknownRun, SidecarRefused) as error:
        where = "the sidecar" if credentials.sidecar else "this process; without a sidecar runs are not kept elsewhere"
        raise BadParameters(f"run_id: No run {read.run_id} is on record in {where}.") from error
    return from_steps([result for result in view.results if not is_part(result.step)])

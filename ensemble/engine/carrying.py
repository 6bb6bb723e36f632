"""What goes along to an agent that is given other agents' results: bounded by the context's limits, and said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.contract.context import Fate
from ensemble.engine.ports import Context
from ensemble.packing.counting import ESTIMATE
from ensemble.packing.model import Packed, Part, Policy
from ensemble.packing.packing import pack, section

__all__ = ["ESTIMATED", "Carried", "EstimatedContext", "carry", "fits_surely"]

_SURELY = 0.8
"""The estimate is up to a quarter too low (JSON); what it puts below this share of a limit is within it."""
_SURELY_OVER = 12
"""Characters per token no ordinary text reaches: a text longer than that is over its limit without being counted."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The text to send, and what the builder is told about it."""

    text: str
    warnings: tuple[str, ...]


class EstimatedContext:
    """Packs in this process, by the estimate: what there is without a sidecar."""

    def pack(self, parts: Sequence[Part], policy: Policy) -> tuple[Packed, tuple[str, ...]]:
        """Return what fits, and a warning where something did not."""
        packed = pack(parts, policy, ESTIMATE)
        if not any(packed.named(fate) for fate in (Fate.CUT, Fate.DROPPED)):
            return packed, ()
        return packed, ("Tokens were estimated, not counted, to keep results within the context limit.",)


ESTIMATED = EstimatedContext()


def carry(
    task: str,
    results: Sequence[tuple[str, str]],
    *,
    to: str,
    context: Context = ESTIMATED,
    policy: Policy | None = None,
) -> Carried:
    """Return *task*, a blank line, and one ``### name`` section per (name, text) in *results*.

    The context is asked only where the estimate says that the limits are near: most runs need nothing of it.

    Args:
        task: Goes along whole; the limits are those of the results.
        results: What is carried, by the headings.
        to: Whom it is given to, for the warnings.
        context: Who packs what may not fit.
        policy: The limits and rules; the usual ones where there is none.

    """
    rules = policy or Policy(query=task)
    parts = [Part(name=name, text=text) for name, text in results]
    if fits_surely(parts, rules):
        return Carried("\n\n".join([task, *(section(part.name, part.text) for part in parts)]), ())
    packed, warnings = context.pack(parts, rules)
    return Carried("\n\n".join(filter(None, [task, packed.text])), (*_told(packed, rules, to), *warnings))


def fits_surely(parts: Sequence[Part], policy: Policy) -> bool:
    """Return whether *parts* are far below the limits of *policy*, as the estimate has it; takes a few ms at most."""
    left = int(policy.limit_tokens * _SURELY)
    for part in parts:
        most = min(left, int(policy.each_tokens * _SURELY))
        if len(part.text) > most * _SURELY_OVER:
            return False
        size = ESTIMATE.count(part.text)
        if size > most:
            return False
        left -= size + ESTIMATE.count(part.name) + 4
    return left >= 0


def _told(packed: Packed, policy: Policy, to: str) -> tuple[str, ...]:
    """Return a warning for what was shortened and one for what was left out."""
    cut, dropped = ", ".join(packed.named(Fate.CUT)), ", ".join(packed.named(Fate.DROPPED))
    limit = f"results are kept to {policy.each_tokens:,} tokens each and {policy.limit_tokens:,} together"
    return (
        *([f"{to} was given a shortened answer of {cut}: {limit}."] if cut else []),
        *([f"{to} was not given the answer of {dropped}: {limit}."] if dropped else []),
    )

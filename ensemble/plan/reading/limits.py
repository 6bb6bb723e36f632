"""Reading ``limits``, each of which may stand at the top of the plan as well; the lower one holds."""

from __future__ import annotations

from ensemble.plan.faults import Faults
from ensemble.plan.limits import Limits
from ensemble.plan.reading.fields import MAX_TOKENS, Fields
from ensemble.plan.reading.groups import MAX_PARALLEL
from ensemble.plan.reading.money import read_money

__all__ = ["read_limits"]


def read_limits(root: Fields, faults: Faults) -> Limits:
    """Return the limits of the plan that *root* is."""
    inner = Fields(root.take("limits"), "limits", faults)
    low, high = _limits_of(inner, faults), _limits_of(root, faults)
    inner.close()
    if low.max_money and high.max_money and low.max_money.currency != high.max_money.currency:
        fix = "Write it once, or twice in one currency."
        faults.add("max_money", "It is in another currency than limits.max_money.", fix)
    return low.lowered(high)


def _limits_of(fields: Fields, faults: Faults) -> Limits:
    return Limits(
        max_parallel=fields.whole("max_parallel", 1, MAX_PARALLEL),
        timeout_s=fields.seconds("timeout"),
        max_tokens=fields.whole("max_tokens", 1, MAX_TOKENS),
        max_calls=fields.whole("max_calls", 1, MAX_TOKENS),
        max_seconds=fields.whole("max_seconds", 1, MAX_TOKENS),
        max_money=read_money(fields.take("max_money"), fields.at("max_money"), faults),
        priority=fields.whole("priority", -9, 9),
    )

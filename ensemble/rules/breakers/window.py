"""The last calls, or the last seconds, of one agent: what a breaker's rates are taken from.

A healthy call adds to counters and collides
with nobody. A call that may open the breaker is counted alone: whoever else counts meanwhile decides anew.
"""

from __future__ import annotations

from ensemble.contract.breakers import BreakerPolicy
from ensemble.rules.breakers.tripping import Counts, fewest_calls, window_shape
from ensemble.rules.ring import Ring
from ensemble.rules.snapshot import Draft

__all__ = ["count", "ring_of"]

CALLS, FAILED, SLOW = "calls", "failed", "slow"
KEPT_MS = 24 * 3_600_000
"""How long a window nothing is counted in is kept, milliseconds; longer than any window is."""


def count(draft: Draft, identity: str, policy: BreakerPolicy, generation: int, *, failed: bool, slow: bool) -> Counts:
    """Count one call and return what the window holds with it. Raises NotRead."""
    ring = ring_of(identity, policy)
    slot = ring.turn(draft, _newest(draft, ring, policy, generation), generation)
    for name, amount in ((CALLS, 1), (FAILED, int(failed)), (SLOW, int(slow))):
        ring.add(draft, slot, name, amount)
    draft.expire(ring.key, KEPT_MS)
    counts = Counts(*(ring.total(draft, name, slot, generation) for name in (CALLS, FAILED, SLOW)))
    if failed or slow or counts.calls <= fewest_calls(policy) or draft.is_bound(ring.key):
        ring.freeze(draft, CALLS)
    return counts


def ring_of(identity: str, policy: BreakerPolicy) -> Ring:
    """Return the counters of an agent's window as *policy* cuts it."""
    slots, each = window_shape(policy)
    return Ring(f"window:{policy.sliding_window_type}:{slots * each}:{identity}", slots, (CALLS, FAILED, SLOW))


def _newest(draft: Draft, ring: Ring, policy: BreakerPolicy, generation: int) -> int:
    _, each = window_shape(policy)
    if policy.sliding_window_type == "time_based":
        return draft.now_ms // each
    head = ring.head(draft, generation)
    if head is None:
        return 0
    return head + (ring.at(draft, head, CALLS) >= each)

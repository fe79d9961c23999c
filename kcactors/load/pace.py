"""When each delivery is due, and what the latencies come to. Pure.

Pacing is open-loop: a delivery is due at its time whether or not earlier ones were answered, and its latency counts
from when it was due, so that a stall of the service cannot hide by slowing its own load down (coordinated omission).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


def due_s(index: int, rate_per_s: float | None) -> float:
    """Seconds from the start to delivery ``index``; without a rate everything is due at once."""
    return index / rate_per_s if rate_per_s else 0.0


class Latency(msgspec.Struct, frozen=True):
    """What a set of latencies comes to, in milliseconds; all zero where nothing was measured."""

    samples: int
    p50: float
    p99: float
    worst: float


def latency(seconds: Sequence[float]) -> Latency:
    """Sums up latencies given in seconds."""
    ordered = sorted(seconds)
    return Latency(len(ordered), *(percentile_ms(ordered, share) for share in (0.5, 0.99, 1.0)))


def percentile_ms(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending seconds, in milliseconds."""
    if not ordered:
        return 0.0
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000, 2)

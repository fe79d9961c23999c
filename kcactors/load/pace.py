"""When each delivery is due, and what the latencies come to. Pure.

Pacing is open-loop: a delivery is due at its time whether or not earlier ones were answered, and its latency counts
from when it was due, so that a stall of the service cannot hide by slowing its own load down (coordinated omission).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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


class Speed(msgspec.Struct, frozen=True):
    """Latencies of some payments, in seconds: to the commit, and to the first open screen."""

    commit: list[float]
    screen: list[float]

    def document(self) -> dict[str, dict[str, float]]:
        """The percentiles in milliseconds, as the reports have them."""
        return {
            name: {"p50": found.p50, "p99": found.p99}
            for name, found in (("payment_to_commit", self.to_commit), ("payment_to_screen", self.to_screen))
        }

    def percentiles(self) -> dict[str, list[tuple[float, float]]]:
        """Share and milliseconds, from the fastest payment to the slowest; empty where nothing was measured."""
        return {"payment_to_commit": curve(self.commit), "payment_to_screen": curve(self.screen)}

    @property
    def to_commit(self) -> Latency:
        """From when a payment was due to when its purchase stood."""
        return latency(self.commit)

    @property
    def to_screen(self) -> Latency:
        """From when a payment was due to when an open session got its event."""
        return latency(self.screen)


def together(speeds: Iterable[Speed]) -> Speed:
    """All of them as one."""
    several = list(speeds)
    return Speed(
        [each for speed in several for each in speed.commit],
        [each for speed in several for each in speed.screen],
    )


def latency(seconds: Sequence[float]) -> Latency:
    """Sums up latencies given in seconds."""
    ordered = sorted(seconds)
    return Latency(len(ordered), *(percentile_ms(ordered, share) for share in (0.5, 0.99, 1.0)))


def percentile_ms(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of ascending seconds, in milliseconds."""
    if not ordered:
        return 0.0
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000, 2)


def curve(seconds: Sequence[float]) -> list[tuple[float, float]]:
    """The percentiles of latencies as pairs of share and milliseconds, denser towards 1, ending at the slowest."""
    ordered = sorted(seconds)
    found: dict[float, float] = {}
    nines = 0.0
    while ordered and 10**nines <= len(ordered):
        share = round(1 - 10**-nines, 6)
        found[share] = percentile_ms(ordered, share)
        nines += 0.05
    if ordered:
        found[round(1 - 1 / (2 * len(ordered)), 6)] = percentile_ms(ordered, 1.0)
    return list(found.items())

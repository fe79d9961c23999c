"""How a run went over time: what was delivered and bought in each moment, and how late. Pure; times are given."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from kcactors.load.pace import percentile_ms

STEPS_MAX: Final = 120
"""Moments of a report; a longer run has longer ones."""

_STEP_S: Final = 0.5


class Moment(msgspec.Struct, frozen=True):
    """One step of a run: when it began, in seconds from the start; rates a second; latencies in milliseconds.

    A latency is None where nothing was due in that step or nobody measured.
    """

    at_s: float
    deliveries_per_s: float
    purchases_per_s: float | None
    p50_ms: float | None
    p99_ms: float | None


class Timeline:
    """Gathers what happened. ``delivered`` is called once for each delivery, so it only counts."""

    def __init__(self) -> None:
        self._delivered: Counter[int] = Counter()
        self._bought: list[tuple[float, int]] = []

    def delivered(self, at_s: float) -> None:
        """One delivery was answered, or handed to Kafka."""
        self._delivered[int(at_s / _STEP_S)] += 1

    def bought(self, at_s: float, purchases: int) -> None:
        """So many purchases stand now; ignored when it is fewer than at the look before."""
        if not self._bought or purchases >= self._bought[-1][1]:
            self._bought.append((at_s, purchases))

    def moments(self, latencies: Iterable[tuple[float, float]] = ()) -> list[Moment]:
        """All of it in order, in at most `STEPS_MAX` steps.

        Args:
            latencies: for each payment when it was due, and the seconds to its commit.
        """
        late = list(latencies)
        times = (
            [n * _STEP_S for n in self._delivered] + [at for at, _ in self._bought] + [at for at, _ in late]
        )
        if not times:
            return []
        first, last = min(times), max(times)
        step_s = _STEP_S * max(1, -int(-(last - first) / _STEP_S // STEPS_MAX))
        steps = int((last - first) / step_s) + 1
        delivered: Counter[int] = Counter()
        for number, count in self._delivered.items():
            delivered[int((number * _STEP_S - first) / step_s)] += count
        waits: defaultdict[int, list[float]] = defaultdict(list)
        for due, seconds in late:
            waits[int((due - first) / step_s)].append(seconds)
        found = []
        for step in range(steps):
            begin = first + step * step_s
            ordered = sorted(waits.get(step, ()))
            bought = self._bought_in(begin, begin + step_s)
            found.append(
                Moment(
                    at_s=round(step * step_s, 2),
                    deliveries_per_s=round(delivered[step] / step_s, 1),
                    purchases_per_s=None if bought is None else round(bought / step_s, 1),
                    p50_ms=percentile_ms(ordered, 0.5) if ordered else None,
                    p99_ms=percentile_ms(ordered, 0.99) if ordered else None,
                )
            )
        return found

    def _bought_in(self, begin_s: float, end_s: float) -> float | None:
        if len(self._bought) < 2:
            return None
        return self._bought_by(end_s) - self._bought_by(begin_s)

    def _bought_by(self, at_s: float) -> float:
        """Purchases at a time, on the straight line between the looks before and after it."""
        before = self._bought[0]
        for after in self._bought:
            if after[0] >= at_s:
                gap = after[0] - before[0]
                share = (at_s - before[0]) / gap if gap > 0 else 1.0
                return before[1] + (after[1] - before[1]) * max(0.0, share)
            before = after
        return before[1]

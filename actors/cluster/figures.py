"""A node's own figures, read from its metrics, its tree and its windows; and the rule that makes rates of counts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry

from actors.cluster.report import NodeReport, Quantiles
from actors.ingest.offsets import Windows
from supervision import System
from supervision.dashboard import Census

RATE_OVER_S: Final = 10.0
QUANTILES_OVER_S: Final = 60.0
TO_COMMIT: Final = "kcactors_payment_to_commit_seconds_bucket"
TO_SCREEN: Final = "kcactors_commit_to_send_seconds_bucket"
MESSAGES: Final = "kcactors_messages_total"
DUPLICATES: Final = "kcactors_duplicates_total"
SESSIONS: Final = "kcactors_sessions"
READ: Final = (TO_COMMIT, TO_SCREEN, MESSAGES, DUPLICATES, SESSIONS)
DONE: Final = ("created", "recovered")
"""Outcomes that are a payment done, each once."""

Buckets = Mapping[float, float]
"""Upper bound in seconds to how many observations were at most that long."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The counts of one moment (monotonic seconds)."""

    at_s: float
    outcomes: Mapping[str, int]
    absorbed: Mapping[str, int]
    sessions: int
    to_commit: Buckets
    to_screen: Buckets

    @property
    def done(self) -> int:
        """Payments done."""
        return sum(self.outcomes.get(outcome, 0) for outcome in DONE)


def reading(registry: CollectorRegistry, at_s: float) -> Reading:
    """Read a registry."""
    sums: dict[str, dict[str, float]] = {name: {} for name in READ}
    label = {MESSAGES: "outcome", DUPLICATES: "stage", SESSIONS: "kind", TO_COMMIT: "le", TO_SCREEN: "le"}
    for family in registry.restricted_registry(READ).collect():
        for sample in family.samples:
            if sample.name in sums:
                key = sample.labels.get(label[sample.name], "")
                sums[sample.name][key] = sums[sample.name].get(key, 0.0) + sample.value
    return Reading(
        at_s,
        {key: int(value) for key, value in sums[MESSAGES].items()},
        {key: int(value) for key, value in sums[DUPLICATES].items()},
        int(sum(sums[SESSIONS].values())),
        {float(bound): value for bound, value in sums[TO_COMMIT].items()},
        {float(bound): value for bound, value in sums[TO_SCREEN].items()},
    )


def quantile_s(before: Buckets, after: Buckets, share: float) -> float | None:
    """The quantile of what was observed between two readings, straight within its bucket; None for nothing observed.

    What lies beyond the last bound is told as that bound.
    """
    fresh = [(bound, after[bound] - before.get(bound, 0.0)) for bound in sorted(after)]
    whole = fresh[-1][1] if fresh else 0.0
    if whole <= 0:
        return None
    low, below = 0.0, 0.0
    for bound, until in fresh:
        if until >= share * whole:
            if bound == float("inf"):
                return low
            # low + (bound - low) can be the next float after bound: told as more than its own bucket holds.
            return min(low + (bound - low) * (share * whole - below) / max(until - below, 1e-9), bound)
        low, below = bound, until
    return low


class History:
    """Readings of the last minute."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque()

    def add(self, latest: Reading) -> None:
        """Keep it, and forget what is too old to be compared with."""
        self._readings.append(latest)
        while len(self._readings) > 2 and self._readings[1].at_s <= latest.at_s - QUANTILES_OVER_S:
            self._readings.popleft()

    def before(self, seconds: float) -> Reading:
        """The newest reading that is at least so much older than the last one, or the oldest there is."""
        latest = self._readings[-1]
        for one in reversed(self._readings):
            if latest.at_s - one.at_s >= seconds:
                return one
        return self._readings[0]


class Figures:
    """Makes a node's reports.

    Args:
        node: its name; ``version`` and ``roles`` likewise stand in each report.
        outbox_age_s: asks the database; None when it does not answer.
        degraded: names of parts that are away.
    """

    def __init__(
        self,
        *,
        node: str,
        version: str,
        roles: Sequence[str],
        system: System,
        census: Census,
        registry: CollectorRegistry,
        windows: Windows,
        degraded: Callable[[], Sequence[str]],
        outbox_age_s: Callable[[], float | None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._node, self._version, self._roles = node, version, sorted(roles)
        self._system, self._census, self._registry, self._windows = system, census, registry, windows
        self._degraded, self._outbox_age_s, self._wall = degraded, outbox_age_s, wall
        self._started_at = wall()
        self._beat = 0
        self._history = History()

    def __call__(self) -> NodeReport:
        """The report now. One thread at a time."""
        now_s = self._system.now()
        latest = reading(self._registry, now_s)
        self._history.add(latest)
        recent, minute = self._history.before(RATE_OVER_S), self._history.before(QUANTILES_OVER_S)
        self._beat += 1
        windows = self._windows.all()
        oldest = self._system.top("oldest", 1)
        census = self._census.count()
        return NodeReport(
            id=self._node,
            beat=self._beat,
            at=self._wall(),
            started_at=self._started_at,
            version=self._version,
            roles=self._roles,
            partitions=sorted(_partition(window.topic_partition) for window in windows),
            in_flight=sum(window.in_flight for window in windows),
            sessions=latest.sessions,
            payments_per_s=round((latest.done - recent.done) / max(now_s - recent.at_s, 1.0), 3),
            payment_to_commit=_quantiles(minute.to_commit, latest.to_commit),
            commit_to_screen=_quantiles(minute.to_screen, latest.to_screen),
            oldest_s=oldest[0]["oldest_s"] if oldest else 0.0,
            actors=sum(census.actors.values()),
            restarts=self._count("restarted"),
            parked=self._count("parked"),
            conservation_error=census.error,
            outbox_age_s=self._outbox_age_s(),
            degraded=list(self._degraded()),
            outcomes=latest.outcomes,
            absorbed=latest.absorbed,
        )

    def _count(self, what: str) -> int:
        return sum(times for (_, kind), times in list(self._system.vitals.counts.items()) if kind == what)


def _quantiles(before: Buckets, after: Buckets) -> Quantiles:
    return Quantiles(quantile_s(before, after, 0.5), quantile_s(before, after, 0.99))


def _partition(topic_partition: Any) -> int:
    return int(topic_partition.partition)

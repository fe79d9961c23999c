"""What the work counts, as Prometheus metrics. Labels are kinds and types, never students."""

from __future__ import annotations

import itertools
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from actors.ingest.offsets import Window
from actors.messages import Deliver, Park
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Outcome, Settled

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Ticks:
    """A count that any thread adds to without a lock: 0.1 µs, where two labelled counters take 1.5 µs."""

    __slots__ = ("_asked", "_numbers", "_told", "tick")

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.tick = self._numbers.__next__
        """Add one; a step of the interpreter that nothing comes between."""
        self._asked = self._told = 0

    def fresh(self) -> int:
        """How many were added since this was last asked; for one thread at a time."""
        added = next(self._numbers) - self._asked  # asking takes a number too
        self._asked += 1
        fresh, self._told = added - self._told, added
        return fresh


class FedCounter(Counter):
    """A counter that has what was counted elsewhere brought to it before anybody reads it."""

    bring: Callable[[], None] | None = None

    def collect(self) -> Iterable[Metric]:
        """Its samples, up to date."""
        if self.bring is not None:
            self.bring()
        return super().collect()


class WorkMetrics:
    """The counters of ingest, students, ledgers and publisher; it satisfies the ``Measure`` of each of them.

    Args:
        registry: where they stand.
        on_parked: told of each message that was parked.
    """

    def __init__(
        self, registry: CollectorRegistry, on_parked: Callable[[Park], None] = lambda _: None
    ) -> None:
        self._on_parked = on_parked
        self._ticks: dict[tuple[str, type], Ticks] = {}
        self._feeding = threading.Lock()
        self._messages = FedCounter(
            "kcactors_messages",
            "Payment events by where they came from, type and what became of them",
            ("via", "type", "outcome"),
            registry=registry,
        )
        self._duplicates = FedCounter(
            "kcactors_duplicates", "Duplicates by the stage that caught them", ("stage",), registry=registry
        )
        self._messages.bring = self._duplicates.bring = self._add_ticks
        self._parked = Counter("kcactors_parked", "Messages parked, by stage", ("stage",), registry=registry)
        self._payment_to_commit = Histogram(
            "kcactors_payment_to_commit_seconds",
            "From the door to the answer, for what was written",
            ("via",),
            buckets=SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "kcactors_batch_size", "Messages of one transaction", buckets=SIZES, registry=registry
        )
        self._commit = Histogram(
            "kcactors_commit_seconds",
            "One transaction, round trip included",
            buckets=SECONDS,
            registry=registry,
        )
        self._publish = Counter(
            "kcactors_publish", "Events by sink and result", ("sink", "event", "result"), registry=registry
        )
        self._received = Counter("kcactors_kafka_records", "Records read from Kafka", registry=registry)
        self._undecodable = Counter(
            "kcactors_kafka_undecodable", "Records that could not become an event", registry=registry
        )
        self._wrong_keys = Counter(
            "kcactors_kafka_wrong_keys", "Records under another key than their student's", registry=registry
        )
        self._breaker = Counter(
            "kcactors_kafka_breaker_opened",
            "Times that a partition parked too much and waited",
            registry=registry,
        )
        self._healed = Counter(
            "kcactors_reconciled",
            "Cases that the reconciler found and brought again",
            ("kind",),
            registry=registry,
        )
        self.up = Gauge(
            "kcactors_dependency_up", "Whether a dependency answers", ("dependency",), registry=registry
        )
        # A labelled metric looks its child up under a lock each time; these sets of labels are small and fixed.
        self._message = cache(self._messages.labels)
        self._published_as = cache(self._publish.labels)
        self._absorbed_by = cache(self._duplicates.labels)
        self._committed_via = cache(self._payment_to_commit.labels)

    def settled(self, deliver: Deliver, settled: Settled, seconds: float) -> None:
        """One payment event has its answer, ``seconds`` after it came in."""
        self._message(deliver.via, _kind(type(deliver.event)), settled.outcome.value).inc()
        if settled.absorbed_by is not None:
            self._absorbed_by(settled.absorbed_by).inc()
        if not settled.retryable:
            self._committed_via(deliver.via).observe(seconds)

    def absorbed(self, deliver: Deliver) -> None:
        """One payment event was a duplicate of what its student's actor knows."""
        key = (deliver.via, type(deliver.event))
        ticks = self._ticks.get(key) or self._ticks.setdefault(key, Ticks())
        ticks.tick()

    def _add_ticks(self) -> None:
        # Two may read at once.
        with self._feeding:
            for (via, event), ticks in list(self._ticks.items()):
                fresh = ticks.fresh()
                self._message(via, _kind(event), Outcome.EXISTS.value).inc(fresh)
                self._absorbed_by("mailbox").inc(fresh)

    def parked(self, park: Park) -> None:
        """One message was parked."""
        self._parked.labels(park.stage).inc()
        self._on_parked(park)

    def committed(self, messages: int, seconds: float) -> None:
        """One transaction of so many messages took so long."""
        self._batch.observe(messages)
        self._commit.observe(seconds)

    def published(self, sink: str, events: Sequence[LoggedEvent], result: str) -> None:
        """These events reached the sink, or did not."""
        for kind, count in Tally(event.type for event in events).items():
            self._published_as(sink, kind, result).inc(count)

    def received(self, records: int) -> None:
        """So many records came out of one poll."""
        self._received.inc(records)

    def undecodable(self) -> None:
        """One record cannot become an event."""
        self._undecodable.inc()

    def wrong_key(self) -> None:
        """One record lies under another key than its student's."""
        self._wrong_keys.inc()

    def breaker_opened(self) -> None:
        """A partition parks too much and waits."""
        self._breaker.inc()

    def reconciled(self, kind: str, cases: int) -> None:
        """So many cases of one kind were found and brought again."""
        if cases:
            self._healed.labels(kind).inc(cases)


def _kind(event: type) -> str:
    return str(event.__struct_config__.tag)  # type: ignore[attr-defined]


PARTITION_GAUGES: Final[dict[str, tuple[str, Callable[[Window, float], float]]]] = {
    "lag_records": ("Records that do not stand yet, as far as is known", lambda w, _: w.lag),
    "in_flight": ("Records without an answer", lambda w, _: w.in_flight),
    "oldest_seconds": ("Age of the oldest record without an answer", lambda w, now_s: w.age_s(now_s)),
    "committed_offset": ("What the brokers confirmed; -1 before the first commit", lambda w, _: w.committed),
    "commit_age_seconds": (
        "How long an offset has waited to be committed",
        lambda w, now_s: w.commit_age_s(now_s),
    ),
    "paused": ("Whether the partition is at a bound or its breaker is open", lambda w, _: w.paused),
}


class PartitionMetrics(Collector):
    """The partitions of the payment topic that this node owns now, read when somebody asks.

    A partition that has moved away is not reported here any more: its new owner does.
    """

    def __init__(self, windows: Callable[[], Sequence[Window]], now: Callable[[], float]) -> None:
        self._windows = windows
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """One gauge per figure, labelled with the partition."""
        now_s = self._now()
        windows = self._windows()
        for name, (text, read) in PARTITION_GAUGES.items():
            gauge = GaugeMetricFamily(f"kcactors_kafka_{name}", text, labels=("partition",))
            for window in windows:
                gauge.add_metric((str(window.topic_partition.partition),), float(read(window, now_s)))
            yield gauge

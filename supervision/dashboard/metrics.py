"""The runtime's vitals for Prometheus. Labels are classes, kinds and causes, never the names of virtual actors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from supervision.dashboard.census import Census
from supervision.system import System
from supervision.vitals import BUCKETS, Histogram

BUCKET_STEP: Final = 2
"""Every second bucket is exported: bounds grow by factors of four."""


class RuntimeCollector(Collector):
    """Register it with a registry; it reads when it is asked.

    Args:
        census: where the counts of all actors come from.
        prefix: of every metric's name, such as ``kcactors_``.
        cost_s: processor seconds that the dashboard has spent, if there is one.
    """

    def __init__(
        self, system: System, census: Census, *, prefix: str = "", cost_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._system = system
        self._census = census
        self._prefix = prefix
        self._cost_s = cost_s

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not walk over the actors."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All of it, now."""
        census = self._census.count()
        account = census.account
        name = self._prefix
        yield _gauges(name + "actors", "Actors by class and state", ("class", "state"), census.actors)
        yield from self._mailboxes()
        yield from self._work()
        yield from self._rare()
        for what in ("accepted", "handled", "parked", "dead", "refused"):
            yield CounterMetricFamily(
                f"{name}mailbox_{what}",
                f"Messages that were {what}, of all actors",
                value=getattr(account, what),
            )
        yield GaugeMetricFamily(
            name + "conservation_error",
            "Messages accepted and nowhere to be found; those in hand show for a moment",
            value=census.error,
        )
        yield CounterMetricFamily(
            name + "observe_cpu_seconds", "Processor time of the dashboard", value=self._cost_s()
        )

    def _mailboxes(self) -> Iterator[Metric]:
        depth: Counter[str] = Counter()
        oldest: dict[str, float] = {}
        for kind in self._system.vitals.by_class():
            depth[kind.__name__], oldest[kind.__name__] = 0, 0.0
        for cell in self._system.noticeable():
            kind_name = cell.actor_class.__name__
            depth[kind_name] += cell.depth
            oldest[kind_name] = max(oldest.get(kind_name, 0.0), cell.oldest_s())
        gauge = GaugeMetricFamily(
            self._prefix + "mailbox_depth", "Messages waiting, by class", labels=("class",)
        )
        age = GaugeMetricFamily(
            self._prefix + "mailbox_oldest_seconds", "Age of the oldest message, by class", labels=("class",)
        )
        for kind_name, messages in depth.items():
            gauge.add_metric((kind_name,), messages)
            age.add_metric((kind_name,), oldest.get(kind_name, 0.0))
        yield gauge
        yield age

    def _work(self) -> Iterator[Metric]:
        handled = CounterMetricFamily(
            self._prefix + "actor_messages", "Messages handled, by class of actor", labels=("class",)
        )
        turn = HistogramMetricFamily(
            self._prefix + "turn_seconds", "Turns, by class of actor", labels=("class",)
        )
        wait = HistogramMetricFamily(
            self._prefix + "mailbox_wait_seconds",
            "Wait of a turn's first message, by class of actor",
            labels=("class",),
        )
        for kind, book in self._system.vitals.by_class().items():
            handled.add_metric((kind.__name__,), book.handled)
            for family, histogram in ((turn, book.turn), (wait, book.wait)):
                family.add_metric((kind.__name__,), buckets=_buckets(histogram), sum_value=histogram.total_s)
        yield from (handled, turn, wait)

    def _rare(self) -> Iterator[Metric]:
        counts = list(self._system.vitals.counts.items())
        incidents = CounterMetricFamily(
            self._prefix + "incidents", "Incidents by class of actor and kind", labels=("class", "kind")
        )
        restarts = CounterMetricFamily(
            self._prefix + "restarts", "Restarts by class of actor", labels=("class",)
        )
        restarted = dict.fromkeys((kind.__name__ for kind in self._system.vitals.by_class()), 0)
        for (class_name, kind), times in counts:
            incidents.add_metric((class_name, kind), times)
            if kind == "restarted":
                restarted[class_name] = times
        for class_name, times in restarted.items():
            restarts.add_metric((class_name,), times)
        letters = CounterMetricFamily(
            self._prefix + "dead_letters", "Messages that nobody will handle, by cause", labels=("cause",)
        )
        causes = Counter({"stopped": 0, "failed": 0, "abandoned": 0, "timer": 0})
        causes.update(self._system.dead_letters.counts)
        for cause, times in causes.items():
            letters.add_metric((cause,), times)
        yield from (incidents, restarts, letters)


def _gauges(name: str, text: str, labels: tuple[str, ...], values: Counter[tuple[str, str]]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        gauge.add_metric(key, value)
    return gauge


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative counts by upper bound in seconds."""
    found: list[tuple[str, float]] = []
    total = 0
    for bucket, times in enumerate(histogram.counts):
        total += times
        if bucket % BUCKET_STEP == 0 and bucket < BUCKETS - 1:
            found.append((repr(2**bucket / 1e6), total))
    found.append(("+Inf", total))
    return found

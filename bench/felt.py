"""Whether a storm of duplicates of one payment is felt by others, who buy steadily by webhook and by Kafka.

One payment is delivered 200,000 times: three times by Kafka (Apache Kafka where Java and Maven are), as fast as the
broker takes it, each after calm seconds; then by webhook over 32 connections (`bench.rage`), held up for calm seconds
in between. So storm and calm are of the same minutes, on a machine whose speed changes from minute to minute.

A partition has an order, so whoever shares the storm's partition waits behind it by contract; those students are shown
apart from the others. Payments that were on their way while the disk stood still (`bench.disk`), or just after, are in
the figures, and the others are summed up once more by themselves.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from actors.ingest.partition import partition_of
from bench import disk
from bench.beside import Measured
from bench.end_to_end import feed
from bench.figures import Row, figure
from bench.others import SAME, Others, Took, Way
from bench.rage import Payment, held_up, raging
from bench.shop import Shop
from bench.sweeps import bodies
from bench.worker import (
    PARTITIONS,
    Servers,
    Worker,
    ground,
    ground_with_apache_kafka,
    lacks_apache_kafka,
    node_on,
)
from kcactors.load.pace import latency
from kcactors.load.plan import Via

BY_KAFKA: Final = 3
"""Storms: one of 200,000 is over in some seconds, and the slowest hundredth of so few payments is three of them."""
CALM_S, STORM_S = 10.0, 40.0
SETTINGS: Final = {"KCACTORS_PROJECTIONS_SESSIONS": "false", "KCACTORS_INGEST_COMMIT_INTERVAL_S": "0.2"}


class Felt:
    """Collects runs; see the module."""

    def __init__(self) -> None:
        self._p99_ms: defaultdict[str, list[float]] = defaultdict(list)
        self._stalls = 0

    def run(self, copies: int) -> None:
        """Storms of so many duplicates by each way."""
        disk_s: list[Measured] = []
        shop = Shop()
        with _servers(shop) as services, node_on(services, **SETTINGS) as at, disk.beside(disk_s):
            warm(at, shop)
            others = Others(at, shop)
            for number in range(BY_KAFKA):
                others.pay(Via.KAFKA, _after(CALM_S), raging=False)
                _by_kafka(at, shop.payment(number, "storm"), copies, others)
            _by_webhook(at, shop.payment(BY_KAFKA, "storm"), copies, others)
            stand = at.number("select count(*) from purchase where payment_id like 'pay_storm%'")
            if stand != BY_KAFKA + 1:
                raise RuntimeError(f"{BY_KAFKA + 1} payments of storms are {stand} purchases")
        self.keep(others.took, disk.stalls(disk_s))

    def keep(self, took: Mapping[Way, list[Took]], stalls: Sequence[Measured]) -> None:
        """One run: every payment, and those apart that no stall of the disk met."""
        self._stalls += len(stalls)
        for way, each in took.items():
            self._p99_ms[way.name].append(latency([t.stood_s - t.due_s for t in each]).p99)
            calm = [t.stood_s - t.due_s for t in each if not t.met(stalls)]
            if calm:
                self._p99_ms[way.name + disk.WITHOUT_STALLS].append(latency(calm).p99)
        tell(f"disk stood still {len(stalls)} times; {dict(self._p99_ms)}")

    def rows(self, group: str) -> list[Row]:
        """Each storm against the calm around it; once more without the disk's stalls, where there were any."""
        made = []
        sums = ("", disk.WITHOUT_STALLS) if self._stalls else ("",)
        for storm in Via:
            for by in (*map(str, Via), SAME):
                for which in sums:
                    raged = Way(by, storm, raged=True).name + which
                    # nobody shares a partition with a storm that does not rage: their calm is that of all by Kafka
                    calm = Way(str(Via.KAFKA) if by == SAME else by, storm, raged=False).name + which
                    if not self._p99_ms[raged] or not self._p99_ms[calm]:
                        continue
                    ground_row = figure(group, calm, self._p99_ms[calm], "ms")
                    if by != SAME:
                        made.append(ground_row)
                    made.append(figure(group, raged, self._p99_ms[raged], "ms", ground_row))
        return made


def _by_kafka(at: Worker, hot: Payment, copies: int, others: Others) -> None:
    busy = partition_of(str(hot["student_id"]), PARTITIONS)
    with raging(at, Via.KAFKA, hot, copies) as storm:
        others.pay(Via.KAFKA, lambda: storm.poll() is not None, raging=True, busy=busy)


def _by_webhook(at: Worker, hot: Payment, copies: int, others: Others) -> None:
    with raging(at, Via.WEBHOOK, hot, copies) as storm:
        while storm.poll() is None:
            with held_up(storm):
                others.pay(Via.WEBHOOK, _after(CALM_S), raging=False)
            turn_over = _after(STORM_S)
            others.pay(Via.WEBHOOK, lambda: storm.poll() is not None or turn_over(), raging=True)  # noqa: B023 - asked within


def warm(at: Worker, shop: Shop) -> None:
    """Five hundred first payments."""
    feed(at.services.kafka_bootstrap, bodies(shop, "warm", 500, 2_000))
    at.wait_for("select count(*) from purchase", 500)
    at.wait_for("select count(*) from outbox", 0)


def tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _servers(shop: Shop) -> AbstractContextManager[Servers]:
    lacking = lacks_apache_kafka()
    if lacking is None:
        return ground_with_apache_kafka(shop)
    tell(f"by the embedded broker, not by Apache Kafka: {lacking}")
    return ground(shop)


def _after(seconds: float) -> Callable[[], bool]:
    until_s = time.monotonic() + seconds
    return lambda: time.monotonic() > until_s

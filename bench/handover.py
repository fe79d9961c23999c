"""A planned hand-over: one of three nodes gets SIGTERM while payments come in, each one once.

A payment's wait is from its sending to its purchase. Students of the leaving node's partitions may wait for the group
to share out again; the others may not notice: they are compared with themselves before. What the other nodes answer
with ``exists`` has been read twice, and may not be more than the leaving node had in flight when its time was up.
"""

from __future__ import annotations

import re
import signal
import statistics
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import msgspec
import psycopg

from bench.clocks import PostgresClock, process_s
from bench.figures import Row, figure
from kcactors.load import catalogue, plan
from tests.chaos.cluster import COURSES, Cluster, Feeder, wait_for
from tests.chaos.storm import settle
from tests.support.apache_kafka import ApacheKafka

RATE_PER_S: Final = 500.0
STEADY_S: Final = 12.0
AFTER_S: Final = 10.0
"""From the signal on: the hand-over is over by then."""
WARM_S: Final = 6.0
STAY, MOVE = "students that stay", "students that move"
_LEFT: Final = re.compile(r"partitions moved away, (\d+) records were left")
_WAITS: Final = (
    "select p.student_id::text, extract(epoch from u.created_at - p.captured_at)::float8, p.captured_at"
    " from payment p join purchase u using (provider, payment_id)"
)


class _Wait(msgspec.Struct, frozen=True):
    """One payment: its student's kind, seconds from its sending to its purchase, and both moments by the signal."""

    who: str
    seconds: float
    sent_s: float

    @property
    def bought_s(self) -> float:
        return self.sent_s + self.seconds


def measure(group: str, rate_per_s: float = RATE_PER_S) -> list[Row]:
    """The rows of one hand-over."""
    with Cluster(ApacheKafka(), nodes=3, session_timeout_s=6.0) as cluster:
        for number in range(3):
            cluster.start_node(number)
        cluster.wait_ready()
        cluster.wait_shared_out()
        feeder = Feeder(cluster)
        moved, left, cores = _send(cluster, feeder, rate_per_s)
        settle(cluster, int(rate_per_s * (WARM_S + STEADY_S + AFTER_S)))
        with psycopg.connect(cluster.database_url, autocommit=True) as database:
            waits = [
                _Wait(MOVE if feeder.partitions[s] in moved else STAY, seconds, (at - left).total_seconds())
                for s, seconds, at in database.execute(_WAITS).fetchall()
            ]
        twice = sum(_counted(cluster.get(number, "/metrics"), "exists") for number in (1, 2))
        in_flight = sum(int(found) for found in _LEFT.findall(cluster.log(0).read_text()))
    name = f"hand-over at {rate_per_s:.0f}/s"
    return [
        *_judged(group, name, waits),
        figure(group, f"{name}, records read twice", [twice], "records"),
        figure(group, f"{name}, in flight when its time was up", [in_flight], "records"),
        *(figure(group, f"{name}, busy before it: {part}", [busy], "cores") for part, busy in cores.items()),
    ]


def _send(cluster: Cluster, feeder: Feeder, rate_per_s: float) -> tuple[set[int], datetime, dict[str, float]]:
    """Partitions that had to move, when the signal went out, and the cores that were busy before it."""
    steady, signalled = int(rate_per_s * WARM_S), int(rate_per_s * (WARM_S + STEADY_S))
    shape = plan.Shape(run="handover", payments=int(signalled + rate_per_s * AFTER_S), students=1_000)
    payments = plan.payments(shape, catalogue.course_ids(COURSES), datetime.now(UTC))
    moved, left = cluster.partitions_of(0), datetime.now(UTC)
    cores: dict[str, float] = {}
    with psycopg.connect(cluster.database_url, autocommit=True) as database:
        postgres = PostgresClock(database)

        def clocks() -> dict[str, float]:
            return {
                "three nodes": sum(process_s(node.pid) for node in cluster.nodes.values()),
                "PostgreSQL": postgres.total_s(),
                "broker": process_s(cluster.kafka.pid(cluster.kafka.ids[0]) or 0),
                "sender": time.process_time(),
            }

        started_s, before = time.monotonic(), clocks()
        for number, payment in enumerate(payments):
            wait_for(started_s + number / rate_per_s)
            if number == steady:
                before = clocks()
            if number == signalled:
                cores = {part: (used - before[part]) / STEADY_S for part, used in clocks().items()}
                left = datetime.now(UTC)
                cluster.nodes[0].send(signal.SIGTERM)
            now = msgspec.structs.replace(payment, occurred_at=datetime.now(UTC))
            feeder.send(str(payment.student_id), msgspec.json.encode(now))
        feeder.finish()
    return moved, left, cores


def _judged(group: str, name: str, waits: list[_Wait]) -> list[Row]:
    rows: list[Row] = []
    for who in (STAY, MOVE):
        mine = [wait for wait in waits if wait.who == who]
        spans = {"before": (-STEADY_S, 0.0), "during": (0.0, AFTER_S)}
        for percent in (50, 99, 100):
            earlier: Row | None = None
            for when, (since_s, until_s) in spans.items():
                seconds = sorted(wait.seconds for wait in mine if since_s <= wait.sent_s < until_s)
                title = f"{name}, {who}, wait {when}, p{percent}"
                rows.append(figure(group, title, [_percentile(seconds, percent)], "s", earlier))
                earlier = rows[-1]
        earlier = None
        for when, (since_s, until_s) in spans.items():
            title = f"{name}, {who}, longest time without a purchase {when}"
            rows.append(figure(group, title, [_longest_gap(mine, since_s, until_s)], "s", earlier))
            earlier = rows[-1]
    return rows


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[-1] if percent == 100 else statistics.quantiles(ordered, n=100)[percent - 1]


def _longest_gap(waits: list[_Wait], since_s: float, until_s: float) -> float:
    moments = sorted(wait.bought_s for wait in waits if since_s <= wait.bought_s < until_s)
    return max(after - before for before, after in pairwise(moments))


def _counted(text: str, outcome: str) -> float:
    lines = [line for line in text.splitlines() if line.startswith("kcactors_messages_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'outcome="{outcome}"' in line)

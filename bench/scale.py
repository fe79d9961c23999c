"""Payments a second with 1, 2 and 4 nodes on Apache Kafka, and what a planned hand-over costs.

All of it shares this machine's cores: brokers, database and nodes. So the figures say whether nodes get in each other's
way, not how far a cluster would go.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg

from kcactors.load import catalogue, plan
from tests.chaos.cluster import COURSES, Cluster, Feeder, wait_for
from tests.chaos.storm import settle
from tests.support.apache_kafka import ApacheKafka

BACKLOG = 6_000
RATE_PER_S = 100.0
HANDOVER_S = 24.0


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of the group."""
    parser = argparse.ArgumentParser(prog="python -m bench --group scale", description=__doc__)
    parser.add_argument("--payments", type=int, default=BACKLOG)
    parser.add_argument(
        "--rate", type=float, default=RATE_PER_S, help="payments a second during the hand-over"
    )
    wanted = parser.parse_args(arguments)
    return [*throughput(wanted.payments), *hand_over(wanted.rate)]


def row(
    name: str, value: float, unit: str, baseline: str | None = None, ratio: float | None = None
) -> dict[str, Any]:
    return {
        "group": "scale",
        "name": name,
        "value": value,
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
    }


def throughput(payments: int) -> list[dict[str, Any]]:
    """A backlog waits on the topic; from the first purchase to the last."""
    found: list[dict[str, Any]] = []
    for nodes in (1, 2, 4):
        with Cluster(ApacheKafka(), nodes=nodes) as cluster:
            _fill(cluster, payments)
            for number in range(nodes):
                cluster.start_node(number)
            cluster.wait_ready()
            settle(cluster, payments)
            ((seconds,),) = _ask(
                cluster, "select extract(epoch from max(created_at) - min(created_at)) from purchase"
            )
            value = payments / float(seconds)
            first = found[0] if found else None
            ratio = value / first["value"] if first else None
            baseline = first["name"] if first else None
            found.append(row(f"{nodes} nodes, backlog of {payments}", value, "payments/s", baseline, ratio))
            sys.stderr.write(f"  {found[-1]['name']}: {value:.0f}/s\n")
    return found


def _fill(cluster: Cluster, payments: int) -> None:
    shape = plan.Shape(run="scale", payments=payments, students=1_000)
    feeder = Feeder(cluster)
    for payment in plan.payments(shape, catalogue.course_ids(COURSES), datetime.now(UTC)):
        delivery = plan.delivery(payment, plan.Via.KAFKA)
        feeder.send(delivery.student_id, delivery.body)
    feeder.finish()


def hand_over(rate_per_s: float) -> list[dict[str, Any]]:
    """One of three nodes gets SIGTERM under load: from payments' sending to their purchases, by partition's owner."""
    with Cluster(ApacheKafka(), nodes=3, session_timeout_s=6.0) as cluster:
        for number in range(3):
            cluster.start_node(number)
        cluster.wait_ready()
        while sorted(len(cluster.partitions_of(number)) for number in range(3)) != [4, 4, 4]:
            wait_for(time.monotonic() + 0.2)
        count = int(rate_per_s * HANDOVER_S)
        feeder = Feeder(cluster)
        moved, start_s = cluster.partitions_of(0), time.monotonic()
        left = datetime.now(UTC)
        shape = plan.Shape(run="handover", payments=count, students=1_000)
        payments = plan.payments(shape, catalogue.course_ids(COURSES), datetime.now(UTC))
        for number, payment in enumerate(payments):
            wait_for(start_s + number / rate_per_s)
            if number == count // 2:
                left = datetime.now(UTC)
                cluster.nodes[0].send(signal.SIGTERM)
            now = msgspec.structs.replace(payment, occurred_at=datetime.now(UTC))
            feeder.send(str(payment.student_id), msgspec.json.encode(now))
        feeder.finish()
        settle(cluster, count)
        rows = _ask(
            cluster,
            "select p.student_id::text, extract(epoch from u.created_at - p.captured_at)::float8, p.captured_at"
            " from payment p join purchase u using (provider, payment_id)",
        )
        again = sum(_counted(cluster.get(number, "/metrics"), "exists") for number in (1, 2))
        return _judged(rows, moved, feeder.partitions, left, again)


def _judged(
    rows: list[Any], moved: set[int], partitions: dict[str, int], left: datetime, again: float
) -> list[dict[str, Any]]:
    after = [
        (partitions[s] in moved, lag_s) for s, lag_s, at in rows if 0 <= (at - left).total_seconds() < 10
    ]
    before = sorted(lag_s for _, lag_s, at in rows if -10 <= (at - left).total_seconds() < 0)
    found = [row("steady, p99", _percentile(before, 99), "s")]
    for name, which in (("students that move", True), ("students that stay", False)):
        lags = sorted(lag_s for moves, lag_s in after if moves is which)
        for percent in (50, 99, 100):
            value = _percentile(lags, percent)
            found.append(
                row(f"hand-over, {name}, p{percent}", value, "s", "steady, p99", value / found[0]["value"])
            )
    return [*found, row("hand-over, records read twice", again, "records")]


def _percentile(values: list[float], percent: int) -> float:
    return values[-1] if percent == 100 else statistics.quantiles(values, n=100)[percent - 1]


def _counted(text: str, outcome: str) -> float:
    lines = [line for line in text.splitlines() if line.startswith("kcactors_messages_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if f'outcome="{outcome}"' in line)


def _ask(cluster: Cluster, question: str) -> list[Any]:
    with psycopg.connect(cluster.database_url, autocommit=True) as database:
        return database.execute(question).fetchall()


if __name__ == "__main__":
    for each in main():
        sys.stdout.write(f"{each['name']}: {each['value']:.3f} {each['unit']}\n")

"""Group `storm`: duplicates alone. How many a second are absorbed, and whether a storm of them is felt by others.

    python -m bench storm [--quick]

Absorbed: 95 % of the deliveries are duplicates; the clock runs from the first send until the service has committed the
last offset and every purchase stands. Baseline: one transaction a message, by hand, for as long.

Felt: other students buy at a steady pace by webhook and by Kafka, first alone, then while one payment is delivered
200,000 times through Kafka, then as often by webhook over 32 connections (`bench.rage`). A partition has an order, so
whoever shares the storm's partition waits behind it by contract; those students are shown apart from the others.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import psycopg
from kafka.partitioner.default import murmur2

from actors.broker import Broker
from bench.end_to_end import feed
from bench.figures import Row, figure
from bench.rage import raging
from bench.shop import Shop
from bench.sweeps import bodies
from bench.worker import PARTITIONS, WEBHOOK_SECRET, Servers, Worker, ground, node_on, rival_on
from kcactors.load.arrivals import Arrivals
from kcactors.load.feeder import Feeder, Sent
from kcactors.load.librdkafka import PaymentTopic
from kcactors.load.pace import latency
from kcactors.load.plan import Shape, Via, deliveries, payments

GROUP = "storm"
KNOWS_QUICK = True
PAYMENTS, SHARE = 5_000, 0.95
"""100,000 deliveries, some three seconds: with 40,000 a tenth of the time was the last commit of offsets. Twice as many
would not fit into the 5 MB that the embedded broker keeps of a partition."""
OTHERS_PER_S, ALONE_S = 100.0, 60.0
CALM = "without a storm"
BY_HAND_S = 20.0
SETTINGS = {"KCACTORS_PROJECTIONS_SESSIONS": "false", "KCACTORS_INGEST_COMMIT_INTERVAL_S": "0.2"}


def _storm(via: Via) -> str:
    return f"within one by {via}"


def topic_of(services: Servers, group: str = "kcactors") -> PaymentTopic:
    broker = Broker(bootstrap=services.kafka_bootstrap, api_version=services.kafka_api_version)
    return PaymentTopic(broker, "payment-events", group, embedded=True)


def absorbed(seed: int) -> tuple[float, float]:
    """Deliveries a second of which 95 % are duplicates, and microseconds of node CPU for each."""
    shop = Shop(seed)
    with ground(shop) as services, node_on(services, **SETTINGS) as at:
        _warm(at, shop)
        sent, topic = bodies(shop, f"p{seed}", PAYMENTS, 2_000, duplicates=SHARE), topic_of(services)
        used_s, start_s = at.cpu_s(), time.perf_counter()
        for who, body in sent:
            topic.send(who, body)
        topic.flush()
        _consumed(topic)
        end_s = time.perf_counter()
        used_s = at.cpu_s() - used_s
        at.wait_for("select count(*) from purchase where payment_id not like 'pay_warm%'", PAYMENTS)
        topic.close()
    return len(sent) / (end_s - start_s), used_s / len(sent) * 1e6


def absorbed_by_hand(seed: int) -> float:
    shop = Shop(seed)
    with (
        ground(shop) as services,
        rival_on(services, "single"),
        psycopg.connect(services.database_url, autocommit=True) as database,
    ):
        sent = bodies(shop, f"p{seed}", PAYMENTS, 2_000, duplicates=SHARE)
        start_s = time.perf_counter()
        feed(services.kafka_bootstrap, sent)
        topic = topic_of(services, "by-hand")
        seen = "select xact_commit from pg_stat_database where datname = current_database()"
        before = _number(database, seen)
        threading.Event().wait(BY_HAND_S)
        # a payment of theirs is two transactions, its allocation one, a duplicate one
        made, commits = _number(database, "select count(*) from purchase"), _number(database, seen) - before
        topic.close()
        return max(1.0, commits - made) / (time.perf_counter() - start_s)


def felt(copies: int, found: dict[str, list[float]]) -> None:
    """The p99 of other students, without a storm and with one by each way."""
    shop = Shop()
    with ground(shop) as services, node_on(services, **SETTINGS) as at:
        _warm(at, shop)
        hot = shop.payment(0, "storm")
        busy = _partition(hot["student_id"])
        calm_until_s = time.monotonic() + ALONE_S
        asyncio.run(_others(at, shop, busy, lambda: time.monotonic() > calm_until_s, CALM, found))
        for via in Via:
            with raging(at, via, hot, copies) as storm:
                asyncio.run(_others(at, shop, busy, lambda: storm.poll() is not None, _storm(via), found))
        if at.number("select count(*) from purchase where payment_id = 'pay_storm0'") != 1:
            raise RuntimeError("the storm's payment is not one purchase")


async def _others(
    at: Worker, shop: Shop, busy: int, over: Callable[[], bool], name: str, found: dict[str, list[float]]
) -> None:
    """Steady payments by both ways until it is over, a second at a time."""
    courses = [uuid.UUID(course) for course in shop.courses]
    services = at.services
    feeder = Feeder(topic=topic_of(services), nodes=[at.node.url], secret=WEBHOOK_SECRET)
    looking = Arrivals(services.database_url, feeder.sent)
    ways: dict[str, str] = {}
    try:
        while not over():
            shape = Shape(
                run=f"others-{uuid.uuid4().hex[:8]}",
                payments=int(OTHERS_PER_S),
                students=50,
                duplicates=0.0,
                webhook_share=0.5,
            )
            plan = deliveries(shape, payments(shape, courses, datetime.now(UTC)), 0)
            for each in plan:
                behind = each.via is Via.KAFKA and _partition(each.student_id) == busy
                ways[each.payment_id] = "Kafka, same partition" if behind else str(each.via)
            await feeder.feed(plan, rate_per_s=OTHERS_PER_S)
        await _arrived(feeder.sent)
    finally:
        await asyncio.to_thread(looking.close)
        await feeder.close()
    by_way: defaultdict[str, list[float]] = defaultdict(list)
    for payment, due in feeder.sent.due.items():
        by_way[ways[payment]].append(feeder.sent.committed[payment] - due)
    for way, seconds in by_way.items():
        found[f"others by {way}, p99 {name}"].append(latency(seconds).p99)


async def _arrived(sent: Sent) -> None:
    deadline_s = time.perf_counter() + 60
    while len(sent.committed) < len(sent.due):
        if time.perf_counter() > deadline_s:
            raise RuntimeError(f"{len(sent.due) - len(sent.committed)} payments never stood")
        await asyncio.sleep(0.05)


def _partition(student: str) -> int:
    return int(murmur2(student.encode()) & 0x7FFFFFFF) % PARTITIONS


def _consumed(topic: PaymentTopic, timeout_s: float = 120.0) -> None:
    deadline_s = time.perf_counter() + timeout_s
    while topic.behind():
        if time.perf_counter() > deadline_s:
            raise RuntimeError("deliveries were not consumed")
        time.sleep(0.02)


def _warm(at: Worker, shop: Shop) -> None:
    feed(at.services.kafka_bootstrap, bodies(shop, "warm", 500, 2_000))
    at.wait_for("select count(*) from purchase", 500)
    at.wait_for("select count(*) from outbox", 0)


def _number(database: psycopg.Connection[tuple[int]], question: str) -> int:
    row = database.execute(question.encode()).fetchone()
    assert row is not None
    return int(row[0])


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run, and a storm of 20,000")
    parser.add_argument(
        "--runs", type=int, default=3, help="of 8 minutes each, most of it the storm by webhook"
    )
    asked = parser.parse_args(arguments)
    runs, copies = (1, 20_000) if asked.quick else (asked.runs, 200_000)
    rates, costs, by_hand = [], [], []
    found: dict[str, list[float]] = defaultdict(list)
    for run in range(runs):
        rate, cost = absorbed(run)
        _tell(f"run {run + 1}: {rate:,.0f} deliveries/s, {cost:.0f} us each")
        rates.append(rate)
        costs.append(cost)
        by_hand.append(absorbed_by_hand(run))
        felt(copies, found)
        _tell(f"run {run + 1}: {by_hand[-1]:,.0f} deliveries/s by hand, {dict(found)}")
    hand = figure(GROUP, "95 % duplicates, one transaction a message", by_hand, "deliveries/s")
    rows = [
        hand,
        figure(GROUP, "95 % duplicates absorbed", rates, "deliveries/s", hand),
        figure(GROUP, "node CPU of such a delivery", costs, "us"),
    ]
    for way in (*map(str, Via), "Kafka, same partition"):
        ground_ms = found[f"others by {way}, p99 {CALM}"]
        if not ground_ms:
            continue
        calm = figure(GROUP, f"others by {way}, p99 {CALM}", ground_ms, "ms")
        rows.append(calm)
        for storm in map(_storm, Via):
            name = f"others by {way}, p99 {storm}"
            rows.append(figure(GROUP, name, found[name], "ms", calm))
    return rows


def _tell(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)

"""Group `end_to_end`: the standard work through Kafka, everything on this machine: servers, broker, node, feeder.

20,000 deliveries of 10,000 payments over 2,000 students, 40 courses, 200 trainers; each becomes a purchase, an
allocation and its events on Kafka and Redis. The run counts only if the books are right afterwards. Baselines are the
workers that one would write by hand (`bench.handwritten`), on less of the same work; the sessions projection is off.
"""

from __future__ import annotations

import argparse
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
import uvloop
from confluent_kafka import Producer

from bench.figures import Row, figure
from bench.shop import STUDENTS, Shop
from bench.worker import WEBHOOK_SECRET, Worker, ground, rival_on, worker
from kcactors.load.feeder import Feeder
from kcactors.load.plan import Delivery, Shape, deliveries, payments

GROUP = "end_to_end"
KNOWS_QUICK = True
PAYMENTS, RUNS = 10_000, 3
WEBHOOK_PAYMENTS, BY_HAND_PAYMENTS, BY_HAND_S = 3_000, 2_000, 30.0


def feed(bootstrap: str, deliveries: list[tuple[str, bytes]]) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "batch.num.messages": 2_000, "log_level": 2}
    )
    for student, body in deliveries:
        producer.produce("payment-events", body, student.encode())
        producer.poll(0)
    producer.flush(60)


def sound(at: Worker, payments: int) -> None:
    """Stop the bench rather than print a figure that was bought with the promise."""
    questions = {
        "select count(*) from purchase": payments,
        "select count(*) from allocation where status = 'allocated'": payments,
        "select count(*) from (select 1 from event group by student_id having count(*) <> max(seq)) x": 0,
        "select count(*) from outbox": 0,
    }
    for question, answer in questions.items():
        if at.number(question) != answer:
            raise RuntimeError(f"{question}: {at.number(question)} instead of {answer}")


def one_run(seed: int, **settings: str) -> dict[str, float]:
    shop = Shop(seed)
    deliveries = shop.deliveries(PAYMENTS, "p")
    with worker(shop, **settings) as at:
        cpu_s, postgres_s, started_s = at.cpu_s(), at.postgres_s(), time.perf_counter()
        feed(at.services.kafka_bootstrap, deliveries)
        bought_s = at.wait_for("select count(*) from purchase", PAYMENTS)
        at.wait_for("select count(*) from allocation where status = 'allocated'", PAYMENTS)
        done_s = at.wait_for("select count(*) from outbox", 0)
        used_s, served_s = at.cpu_s() - cpu_s, at.postgres_s() - postgres_s
        sound(at, PAYMENTS)
    return {
        "bought": PAYMENTS / (bought_s - started_s),
        "done": PAYMENTS / (done_s - started_s),
        "cpu_us": used_s / PAYMENTS * 1e6,
        "postgres_us": served_s / PAYMENTS * 1e6,
    }


def one_run_by_hand(kind: str, seed: int, count: int) -> float:
    """Distinct payments a second of a worker that one would write by hand: to purchase and allocation."""
    shop = Shop(seed)
    with (
        ground(shop) as services,
        rival_on(services, kind),
        psycopg.connect(services.database_url, autocommit=True) as database,
    ):
        started_s = time.perf_counter()
        feed(services.kafka_bootstrap, shop.deliveries(count, "p"))
        deadline_s = started_s + BY_HAND_S
        while (made := _allocated(database)) < count and time.perf_counter() < deadline_s:
            time.sleep(0.05)
        return made / (time.perf_counter() - started_s)


def by_webhook(seed: int, count: int) -> dict[str, float]:
    """The same work through webhooks: 32 connections that are kept alive."""
    shop = Shop(seed)
    with worker(shop, KCACTORS_PROJECTIONS_SESSIONS="false") as at:
        courses = [uuid.UUID(course) for course in shop.courses]
        shape = Shape(run=f"web{seed}", payments=count, students=STUDENTS, webhook_share=1.0)
        plan = deliveries(shape, payments(shape, courses, datetime.now(UTC)), count)
        cpu_s, started_s = at.cpu_s(), time.perf_counter()
        uvloop.run(_post(at.node.url, plan))
        bought_s = at.wait_for("select count(*) from purchase", count)
        at.wait_for("select count(*) from allocation where status = 'allocated'", count)
        at.wait_for("select count(*) from outbox", 0)
        used_s = at.cpu_s() - cpu_s
        sound(at, count)
    return {"bought": count / (bought_s - started_s), "cpu_us": used_s / count * 1e6}


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run in place of three")
    runs = 1 if parser.parse_args(arguments).quick else RUNS
    made: dict[str, list[float]] = defaultdict(list)
    for seed in range(runs):
        # In turns, so that a slow minute of the machine hits all of them.
        for kind in ("single", "threads"):
            made[kind].append(one_run_by_hand(kind, seed, BY_HAND_PAYMENTS))
        for producer in ("librdkafka", "kafka-python"):
            found = one_run(seed, KCACTORS_KAFKA_PRODUCER=producer, KCACTORS_PROJECTIONS_SESSIONS="false")
            for name, value in found.items():
                made[f"{producer} {name}"].append(value)
        for name, value in by_webhook(seed, WEBHOOK_PAYMENTS).items():
            made[f"webhook {name}"].append(value)
    hand = figure(GROUP, "one transaction a message, by hand", made["single"], "payments/s")
    bought = figure(GROUP, "payment to purchase", made["librdkafka bought"], "payments/s", hand)
    python = figure(GROUP, "node CPU, producer kafka-python", made["kafka-python cpu_us"], "us/payment")
    return [
        hand,
        figure(GROUP, "a thread per student, by hand", made["threads"], "payments/s", hand),
        bought,
        figure(
            GROUP,
            "payment to purchase, producer kafka-python",
            made["kafka-python bought"],
            "payments/s",
            hand,
        ),
        figure(GROUP, "payment to allocation and Kafka", made["librdkafka done"], "payments/s", hand),
        figure(GROUP, "payment to purchase, webhooks", made["webhook bought"], "payments/s", hand),
        python,
        figure(GROUP, "node CPU", made["librdkafka cpu_us"], "us/payment", python),
        figure(GROUP, "node CPU, webhooks", made["webhook cpu_us"], "us/payment", python),
        figure(GROUP, "PostgreSQL CPU", made["librdkafka postgres_us"], "us/payment"),
    ]


async def _post(url: str, plan: Sequence[Delivery]) -> None:
    feeder = Feeder(topic=None, nodes=[url], secret=WEBHOOK_SECRET)
    try:
        await feeder.feed(plan)
    finally:
        await feeder.close()


def _allocated(database: psycopg.Connection[tuple[int]]) -> int:
    row = database.execute("select count(*) from allocation where status = 'allocated'").fetchone()
    assert row is not None
    return row[0]

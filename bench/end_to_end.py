"""Group `end_to_end`: the standard work through Kafka, everything on this machine: servers, broker, node, feeder.

20,000 deliveries of 10,000 payments over 2,000 students, 40 courses, 200 trainers; each becomes a purchase, an
allocation and its events on Kafka and Redis. The run counts only if the books are right afterwards.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from confluent_kafka import Producer

from bench.shop import Shop, row
from bench.worker import Worker, worker

GROUP = "end_to_end"
PAYMENTS, RUNS = 10_000, 3


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
        cpu_s, started_s = at.cpu_s(), time.perf_counter()
        feed(at.services.kafka_bootstrap, deliveries)
        bought_s = at.wait_for("select count(*) from purchase", PAYMENTS)
        at.wait_for("select count(*) from allocation where status = 'allocated'", PAYMENTS)
        done_s = at.wait_for("select count(*) from outbox", 0)
        used_s = at.cpu_s() - cpu_s
        sound(at, PAYMENTS)
    return {
        "bought": PAYMENTS / (bought_s - started_s),
        "done": PAYMENTS / (done_s - started_s),
        "cpu_us": used_s / PAYMENTS * 1e6,
    }


def main(_arguments: list[str] | None = None) -> list[dict[str, Any]]:
    kinds = {"librdkafka": "librdkafka", "kafka-python": "kafka-python"}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in kinds}
    for seed in range(RUNS):
        for name, producer in kinds.items():
            runs[name].append(one_run(seed, KCACTORS_KAFKA_PRODUCER=producer))
    median = {n: {k: statistics.median(r[k] for r in rs) for k in rs[0]} for n, rs in runs.items()}
    base = median["kafka-python"]
    rows = []
    for key, what, unit in (
        ("bought", "payment to purchase", "payments/s"),
        ("done", "payment to allocation and Kafka", "payments/s"),
        ("cpu_us", "node CPU", "us/payment"),
    ):
        theirs = f"{what}, producer kafka-python"
        rows.append(row(GROUP, theirs, base[key], unit))
        rows.append(
            row(GROUP, f"{what}, producer librdkafka", median["librdkafka"][key], unit, theirs, base[key])
        )
    return rows

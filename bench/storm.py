"""Group `storm`: duplicates alone. How many a second are absorbed, and whether a storm of them is felt by others.

    python -m bench storm [--quick]

Absorbed: 95 % of the deliveries are duplicates; the clock runs from the first send until the service has committed the
last offset and every purchase stands. Baseline: one transaction a message, by hand, for as long.

Felt: `bench.felt`.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Sequence

import psycopg

from bench.end_to_end import feed
from bench.felt import SETTINGS, Felt, tell, warm
from bench.figures import Row, figure
from bench.paced import payment_topic
from bench.shop import Shop
from bench.sweeps import bodies
from bench.worker import ground, node_on, rival_on
from kcactors.load.librdkafka import PaymentTopic

GROUP = "storm"
KNOWS_QUICK = True
PAYMENTS, SHARE = 5_000, 0.95
"""100,000 deliveries, some three seconds: with 40,000 a tenth of the time was the last commit of offsets. Twice as many
would not fit into the 5 MB that the embedded broker keeps of a partition."""
BY_HAND_S = 20.0


def absorbed(seed: int) -> tuple[float, float]:
    """Deliveries a second of which 95 % are duplicates, and microseconds of node CPU for each."""
    shop = Shop(seed)
    with ground(shop) as services, node_on(services, **SETTINGS) as at:
        warm(at, shop)
        sent, topic = (
            bodies(shop, f"p{seed}", PAYMENTS, 2_000, duplicates=SHARE),
            payment_topic(services, "kcactors"),
        )
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
        topic = payment_topic(services, "by-hand")
        seen = "select xact_commit from pg_stat_database where datname = current_database()"
        before = _number(database, seen)
        threading.Event().wait(BY_HAND_S)
        # a payment of theirs is two transactions, its allocation one, a duplicate one
        made, commits = _number(database, "select count(*) from purchase"), _number(database, seen) - before
        topic.close()
        return max(1.0, commits - made) / (time.perf_counter() - start_s)


def _consumed(topic: PaymentTopic, timeout_s: float = 120.0) -> None:
    deadline_s = time.perf_counter() + timeout_s
    while topic.behind():
        if time.perf_counter() > deadline_s:
            raise RuntimeError("deliveries were not consumed")
        time.sleep(0.02)


def _number(database: psycopg.Connection[tuple[int]], question: str) -> int:
    row = database.execute(question.encode()).fetchone()
    assert row is not None
    return int(row[0])


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run, and storms of 20,000")
    parser.add_argument(
        "--runs", type=int, default=3, help="of 10 minutes each, most of it the storm by webhook"
    )
    asked = parser.parse_args(arguments)
    runs, copies = (1, 20_000) if asked.quick else (asked.runs, 200_000)
    rates, costs, by_hand, felt = [], [], [], Felt()
    for run in range(runs):
        rate, cost = absorbed(run)
        tell(f"run {run + 1}: {rate:,.0f} deliveries/s, {cost:.0f} us each")
        rates.append(rate)
        costs.append(cost)
        by_hand.append(absorbed_by_hand(run))
        tell(f"run {run + 1}: {by_hand[-1]:,.0f} deliveries/s by hand")
        felt.run(copies)
    hand = figure(GROUP, "95 % duplicates, one transaction a message", by_hand, "deliveries/s")
    return [
        hand,
        figure(GROUP, "95 % duplicates absorbed", rates, "deliveries/s", hand),
        figure(GROUP, "node CPU of such a delivery", costs, "us"),
        *felt.rows(GROUP),
    ]

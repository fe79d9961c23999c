"""Payments a second with 1, 2 and 4 nodes and partitions on Apache Kafka, what each part used, and a planned hand-over.

All of it shares this machine's cores: broker, database, nodes and whoever sends. So the figures say whether nodes get
in each other's way, and what a payment costs all of them together; not how far a cluster would go. While the cores are
not full, more nodes bring more; once they are, a payment's CPU decides, and a node more may not make it dearer.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg

from bench import handover
from bench.clocks import TICKS_PER_S, PostgresClock, process_s
from bench.figures import Row, figure
from bench.worker import lacks_apache_kafka
from kcactors.load import catalogue, plan
from tests.chaos.cluster import COURSES, Cluster, Feeder, wait_for
from tests.support.apache_kafka import ApacheKafka

GROUP: Final = "scale"
lacks = lacks_apache_kafka
BACKLOG: Final = 6_000
WARM: Final = 600
SHAPES: Final = ((1, 1), (2, 2), (4, 4), (1, 12), (2, 12), (4, 12))
"""Nodes and partitions."""
LOOK_S: Final = 0.1
REST_S: Final = 4.0
PATIENCE_S: Final = 180.0
OPEN: Final = (
    "select (select count(*) from allocation where status = 'requested') + (select count(*) from outbox)"
)


class Run(msgspec.Struct, frozen=True):
    """One backlog. ``per_s``: until its purchases stand; ``done_per_s``: until allocations and events do too.

    ``cpu_s`` by part, until all is done; ``cores`` busy meanwhile, ours and of anybody else on the machine; ``rest``:
    those that one node keeps busy while nothing comes.
    """

    per_s: float
    done_per_s: float
    cpu_s: dict[str, float]
    cores: float
    others: float
    rest: float


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """The rows of the group."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--payments", type=int, default=BACKLOG)
    parser.add_argument("--runs", type=int, default=2, help="of each shape, in turns")
    parser.add_argument("--rate", type=float, default=handover.RATE_PER_S, help="payments/s of the hand-over")
    parser.add_argument("--only", choices=("throughput", "handover"))
    wanted = parser.parse_args(arguments)
    rows: list[Row] = []
    if wanted.only != "handover":
        rows += throughput(wanted.payments, wanted.runs)
    if wanted.only != "throughput":
        rows += handover.measure(GROUP, wanted.rate)
    return rows


def throughput(payments: int, runs: int) -> list[Row]:
    """A backlog comes to nodes that have shared out the partitions."""
    found: dict[tuple[int, int], list[Run]] = {shape: [] for shape in SHAPES}
    with Cluster(ApacheKafka(), nodes=max(nodes for nodes, _ in SHAPES)) as cluster:
        for _ in range(runs):
            for shape in SHAPES:
                found[shape].append(_one(cluster, *shape, payments))
                sys.stderr.write(
                    f"  {shape[0]} nodes, {shape[1]} partitions: {_said(found[shape][-1], payments)}\n"
                )
    rows: list[Row] = []
    for first in SHAPES[0], SHAPES[3]:
        alone: dict[str, Row] = {}
        for nodes, partitions in SHAPES:
            if (partitions == SHAPES[3][1]) is not (first == SHAPES[3]):
                continue
            name, all_runs = f"{nodes} nodes, {partitions} partitions", found[nodes, partitions]
            told = {
                "purchases": ([run.per_s for run in all_runs], "payments/s"),
                "all done": ([run.done_per_s for run in all_runs], "payments/s"),
                "CPU a payment": ([sum(r.cpu_s.values()) / payments * 1e3 for r in all_runs], "ms"),
                "cores busy, ours": ([run.cores for run in all_runs], "cores"),
                "cores busy, others": ([run.others for run in all_runs], "cores"),
                "a node at rest": ([run.rest for run in all_runs], "cores"),
            }
            for part in all_runs[0].cpu_s:
                told[f"CPU a payment, {part}"] = ([r.cpu_s[part] / payments * 1e3 for r in all_runs], "ms")
            for what, (values, unit) in told.items():
                row = figure(GROUP, f"{name}: {what}", values, unit, alone.get(what))
                alone.setdefault(what, row)
                rows.append(row)
    return rows


def _said(run: Run, payments: int) -> str:
    parts = ", ".join(f"{part} {seconds / payments * 1e3:.2f}" for part, seconds in run.cpu_s.items())
    busy = f"{run.cores:.2f} cores ours, {run.others:.2f} of others, {run.rest:.3f} of a node at rest"
    return f"{run.per_s:.0f}/s, all done {run.done_per_s:.0f}/s; ms a payment: {parts}; {busy}"


def _one(cluster: Cluster, nodes: int, partitions: int, payments: int) -> Run:
    cluster.partitions = partitions
    cluster.renew()
    for number in range(nodes):
        cluster.start_node(number)
    cluster.wait_ready()
    cluster.wait_shared_out()
    with psycopg.connect(cluster.database_url, autocommit=True) as database:
        feeder = Feeder(cluster)
        _send(feeder, "warm", WARM)
        _wait(database, WARM)
        _wait_done(database)
        postgres = PostgresClock(database)
        broker = cluster.kafka.pid(cluster.kafka.ids[0])
        assert broker is not None

        def clocks() -> dict[str, float]:
            return {
                "nodes": sum(process_s(node.pid) for node in cluster.nodes.values()),
                "PostgreSQL": postgres.total_s(),
                "broker": process_s(broker),
                "Redis": process_s(cluster.redis.pid or 0),
                "sender": time.process_time(),
            }

        resting = clocks()["nodes"]
        wait_for(time.monotonic() + REST_S)
        rest = (clocks()["nodes"] - resting) / REST_S / nodes
        before, machine_s, started_s = clocks(), _machine_s(), time.perf_counter()
        _send(feeder, "scale", payments)
        bought_s = _wait(database, WARM + payments) - started_s
        done_s = _wait_done(database) - started_s
        used = {part: seconds - before[part] for part, seconds in clocks().items()}
        cores = sum(used.values()) / done_s
        others = (_machine_s() - machine_s) / done_s - cores
    return Run(payments / bought_s, payments / done_s, used, cores, others, rest)


def _send(feeder: Feeder, run: str, payments: int) -> None:
    shape = plan.Shape(run=run, payments=payments, students=1_000)
    deliveries = [
        plan.delivery(payment, plan.Via.KAFKA)
        for payment in plan.payments(shape, catalogue.course_ids(COURSES), datetime.now(UTC))
    ]
    for delivery in deliveries:
        feeder.send(delivery.student_id, delivery.body)
    feeder.finish()


def _wait(database: psycopg.Connection[Any], purchases: int) -> float:
    return _until(database, "select count(*) from purchase", purchases)


def _wait_done(database: psycopg.Connection[Any]) -> float:
    return _until(database, OPEN, 0)


def _until(database: psycopg.Connection[Any], question: str, goal: int) -> float:
    """When the answer is the goal, on the performance counter."""
    deadline_s = time.perf_counter() + PATIENCE_S
    while True:
        row = database.execute(question.encode()).fetchone()
        now_s = time.perf_counter()
        if row is not None and row[0] == goal:
            return now_s
        if now_s > deadline_s:
            raise RuntimeError(f"{question}: {row} instead of {goal}")
        wait_for(time.monotonic() + LOOK_S)


def _machine_s() -> float:
    """CPU seconds of everything that runs here."""
    user, nice, system, _idle, _wait, irq, soft = (
        Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return sum(int(ticks) for ticks in (user, nice, system, irq, soft)) / TICKS_PER_S


if __name__ == "__main__":
    sys.stderr.write(f"{os.cpu_count()} cores\n")
    for each in main():
        ratio = f"   {each['ratio']:.2f} x {each['baseline']}" if each["ratio"] is not None else ""
        sys.stdout.write(f"{each['name']}: {each['value']:.3f} {each['unit']}{ratio}\n")

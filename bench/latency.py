"""Group `latency`: from payment to commit and to an open screen, at 200 deliveries/s and at half of what the way takes.

    python -m bench latency [--quick] [--only kafka|apache|webhook]

Deliveries are due at their times whether or not earlier ones were answered, and every latency counts from when its
payment was due (coordinated omission). Kafka's own part, the producer's gathering, the broker's fetch wait and the
client, is measured with a reader that does nothing, at the same pace and with the same settings, and shown beside.
Baseline: one transaction a message, written by hand (`bench.handwritten`).

Both ways by Kafka are measured where Java and Maven are: with the embedded broker, and with Apache Kafka. The embedded
one gives one produced batch of a partition to a fetch, so that paced records, each a batch of its own, come out of it
at one of each partition a fetch, whoever reads: at half of the maximum its feeder gathers for 20 ms.

A commit cannot be sooner than the disk, and one stall of 80 ms is the slowest hundredth of a run of 8 s. So the disk is
probed beside each run. Where it stood still in some, up to as many runs again are made, and those in which it did not
are also summed up by themselves.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple

import uvloop

from bench import disk
from bench.beside import Measured
from bench.figures import Row, figure
from bench.inside import buckets, share_within
from bench.paced import ARRIVE_S, GROUP, STUDENTS, Course, Found, keep, payment_topic, tell
from bench.shop import Shop
from bench.worker import (
    Servers,
    Worker,
    ground,
    ground_with_apache_kafka,
    lacks_apache_kafka,
    node_on,
    rival_on,
)
from kcactors.load.chart import Scale, Series, lines
from kcactors.load.feeder import Feeder
from kcactors.load.librdkafka import LINGER_MS, PaymentTopic
from kcactors.load.pace import latency
from kcactors.load.plan import Shape, Via, deliveries, payments

KNOWS_QUICK = True
RATE_PER_S = 200.0
STUDENTS_OF_HALF = 2_000
"""As in the standard work. With 200, each of whom then pays five times a second, ledgers wait 40 % of their time."""
FULL = 6_000
"""Payments of a run at full speed."""
HALF = "half of its maximum"
DISK = "the disk alone, 8 KiB written and synced, before"
DISK_S = 3.0
STOOD = "longest that the disk alone stood still"
LATE = "how late the feeder itself was, p99"
INSIDE_S = 0.05
INSIDE = f"written within {INSIDE_S * 1000:.0f} ms of coming to the node"
ALONE = "record to a reader that does nothing"
ALL_DONE = (
    "select count(*) from allocation where status = 'requested'",
    "select count(*) from outbox",
    """select count(*) from allocation a where status = 'allocated'
    and not exists (select from session_plan s where s.purchase_id = a.purchase_id)""",
    "select count(*) from outbox",
)
"""What is left to do for payments that stand: allocated, planned, and on Kafka."""


class Way(NamedTuple):
    """A way in: its name in the table, and how the feeder's producer gathers at half of the maximum."""

    name: str
    via: Via
    apache: bool = False
    linger_of_half_ms: int = LINGER_MS

    @property
    def has_rival(self) -> bool:
        """Whether a hand-written worker is measured there: it would be the same twice."""
        return not self.apache


WAYS = (
    Way("kafka", Via.KAFKA, linger_of_half_ms=20),
    Way("Apache Kafka", Via.KAFKA, apache=True),
    Way("webhook", Via.WEBHOOK),
)


class Pace(NamedTuple):
    """Under which name a pace is kept, and what it is."""

    name: str
    rate_per_s: float
    linger_ms: int = LINGER_MS


def ground_of(way: Way, shop: Shop) -> AbstractContextManager[Servers]:
    return ground_with_apache_kafka(shop) if way.apache else ground(shop)


class Repeats:
    """Paced runs until so many had a disk that did not stand still, at most twice as many; keeps what they measured."""

    def __init__(self, found: Found, name: str, runs: int, seconds: float) -> None:
        self._found, self._name, self._seconds = found, name, seconds
        self._calm_left, self._left = runs, 2 * runs

    @property
    def wanted(self) -> bool:
        """Whether to make one more."""
        return self._calm_left > 0 and self._left > 0

    def run(self, course: Course, rate_per_s: float) -> None:
        """Make one, at so many deliveries a second: payments and a duplicate of each."""
        disk_s: list[Measured] = []
        with disk.beside(disk_s):
            ran = course.run(rate_per_s, int(rate_per_s * self._seconds / 2))
        stood_s = max(each.value for each in disk_s)
        self._left -= 1
        self._found.runs[f"{self._name}: {STOOD}"].append(stood_s * 1000)
        self._found.runs[f"{self._name}: {LATE}"].append(latency(ran.behind).p99)
        keep(self._found, self._name, ran.speed)
        if not disk.stalls(disk_s):
            self._calm_left -= 1
            keep(self._found, self._name + disk.WITHOUT_STALLS, ran.speed)
        tell(f"{self._name}, {rate_per_s:.0f}/s, disk still for {stood_s * 1000:.0f} ms at most", ran.speed)


def ours(services: Servers, shop: Shop, way: Way, runs: int, seconds: float, found: Found) -> None:
    with node_on(services, KCACTORS_STUDENT_IDLE_S="30") as at:
        course = Course(services, shop, way.via, "kcactors", at.node.url, screens=True)
        course.run(None, 1_500)
        repeats = Repeats(found, way.name, runs, seconds)
        while repeats.wanted:
            _all_done(at)
            repeats.run(course, RATE_PER_S)


def half(services: Servers, shop: Shop, way: Way, runs: int, seconds: float, found: Found) -> float:
    """At full speed, then at half of what that was; the median of what it was, in payments a second."""
    fulls = found.runs[f"{way.name}: at full speed, until all is done"]
    with node_on(services, KCACTORS_STUDENT_IDLE_S="30") as at:
        course = Course(
            services,
            shop,
            way.via,
            "kcactors",
            at.node.url,
            students=STUDENTS_OF_HALF,
            screens=True,
            linger_ms=way.linger_of_half_ms,
        )
        course.run(None, 1_500)
        repeats = Repeats(found, f"{way.name}, {HALF}", runs, seconds)
        while repeats.wanted:
            _all_done(at)
            # Purchases alone run ahead of what follows them: what is carried for long counts.
            start_s = course.run(None, FULL).start_s
            most = FULL / (_all_done(at) - start_s)
            fulls.append(most)
            before = buckets(at.node.url, way.via)
            repeats.run(course, most)  # deliveries a second: half as many payments
            inside = share_within(before, buckets(at.node.url, way.via), INSIDE_S)
            found.runs[f"{way.name}, {HALF}: {INSIDE}"].append(inside)
    return statistics.median(fulls)


def _all_done(at: Worker) -> float:
    """When nothing was left to do, on the performance counter."""
    return max(at.wait_for(question, 0) for question in ALL_DONE)


def theirs(services: Servers, shop: Shop, way: Way, runs: int, seconds: float, found: Found) -> None:
    with rival_on(services, "door" if way.via is Via.WEBHOOK else "single") as rival:
        course = Course(services, shop, way.via, "by-hand", rival.url, may_lag=True)
        course.run(RATE_PER_S, int(RATE_PER_S))
        repeats = Repeats(found, f"{way.name} by hand", runs, seconds)
        while repeats.wanted:
            repeats.run(course, RATE_PER_S)


def alone(services: Servers, shop: Shop, pace: Pace, runs: int, seconds: float, found: Found) -> None:
    """Record to reader, with nobody working."""
    with rival_on(services, "reader") as rival:
        for run in range(runs + 1):
            before, count = len(rival.said), int(pace.rate_per_s * seconds / 2)
            shape = Shape(run=f"reader-{run}-{uuid.uuid4().hex[:6]}", payments=count, students=STUDENTS)
            courses = [uuid.UUID(course) for course in shop.courses]
            plan = deliveries(shape, payments(shape, courses, datetime.now(UTC)), count)
            topic = payment_topic(services, "reader", pace.linger_ms)
            uvloop.run(_feed(topic, plan, pace.rate_per_s))
            deadline_s = time.perf_counter() + ARRIVE_S
            while (came := len(rival.said) - before) < len(plan):
                if time.perf_counter() > deadline_s:
                    raise RuntimeError(f"{pace.name}: {came} of {len(plan)} records came to the reader")
                time.sleep(0.05)
            if run:  # the first one warms up
                found.keep(f"{pace.name}: {ALONE}", [float(text) / 1000 for text in rival.said[before:]])


async def _feed(topic: PaymentTopic, plan: Sequence[Any], rate_per_s: float) -> None:
    feeder = Feeder(topic=topic)
    try:
        await feeder.feed(plan, rate_per_s=rate_per_s)
    finally:
        await feeder.close()


def rows(found: Found, ways: Sequence[Way]) -> list[Row]:
    """The table: what the way takes by itself, the hand-written worker, ours, and ours without the way's own part."""
    made: list[Row] = []
    for way in ways:
        paces = (way.name, f"{way.name}, {HALF}")
        for share in ("p50", "p99"):
            made.append(found.row(f"{DISK} {way.name}, {share}"))
            by_hand = None
            if way.has_rival:
                by_hand = found.row(f"{way.name} by hand to commit, {share}")
                made.append(by_hand)
                if found.spoiled(f"{way.name} by hand", disk.WITHOUT_STALLS):
                    made.append(found.row(f"{way.name} by hand{disk.WITHOUT_STALLS} to commit, {share}"))
            for pace in paces:
                own = None
                if way.via is Via.KAFKA:
                    own = found.row(f"{pace}: {ALONE}, {share}")
                    made.append(own)
                made += _paced(found, pace, share, own, by_hand if pace == way.name else None)
                if found.spoiled(pace, disk.WITHOUT_STALLS):
                    made += _paced(found, pace + disk.WITHOUT_STALLS, share, own, None)
        made.append(found.row(f"{way.name}, {HALF}: {INSIDE}", "%"))
        for pace in paces:
            made.append(found.row(f"{pace}: {STOOD}"))
            made.append(found.row(f"{pace}: {LATE}"))
        made.append(found.row(f"{way.name}: at full speed, until all is done", "payments/s"))
    return made


def _paced(found: Found, pace: str, share: str, own: Row | None, by_hand: Row | None) -> list[Row]:
    """One percentile at one pace; by Kafka each also without Kafka's ``own`` part."""
    made = []
    for what in ("commit", "open WebSocket"):
        name = f"{pace} to {what}"
        made.append(found.row(f"{name}, {share}", baseline=by_hand if what == "commit" else None))
        if own is not None:
            less = [max(0.0, value - own["value"]) for value in found.runs[f"{name}, {share}"]]
            made.append(figure(GROUP, f"{name} without Kafka's own part, {share}", less, "ms"))
    return made


def plots(made: Sequence[Row]) -> dict[str, str]:
    """All percentiles, for each way at each pace."""
    curves = {row["name"].removesuffix(", p99"): row["curve"] for row in made if row.get("curve")}
    drawn = {}
    for way in WAYS:
        if f"{way.name} to commit" not in curves:
            continue
        for file, pace, start in (
            ("200", "at 200 deliveries/s", way.name),
            ("half", f"at {HALF}", f"{way.name}, {HALF}"),
        ):
            chosen = [f"{start} by hand to commit", f"{start}: {ALONE}"]
            names = [f"{start} to commit", f"{start} to open WebSocket", *chosen]
            series = [
                Series(
                    name.removeprefix(f"{start} ").removeprefix(f"{start}: "),
                    curves[name],
                    dashed=name in chosen,
                )
                for name in names
                if name in curves
            ]
            drawn[f"latency-{way.name.lower().replace(' ', '-')}-{file}.svg"] = lines(
                f"Payments by {way.name} {pace}: latency by percentile",
                series,
                x="share of payments that were at least as quick",
                y="milliseconds",
                x_scale=Scale.NINES,
                y_scale=Scale.LOG,
            )
    return drawn


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a run of 4 s (two if the disk spoils it), not three of 8 s",
    )
    words = {way.name.split()[0].lower(): way for way in WAYS}
    parser.add_argument(
        "--only", action="append", choices=list(words), help="this way, instead of all; can be said again"
    )
    asked = parser.parse_args(arguments)
    runs, seconds = (1, 4.0) if asked.quick else (3, 8.0)
    ways = [way for word, way in words.items() if not asked.only or word in asked.only]
    if any(way.apache for way in ways) and (lacking := lacks_apache_kafka()) is not None:
        print(f"  left out: Apache Kafka: {lacking}", file=sys.stderr, flush=True)
        ways = [way for way in ways if not way.apache]
    found = Found()
    for way in ways:
        shop = Shop()
        if way.has_rival:
            with ground_of(way, shop) as services:
                theirs(services, shop, way, runs, seconds, found)
        found.keep(f"{DISK} {way.name}", disk.synced(DISK_S))
        with ground_of(way, shop) as services:
            ours(services, shop, way, runs, seconds, found)
            if way.via is Via.KAFKA:
                alone(services, shop, Pace(way.name, RATE_PER_S), runs, seconds, found)
        found.keep(f"{DISK} {way.name}", disk.synced(DISK_S))
        with ground_of(way, shop) as services:
            most = half(services, shop, way, runs, seconds, found)
            if way.via is Via.KAFKA:
                pace = Pace(f"{way.name}, {HALF}", most, way.linger_of_half_ms)
                alone(services, shop, pace, runs, seconds, found)
    return rows(found, ways)

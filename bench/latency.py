"""Group `latency`: from payment to commit and to an open screen, at 200 deliveries/s and at half of what the way takes.

    python -m bench latency [--quick]

Deliveries are due at their times whether or not earlier ones were answered, and every latency counts from when its
payment was due (coordinated omission). Kafka's own part, the broker's fetch wait and the client, is measured with a
reader that does nothing, at the same pace and with the same settings, and shown beside. Baseline: one transaction a
message, written by hand (`bench.handwritten`).

Half of the maximum by Kafka is measured with Apache Kafka. The embedded broker gives one produced batch of a partition
to a fetch, so that paced records, each a batch of its own, come out of it at one of each partition a fetch: some 1,500
a second, whoever reads.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import uvloop

from actors.broker import Broker
from bench.figures import Row, figure
from bench.inside import buckets, share_within
from bench.shop import Shop
from bench.worker import (
    JWT_SECRET,
    WEBHOOK_SECRET,
    Servers,
    Worker,
    ground,
    ground_with_apache_kafka,
    node_on,
    rival_on,
)
from kcactors.embedded import Services
from kcactors.load.arrivals import LOOK_EVERY_S, Arrivals
from kcactors.load.chart import Scale, Series, lines
from kcactors.load.feeder import Feeder, Sent
from kcactors.load.librdkafka import PaymentTopic
from kcactors.load.pace import Speed, curve, latency
from kcactors.load.plan import Shape, Via, deliveries, payments, students
from kcactors.load.watchers import Watchers
from kcactors.sections.door import Auth
from kcactors.verbs.tokens import mint

GROUP = "latency"
KNOWS_QUICK = True
RATE_PER_S, STUDENTS = 200.0, 200
STUDENTS_OF_HALF = 2_000
"""As in the standard work. With 200, each of whom then pays five times a second, ledgers wait 40 % of their time."""
FULL = 6_000
"""Payments of a run at full speed."""
ARRIVE_S = 30.0
HALF = "half of its maximum"
INSIDE_S = 0.05
INSIDE = f"written within {INSIDE_S * 1000:.0f} ms of coming to the node"
ALONE = "Kafka alone: record to reader"
ALL_DONE = (
    "select count(*) from allocation where status = 'requested'",
    "select count(*) from outbox",
    """select count(*) from allocation a where status = 'allocated'
    and not exists (select from session_plan s where s.purchase_id = a.purchase_id)""",
    "select count(*) from outbox",
)
"""What is left to do for payments that stand: allocated, planned, and on Kafka."""
AUTH = Auth(jwt_secret=JWT_SECRET)


class Found:
    """What was measured, by its name: a value for each run in milliseconds or payments a second, and every latency."""

    def __init__(self) -> None:
        self.runs: defaultdict[str, list[float]] = defaultdict(list)
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def keep(self, name: str, seconds: Sequence[float]) -> None:
        """The latencies of one run."""
        if seconds:
            summed = latency(seconds)
            self.runs[f"{name}, p50"].append(summed.p50)
            self.runs[f"{name}, p99"].append(summed.p99)
            self.seconds[name] += seconds

    def row(self, name: str, unit: str = "ms", baseline: Row | None = None) -> Row:
        """The figure; with the 99th percentile goes the whole curve of all runs."""
        whole = curve(self.seconds[name.removesuffix(", p99")]) if name.endswith(", p99") else None
        return figure(GROUP, name, self.runs[name], unit, baseline, curve=whole)


class Ran(NamedTuple):
    """One run: its begin on the performance counter, what it took, and how late the feeder was with each delivery."""

    start_s: float
    speed: Speed
    behind: list[float]


class Course:
    """Sends paced or unpaced runs at one way of one worker.

    Args:
        group: the consumer group that the worker commits for.
        url: where it takes webhooks and sessions.
        students: who pay.
        screens: open sessions there, one a student, and measure until they show a payment.
        may_lag: what has not arrived half a minute after the end counts as just arrived, in place of an error.
    """

    def __init__(
        self,
        services: Servers,
        shop: Shop,
        via: Via,
        group: str,
        url: str,
        *,
        students: int = STUDENTS,
        screens: bool = False,
        may_lag: bool = False,
    ) -> None:
        self._may_lag, self._students = may_lag, students
        self._services, self._via, self._group, self._url, self._screens = services, via, group, url, screens
        self._courses = [uuid.UUID(course) for course in shop.courses]

    def run(self, rate_per_s: float | None, count: int) -> Ran:
        """So many payments with their duplicates, at so many deliveries a second or as fast as may be."""
        return uvloop.run(self._run(rate_per_s, count))

    async def _run(self, rate_per_s: float | None, count: int) -> Ran:
        shape = Shape(
            run=f"latency-{uuid.uuid4().hex[:8]}",
            payments=count,
            students=self._students,
            webhook_share=1.0 if self._via is Via.WEBHOOK else 0.0,
        )
        sent_s = datetime.now(UTC)
        plan = deliveries(shape, payments(shape, self._courses, sent_s), count)
        watched = [str(each) for each in students(shape.run, self._students)] if self._screens else []
        feeder = self._feeder()
        screens = Watchers(watched, [self._url], _token, feeder.sent.stands)
        every_s = 0.2 if rate_per_s is None else LOOK_EVERY_S
        looking = None
        if self._via is Via.KAFKA:
            looking = Arrivals(self._services.database_url, feeder.sent, every_s=every_s)
        try:
            await screens.start()
            start_s = await feeder.feed(plan, rate_per_s=rate_per_s)
            await self._arrived(feeder.sent, count, screens if watched else None)
        finally:
            if looking is not None:
                await asyncio.to_thread(looking.close)
            await screens.stop()
            await feeder.close()
        sent = feeder.sent
        speed = Speed(
            commit=[sent.committed[p] - due for p, due in sent.due.items()],
            screen=[screens.seen_at[p] - due for p, due in sent.due.items()] if watched else [],
        )
        return Ran(start_s, speed, sent.behind)

    def _feeder(self) -> Feeder:
        if self._via is Via.WEBHOOK:
            return Feeder(topic=None, nodes=[self._url], secret=WEBHOOK_SECRET)
        broker = Broker(
            bootstrap=self._services.kafka_bootstrap, api_version=self._services.kafka_api_version
        )
        embedded = self._services.kafka_api_version is not None
        return Feeder(topic=PaymentTopic(broker, "payment-events", self._group, embedded=embedded))

    async def _arrived(self, sent: Sent, count: int, screens: Watchers | None) -> None:
        deadline_s = time.perf_counter() + ARRIVE_S
        while len(sent.committed) < count or (screens is not None and len(screens.seen_at) < count):
            if time.perf_counter() > deadline_s:
                if self._may_lag:
                    now_s = time.perf_counter()  # a lower bound: it would only grow
                    for payment in sent.due.keys() - sent.committed.keys():
                        sent.committed[payment] = now_s
                    return
                seen = count if screens is None else len(screens.seen_at)
                raise RuntimeError(f"{len(sent.committed)} of {count} stand, {seen} were seen")
            await asyncio.sleep(0.05)


def _token(student: str) -> str:
    return mint(AUTH, student_id=uuid.UUID(student), ttl_s=3600)


def keep(found: Found, name: str, speed: Speed) -> None:
    found.keep(f"{name} to commit", speed.commit)
    found.keep(f"{name} to open WebSocket", speed.screen)


def ours(services: Services, shop: Shop, via: Via, runs: int, seconds: float, found: Found) -> None:
    with node_on(services, KCACTORS_STUDENT_IDLE_S="30") as at:
        course = Course(services, shop, via, "kcactors", at.node.url, screens=True)
        course.run(None, 1_500)
        for run in range(runs):
            _all_done(at)
            ran = course.run(RATE_PER_S, int(RATE_PER_S * seconds / 2))
            keep(found, f"{via}", ran.speed)
            found.runs[f"{via}: how late the feeder itself was, p99"].append(latency(ran.behind).p99)
            _tell(f"{via}, {RATE_PER_S:.0f}/s, run {run + 1}", ran.speed)


def half(services: Servers, shop: Shop, via: Via, runs: int, seconds: float, found: Found) -> None:
    """At full speed, then at half of what that was."""
    with node_on(services, KCACTORS_STUDENT_IDLE_S="30") as at:
        course = Course(services, shop, via, "kcactors", at.node.url, students=STUDENTS_OF_HALF, screens=True)
        course.run(None, 1_500)
        for run in range(runs):
            _all_done(at)
            # Purchases alone run ahead of what follows them: what is carried for long counts.
            start_s = course.run(None, FULL).start_s
            most = FULL / (_all_done(at) - start_s)
            found.runs[f"{via}: at full speed, until all is done"].append(most)
            before = buckets(at.node.url, via)
            # a delivery and its duplicate: half the payments
            speed = course.run(most, int(most * seconds / 2)).speed
            inside = share_within(before, buckets(at.node.url, via), INSIDE_S)
            keep(found, f"{via}, {HALF}", speed)
            found.runs[f"{via}, {HALF}: {INSIDE}"].append(inside)
            _tell(f"{via}, half of {most:.0f} payments/s, run {run + 1}", speed)


def _all_done(at: Worker) -> float:
    """When nothing was left to do, on the performance counter."""
    return max(at.wait_for(question, 0) for question in ALL_DONE)


def theirs(services: Services, shop: Shop, via: Via, runs: int, seconds: float, found: Found) -> None:
    kind = "door" if via is Via.WEBHOOK else "single"
    with rival_on(services, kind) as rival:
        course = Course(services, shop, via, "by-hand", rival.url, may_lag=True)
        course.run(RATE_PER_S, int(RATE_PER_S))
        for run in range(runs):
            speed = course.run(RATE_PER_S, int(RATE_PER_S * seconds / 2)).speed
            keep(found, f"{via} by hand", speed)
            _tell(f"{via} by hand, run {run + 1}", speed)


def alone(services: Services, shop: Shop, runs: int, seconds: float, found: Found) -> None:
    """Record to reader, with nobody working."""
    broker = Broker(bootstrap=services.kafka_bootstrap, api_version=services.kafka_api_version)
    with rival_on(services, "reader") as rival:
        for run in range(runs + 1):
            before, count = len(rival.said), int(RATE_PER_S * seconds / 2)
            shape = Shape(run=f"reader-{run}-{uuid.uuid4().hex[:6]}", payments=count, students=STUDENTS)
            courses = [uuid.UUID(course) for course in shop.courses]
            plan = deliveries(shape, payments(shape, courses, datetime.now(UTC)), count)
            uvloop.run(_feed(PaymentTopic(broker, "payment-events", "reader", embedded=True), plan))
            deadline_s = time.perf_counter() + ARRIVE_S
            while len(rival.said) - before < len(plan) and time.perf_counter() < deadline_s:
                time.sleep(0.05)
            if run:  # the first one warms up
                found.keep(ALONE, [float(text) / 1000 for text in rival.said[before:]])


async def _feed(topic: PaymentTopic, plan: Sequence[Any]) -> None:
    feeder = Feeder(topic=topic)
    try:
        await feeder.feed(plan, rate_per_s=RATE_PER_S)
    finally:
        await feeder.close()


def rows(found: Found) -> list[Row]:
    """The table: what the way takes by itself, the hand-written worker, ours, and ours without the way's own part."""
    made: list[Row] = []
    for via in Via:
        for share in ("p50", "p99"):
            by_hand = found.row(f"{via} by hand to commit, {share}")
            made += [by_hand, found.row(f"{via} to commit, {share}", baseline=by_hand)]
            if via is Via.KAFKA:
                alone_too = found.row(f"{ALONE}, {share}")
                less = [
                    max(0.0, value - alone_too["value"]) for value in found.runs[f"{via} to commit, {share}"]
                ]
                name = f"{via} to commit without Kafka's own part, {share}"
                made += [alone_too, figure(GROUP, name, less, "ms", by_hand)]
            made.append(found.row(f"{via} to open WebSocket, {share}"))
            made += [found.row(f"{via}, {HALF} to {what}, {share}") for what in ("commit", "open WebSocket")]
        made.append(found.row(f"{via}, {HALF}: {INSIDE}", "%"))
        made.append(found.row(f"{via}: how late the feeder itself was, p99"))
        made.append(found.row(f"{via}: at full speed, until all is done", "payments/s"))
    return made


def plots(made: Sequence[Row]) -> dict[str, str]:
    """All percentiles, for each way at each pace."""
    curves = {row["name"].removesuffix(", p99"): row["curve"] for row in made if row.get("curve")}
    drawn = {}
    for via in Via:
        chosen = [
            name for name in (f"{via} by hand to commit", ALONE if via is Via.KAFKA else "") if name in curves
        ]
        for file, pace, start in (
            ("200", "at 200 deliveries/s", via),
            ("half", f"at {HALF}", f"{via}, {HALF}"),
        ):
            names = [f"{start} to commit", f"{start} to open WebSocket", *(chosen if file == "200" else [])]
            series = [
                Series(
                    name.removeprefix(f"{start} ").removeprefix(f"{via} "),
                    curves[name],
                    dashed=name in chosen,
                )
                for name in names
                if name in curves
            ]
            drawn[f"latency-{via}-{file}.svg"] = lines(
                f"Payments by {via} {pace}: latency by percentile",
                series,
                x="share of payments that were at least as quick",
                y="milliseconds",
                x_scale=Scale.NINES,
                y_scale=Scale.LOG,
            )
    return drawn


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run of 4 s instead of three of 8 s")
    quick = parser.parse_args(arguments).quick
    runs, seconds = (1, 4.0) if quick else (3, 8.0)
    found = Found()
    for via in Via:
        shop = Shop()
        with ground(shop) as services:
            theirs(services, shop, via, runs, seconds, found)
            if via is Via.KAFKA:  # after them: they begin at the topic's start
                alone(services, shop, runs, seconds, found)
        with ground(shop) as services:
            ours(services, shop, via, runs, seconds, found)
        with ground_with_apache_kafka(shop) if via is Via.KAFKA else ground(shop) as servers:
            half(servers, shop, via, runs, seconds, found)
    return rows(found)


def _tell(what: str, speed: Speed) -> None:
    commit, screen = speed.to_commit, speed.to_screen
    seen = f", screen p50 {screen.p50} p99 {screen.p99}" if screen.samples else ""
    print(f"  {what}: commit p50 {commit.p50} p99 {commit.p99}{seen} ms", file=sys.stderr, flush=True)

"""Paced runs: deliveries due at their times, and how long each payment took to stand and to be on a screen."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import uvloop

from actors.broker import Broker
from bench.figures import Row, figure
from bench.shop import Shop
from bench.worker import JWT_SECRET, WEBHOOK_SECRET, Servers
from kcactors.load.arrivals import LOOK_EVERY_S, Arrivals
from kcactors.load.feeder import Feeder, Sent
from kcactors.load.librdkafka import LINGER_MS, PaymentTopic
from kcactors.load.pace import Speed, curve, latency
from kcactors.load.plan import Shape, Via, deliveries, payments, students
from kcactors.load.watchers import Watchers
from kcactors.sections.door import Auth
from kcactors.verbs.tokens import mint

GROUP = "latency"
STUDENTS = 200
ARRIVE_S = 30.0
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

    def spoiled(self, name: str, calm: str) -> bool:
        """Whether some of the runs of this name, but not all, are also kept under its name with ``calm``."""
        ours, calms = (len(self.runs[f"{each} to commit, p50"]) for each in (name, name + calm))
        return 0 < calms < ours

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
        linger_ms: how long the feeder's Kafka producer gathers records of a partition.
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
        linger_ms: int = LINGER_MS,
    ) -> None:
        self._may_lag, self._students, self._linger_ms = may_lag, students, linger_ms
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
        return Feeder(topic=payment_topic(self._services, self._group, self._linger_ms))

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


def payment_topic(services: Servers, group: str, linger_ms: int = LINGER_MS) -> PaymentTopic:
    """The feeder's way to the broker of these servers."""
    version = services.kafka_api_version
    broker = Broker(bootstrap=services.kafka_bootstrap, api_version=version)
    return PaymentTopic(broker, "payment-events", group, embedded=version is not None, linger_ms=linger_ms)


def keep(found: Found, name: str, speed: Speed) -> None:
    found.keep(f"{name} to commit", speed.commit)
    found.keep(f"{name} to open WebSocket", speed.screen)


def tell(what: str, speed: Speed) -> None:
    commit, screen = speed.to_commit, speed.to_screen
    seen = f", screen p50 {screen.p50} p99 {screen.p99}" if screen.samples else ""
    print(f"  {what}: commit p50 {commit.p50} p99 {commit.p99}{seen} ms", file=sys.stderr, flush=True)

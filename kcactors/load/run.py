"""Puts feeder, screens and topic together: phases of sending, a wait until everything has settled, a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Self

import msgspec

from actors.broker import Broker
from actors.store.account import Account, Progress
from kcactors.load.arrivals import Arrivals
from kcactors.load.feeder import Feeder
from kcactors.load.librdkafka import PaymentTopic, TopicReader
from kcactors.load.nodes import Nodes
from kcactors.load.pace import Speed
from kcactors.load.plan import Delivery, Via
from kcactors.load.published import Published
from kcactors.load.report import Counts
from kcactors.load.timeline import Moment
from kcactors.load.verify import Verdict, judge, look
from kcactors.load.watchers import Watchers
from kcactors.output import Bar, Output

STALLED_AFTER_S: Final = 30.0
"""Nothing has changed for so long: whatever is missing then is lost."""

_LOOK_EVERY_S: Final = 0.25
_LOOK_CLOSELY_S: Final = 0.02
_WATCH_EVERY_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """The service under load, from outside.

    ``broker`` is None when only webhooks are used; ``nodes`` are addresses ``http://host:port``. ``embedded`` says
    that the broker is the embedded one. ``token`` makes a token for a student id.
    """

    database_url: str
    broker: Broker | None
    embedded: bool
    payment_topic: str
    business_topic: str
    group: str
    nodes: Sequence[str]
    webhook_secret: str
    token: Callable[[str], str]
    connections: int = 32


class Phase(msgspec.Struct, frozen=True):
    """What one phase came to. ``speeds`` holds the latencies by the way that the first delivery took.

    ``seconds`` runs to the last commit; ``settled_s`` to when every delivery was consumed and every event was out.
    """

    payments: int
    deliveries: int
    seconds: float
    settled_s: float
    speeds: dict[Via, Speed]

    @property
    def payments_per_s(self) -> float:
        """Distinct payments a second, from the first send to the last commit."""
        return round(self.payments / self.seconds, 1) if self.seconds else 0.0


class Load:
    """One run against one target; an async context manager.

    Args:
        target: the service.
        students: all students of the run; their events are followed on Kafka.
        watched: those with an open session.
        output: where progress is told.
    """

    def __init__(
        self, target: Target, students: Sequence[str], watched: Sequence[str], output: Output
    ) -> None:
        self._target = target
        self._students = list(students)
        self._watched = list(watched)
        self._output = output
        self._account = Account(target.database_url)
        self._published = Published(students)
        self._payments: set[str] = set()
        self._phase_began = 0
        self._nodes = Nodes(target.nodes)
        self._absorbed_before: Counter[str] = Counter()
        self._running = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Opens sessions and clients. Raises `ServiceAway` for whatever does not answer."""
        async with contextlib.AsyncExitStack() as opening:
            target = self._target
            opening.callback(self._account.__exit__, None, None, None)
            topic = None
            if target.broker is not None:
                topic = PaymentTopic(
                    target.broker, target.payment_topic, target.group, embedded=target.embedded
                )
                reader = TopicReader(target.broker, target.business_topic, self._published.take)
                opening.callback(reader.close)
            self._topic = topic
            self._feeder = Feeder(
                topic=topic,
                nodes=target.nodes,
                secret=target.webhook_secret,
                connections=target.connections,
            )
            opening.push_async_callback(self._feeder.close)
            self._screens = Watchers(self._watched, target.nodes, target.token, self._feeder.sent.stands)
            opening.push_async_callback(self._screens.stop)
            await self._screens.start()
            self._absorbed_before = await asyncio.to_thread(self._nodes.absorbed)
            self._running = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    async def phase(self, name: str, deliveries: Sequence[Delivery], rate_per_s: float | None) -> Phase:
        """Sends, and waits until every payment of the phase has its purchase, or nothing moves any more."""
        fresh = {each.payment_id: each.via for each in deliveries if each.first}
        self._payments |= fresh.keys()
        sent = self._feeder.sent
        sent.unanswered.clear()
        self._phase_began = sent.deliveries
        looking = Arrivals(self._target.database_url, sent) if rate_per_s else None
        try:
            with self._output.progress(name, len(deliveries)) as bar:
                over = asyncio.Event()
                watching = asyncio.create_task(self._watch(bar, over))
                try:
                    start = await self._feeder.feed(deliveries, rate_per_s=rate_per_s, progress=bar)
                finally:
                    over.set()
                    await asyncio.gather(watching, return_exceptions=True)
                watching.result()
            last = await self._wait_for_purchases(start)
        finally:
            if looking is not None:
                await asyncio.to_thread(looking.close)
        await self.settle()
        return Phase(
            payments=len(fresh),
            deliveries=len(deliveries),
            seconds=last - start,
            settled_s=time.perf_counter() - start,
            speeds={via: self._speed({each for each, way in fresh.items() if way is via}) for via in Via},
        )

    async def send(self, deliveries: Sequence[Delivery]) -> dict[str, int]:
        """Sends uncounted messages by webhook at full speed; how often each outcome was answered."""
        before = self._feeder.sent.outcomes.copy()
        await self._feeder.feed(deliveries)
        return dict(self._feeder.sent.outcomes - before)

    async def sleep_in(self, idle_s: float) -> int | None:
        """Waits until the students' actors have been put away, at least ``idle_s`` and at most three times that.

        Returns:
            How many are still awake; None where no node was named that could say.
        """
        start, awake = time.perf_counter(), None
        with self._output.progress("Waiting until the students are put away", 100) as bar:
            while True:
                waited_s = time.perf_counter() - start
                bar(min(100, int(waited_s / idle_s * 100)), None if awake is None else f"{awake:,} awake")
                if waited_s > idle_s and (awake == 0 or waited_s > 3 * idle_s):
                    return awake
                if self._target.nodes:
                    awake = await asyncio.to_thread(self._nodes.students_awake)
                await asyncio.sleep(min(1.0, idle_s / 4))

    async def absorbed(self) -> dict[str, int]:
        """Duplicates since the run began, by the stage that caught them, as the nodes counted; of named nodes only."""
        now = await asyncio.to_thread(self._nodes.absorbed)
        return dict(now - self._absorbed_before)

    def moments(self) -> list[Moment]:
        """The course of the run so far."""
        sent = self._feeder.sent
        return sent.timeline.moments(
            (due, sent.committed[p] - due) for p, due in sent.due.items() if p in sent.committed
        )

    async def settle(self) -> bool:
        """Waits until nothing is on its way; False when it stalled before that."""
        return await self._until(self._settled)

    async def verdict(self) -> tuple[Verdict, Counts]:
        """Reads what stands and judges it."""
        stands = await asyncio.to_thread(look, self._account, self._students)
        kafka = self._topic is not None
        verdict = judge(
            stands,
            self._payments,
            published=self._published.events if kafka else None,
            published_holes=self._published.holes,
            watched=self._watched,
            seen=self._screens.events,
            repeated=self._screens.repeated,
        )
        sent = self._feeder.sent
        return verdict, Counts(
            purchases=len(stands.purchases),
            allocated=stands.allocations.allocated,
            waitlisted=stands.allocations.waitlisted,
            events=stands.events,
            events_published=self._published.events if kafka else stands.events,
            published_again=self._published.repeated,
            events_of_watched=stands.events_of(self._watched),
            events_seen=self._screens.events,
            refused=dict(sent.refused),
            not_consumed=await asyncio.to_thread(self._topic.behind) if self._topic is not None else 0,
        )

    def _speed(self, payments: AbstractSet[str]) -> Speed:
        sent, seen_at = self._feeder.sent, self._screens.seen_at
        return Speed(
            commit=[sent.committed[each] - sent.due[each] for each in payments & sent.committed.keys()],
            screen=[seen_at[each] - sent.due[each] for each in payments & seen_at.keys()],
        )

    async def _watch(self, bar: Bar, over: asyncio.Event) -> None:
        """Looks on while the feeder sends; the question names every student, so it is rare where they are many."""
        sent = self._feeder.sent
        before, at = sent.deliveries, time.perf_counter()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), _WATCH_EVERY_S * (1 + len(self._students) / 20_000))
            if over.is_set():
                return
            purchases = await asyncio.to_thread(self._account.count, self._students)
            now, deliveries = time.perf_counter(), sent.deliveries
            sent.timeline.bought(now, purchases)
            bar(
                deliveries - self._phase_began,
                f"{(deliveries - before) / (now - at):,.0f}/s, {purchases:,} purchases",
            )
            before, at = deliveries, now

    async def _wait_for_purchases(self, start: float) -> float:
        """When the last purchase of those sent so far stood; the last look when they never do."""
        closing_in = len(self._payments) * 0.9
        at, count, changed = start, -1, time.perf_counter()
        while time.perf_counter() - changed < STALLED_AFTER_S:
            now = await asyncio.to_thread(self._account.count, self._students)
            at = time.perf_counter()
            self._feeder.sent.timeline.bought(at, now)
            if now >= len(self._payments):
                return at
            if now != count:
                count, changed = now, at
            await asyncio.sleep(_LOOK_CLOSELY_S if count >= closing_in else _LOOK_EVERY_S)
        return at

    async def _settled(self) -> tuple[bool, object]:
        progress = await self._progress()
        shown = await asyncio.to_thread(self._account.progress, self._watched)
        behind = await asyncio.to_thread(self._topic.behind) if self._topic is not None else 0
        published = self._published.events if self._topic is not None else progress.events
        state = (progress, shown.events, self._screens.events, behind, published)
        quiet = progress.requested == progress.unpublished == progress.unplanned == behind == 0
        complete = progress.purchases >= len(self._payments) and published >= progress.events
        return quiet and complete and self._screens.events >= shown.events, state

    async def _progress(self) -> Progress:
        return await asyncio.to_thread(self._account.progress, self._students)

    async def _until(self, settled: Callable[[], Awaitable[tuple[bool, object]]]) -> bool:
        last, changed = None, time.perf_counter()
        while time.perf_counter() - changed < STALLED_AFTER_S:
            done, state = await settled()
            if done:
                return True
            if state != last:
                last, changed = state, time.perf_counter()
            await asyncio.sleep(_LOOK_EVERY_S)
        return False

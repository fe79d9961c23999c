"""Puts feeder, screens and topic together: phases of sending, a wait until everything has settled, a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
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
from kcactors.load.pace import Speed
from kcactors.load.plan import Delivery, Via
from kcactors.load.published import Published
from kcactors.load.report import Counts
from kcactors.load.verify import Verdict, judge, look
from kcactors.load.watchers import Watchers
from kcactors.output import Output

STALLED_AFTER_S: Final = 30.0
"""Nothing has changed for so long: whatever is missing then is lost."""

_LOOK_EVERY_S: Final = 0.25
_LOOK_CLOSELY_S: Final = 0.02


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
    """What one phase came to. ``speeds`` holds the latencies by the way that the first delivery took."""

    payments: int
    deliveries: int
    seconds: float
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
            self._screens = Watchers(self._watched, target.nodes, target.token)
            opening.push_async_callback(self._screens.stop)
            await self._screens.start()
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
        looking = Arrivals(self._target.database_url, sent) if rate_per_s else None
        try:
            with self._output.progress(name, len(deliveries)) as bar:
                start = await self._feeder.feed(deliveries, rate_per_s=rate_per_s, progress=bar)
            last = await self._wait_for_purchases(start)
        finally:
            if looking is not None:
                await asyncio.to_thread(looking.close)
        await self.settle()
        return Phase(
            payments=len(fresh),
            deliveries=len(deliveries),
            seconds=last - start,
            speeds={via: self._speed({each for each, way in fresh.items() if way is via}) for via in Via},
        )

    async def send(self, deliveries: Sequence[Delivery]) -> dict[str, int]:
        """Sends uncounted messages by webhook at full speed; how often each outcome was answered."""
        before = self._feeder.sent.outcomes.copy()
        await self._feeder.feed(deliveries)
        return dict(self._feeder.sent.outcomes - before)

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

    async def _wait_for_purchases(self, start: float) -> float:
        """When the last purchase of those sent so far stood; the last look when they never do."""
        closing_in = len(self._payments) * 0.9
        at, count, changed = start, -1, time.perf_counter()
        while time.perf_counter() - changed < STALLED_AFTER_S:
            now = await asyncio.to_thread(self._account.count, self._students)
            at = time.perf_counter()
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

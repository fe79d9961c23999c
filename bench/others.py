"""Who buys steadily by both ways beside a storm, and how long each payment took."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from actors.ingest.partition import partition_of
from bench.beside import Measured
from bench.paced import payment_topic
from bench.shop import Shop
from bench.worker import PARTITIONS, WEBHOOK_SECRET, Worker
from kcactors.load.arrivals import Arrivals
from kcactors.load.feeder import Feeder, Sent
from kcactors.load.plan import Shape, Via, deliveries, payments

PER_S: Final = 100.0
AFTER_S: Final = 0.5
"""How long what waited for the disk may still be in others' way."""
ARRIVE_S: Final = 60.0
SAME: Final = "Kafka, same partition"


class Way(NamedTuple):
    """How others paid, the way of the storm, and whether it raged then."""

    by: str
    storm: Via
    raged: bool

    @property
    def name(self) -> str:
        return f"others by {self.by}, p99 {'within' if self.raged else 'between'} storms by {self.storm}"


class Took(NamedTuple):
    """When a payment was due and when its purchase stood, on the performance counter."""

    due_s: float
    stood_s: float

    def met(self, stalls: Sequence[Measured]) -> bool:
        """Whether it was on its way during one of them, or just after."""
        return any(
            self.due_s < stall.at_s + stall.value + AFTER_S and self.stood_s > stall.at_s for stall in stalls
        )


class Others:
    """Who pays steadily beside a storm.

    Attributes:
        took: each of their payments.
    """

    def __init__(self, at: Worker, shop: Shop) -> None:
        self._at, self._courses = at, [uuid.UUID(course) for course in shop.courses]
        self.took: defaultdict[Way, list[Took]] = defaultdict(list)

    def pay(self, storm: Via, over: Callable[[], bool], *, raging: bool, busy: int | None = None) -> None:
        """Until it is over, a second at a time.

        Args:
            storm: the one that rages, or that comes.
            over: asked each second.
            raging: whether it rages now.
            busy: the partition that it goes through.
        """
        asyncio.run(self._pay(over, lambda by: Way(by, storm, raging), busy))

    async def _pay(self, over: Callable[[], bool], way: Callable[[str], Way], busy: int | None) -> None:
        services, url = self._at.services, self._at.node.url
        feeder = Feeder(topic=payment_topic(services, "kcactors"), nodes=[url], secret=WEBHOOK_SECRET)
        looking = Arrivals(services.database_url, feeder.sent)
        ways: dict[str, Way] = {}
        try:
            while not over():
                shape = Shape(
                    run=f"others-{uuid.uuid4().hex[:8]}",
                    payments=int(PER_S),
                    students=50,
                    duplicates=0.0,
                    webhook_share=0.5,
                )
                plan = deliveries(shape, payments(shape, self._courses, datetime.now(UTC)), 0)
                for each in plan:
                    same = each.via is Via.KAFKA and partition_of(each.student_id, PARTITIONS) == busy
                    ways[each.payment_id] = way(SAME if same else str(each.via))
                await feeder.feed(plan, rate_per_s=PER_S)
            await _arrived(feeder.sent)
        finally:
            await asyncio.to_thread(looking.close)
            await feeder.close()
        for payment, due_s in feeder.sent.due.items():
            self.took[ways[payment]].append(Took(due_s, feeder.sent.committed[payment]))


async def _arrived(sent: Sent) -> None:
    deadline_s = time.perf_counter() + ARRIVE_S
    while len(sent.committed) < len(sent.due):
        if time.perf_counter() > deadline_s:
            raise RuntimeError(f"{len(sent.due) - len(sent.committed)} payments never stood")
        await asyncio.sleep(0.05)

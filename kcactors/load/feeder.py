"""Sends the deliveries of a plan: by Kafka, by webhook, at full speed or paced."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from kcactors.exits import NotKept, ServiceAway
from kcactors.load.http import Lines
from kcactors.load.librdkafka import PaymentTopic
from kcactors.load.pace import due_s
from kcactors.load.plan import Delivery, Via
from kcactors.load.signing import HEADER, signature
from kcactors.load.timeline import Timeline
from supervision import Collector

WEBHOOK_PATH: Final = "/api/v1/webhooks/kc"
RETRY_FOR_S: Final = 60.0
"""As long a provider brings a refused event again, here; real ones go on for a day."""

_ANSWER_TIMEOUT_S: Final = 10.0
_RECORDS_AT_ONCE: Final = 200


class _Outcome(msgspec.Struct):
    outcome: str
    purchase_id: str | None = None


class Sent:
    """What was sent and what was answered. Times are of ``time.perf_counter``."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        """Payment to when its first delivery was due."""
        self.committed: dict[str, float] = {}
        """Payment to when its first delivery was answered; by webhook only, Kafka answers nobody."""
        self.unanswered: set[str] = set()
        """Payments sent first by Kafka and not seen in the database yet; emptied by who looks there."""
        self.outcomes: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        """Answers other than 200, by status, and lost connections; each was sent again."""
        self.behind: list[float] = []
        """How many seconds late each paced delivery was sent: what the load test itself adds to every latency."""
        self.deliveries = 0
        self.timeline = Timeline()

    def stands(self, payment_id: str, at: float) -> None:
        """Somebody saw the purchase of a payment that nobody is answered for. From any thread."""
        if payment_id in self.unanswered:
            self.committed.setdefault(payment_id, at)
            self.unanswered.discard(payment_id)


class Feeder:
    """Knows the ways into the service.

    Args:
        topic: the payment topic, where Kafka is used.
        nodes: addresses of the nodes that take webhooks, used in turn.
        secret: of the webhook provider ``kc``.
        connections: open connections per node.
    """

    def __init__(
        self,
        *,
        topic: PaymentTopic | None,
        nodes: Sequence[str] = (),
        secret: str = "",
        connections: int = 32,
    ) -> None:
        self._topic = topic
        self._lines = [Lines(node, connections, _ANSWER_TIMEOUT_S) for node in nodes]
        self._workers = connections * len(nodes)
        self._secret = secret
        self._paced = False
        self.sent = Sent()

    async def feed(
        self,
        deliveries: Sequence[Delivery],
        *,
        rate_per_s: float | None = None,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> float:
        """Sends all and waits for the answers of the webhooks and for Kafka's reports.

        Args:
            deliveries: in order; the two ways run beside each other, each in order.
            rate_per_s: deliveries a second over both ways; as fast as they are taken when left out.
            progress: told how many are done.

        Returns:
            When the first one was due.

        Raises:
            ServiceAway: a node or the broker does not take a delivery for longer than `RETRY_FOR_S`.
            NotKept: a node refuses a good delivery for good.
        """
        # thousands of screens are open by now: a full pass of the collector sends everything a quarter of a second late
        collector = Collector()
        collector.tend()
        start = time.perf_counter() + (0.05 if rate_per_s else 0.0)
        planned = [(start + due_s(index, rate_per_s), each) for index, each in enumerate(deliveries)]
        before, self._paced = self.sent.deliveries, rate_per_s is not None

        def done() -> None:
            self.sent.deliveries += 1
            self.sent.timeline.delivered(time.perf_counter())
            progress(self.sent.deliveries - before)

        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._by_kafka([each for each in planned if each[1].via is Via.KAFKA], done))
                ways.create_task(
                    self._by_webhook([each for each in planned if each[1].via is Via.WEBHOOK], done)
                )
        except ExceptionGroup as group:
            raise _first(group) from group
        finally:
            collector.close()
        return start

    async def close(self) -> None:
        """Lets go of the connections."""
        for lines in self._lines:
            await lines.close()
        if self._topic is not None:
            self._topic.close()

    async def _by_kafka(self, planned: Sequence[tuple[float, Delivery]], done: Callable[[], None]) -> None:
        if not planned or self._topic is None:
            return
        blind = 0
        for number, (due, each) in enumerate(planned):
            await self._wait_until(due)
            if number % _RECORDS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if blind >= self._topic.records_before_check():
                await asyncio.to_thread(self._topic.wait_for_room)
                blind = 0
            blind += 1
            if each.first:
                self.sent.due[each.payment_id] = due
                self.sent.unanswered.add(each.payment_id)
            self._topic.send(each.student_id, each.body)
            done()
        await asyncio.to_thread(self._topic.flush)

    async def _by_webhook(self, planned: Sequence[tuple[float, Delivery]], done: Callable[[], None]) -> None:
        if not planned or not self._lines:
            return
        rest = iter(enumerate(planned))
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._workers):
                workers.create_task(self._worker(rest, done))

    async def _worker(
        self, rest: Iterable[tuple[int, tuple[float, Delivery]]], done: Callable[[], None]
    ) -> None:
        for number, (due, each) in rest:
            await self._wait_until(due)
            if each.first:
                self.sent.due[each.payment_id] = due
            outcome = await self._post(self._lines[number % len(self._lines)], each.body)
            if each.first:
                self.sent.committed[each.payment_id] = time.perf_counter()
            self.sent.outcomes[outcome] += 1
            done()

    async def _wait_until(self, due: float) -> None:
        early_by = due - time.perf_counter()
        if early_by > 0:
            await asyncio.sleep(early_by)
        if self._paced:
            self.sent.behind.append(time.perf_counter() - due)

    async def _post(self, lines: Lines, body: bytes) -> str:
        """Brings one event again and again until it is accepted, as a provider does; the outcome."""
        until = time.perf_counter() + RETRY_FOR_S
        pause_s = 0.05
        while True:
            why = "the connection was lost"
            try:
                signed = {HEADER: signature(self._secret, body, int(time.time()))}
                answer = await lines.post(WEBHOOK_PATH, body, signed)
                if answer.status == 200:
                    return msgspec.json.decode(answer.body, type=_Outcome).outcome
                why = f"{answer.status} {answer.body[:200].decode(errors='replace')}"
                self.sent.refused[str(answer.status)] += 1
                if answer.status < 500:
                    raise NotKept(f"the webhook route refuses what it should take: {why}")
            except (OSError, TimeoutError) as error:
                self.sent.refused[type(error).__name__] += 1
            if time.perf_counter() > until:
                raise ServiceAway("the webhook route", why)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """One of the errors of a group: all workers fail for the same reason, and the caller wants that one."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error

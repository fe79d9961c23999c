"""The consumer of payment events: the only place that knows kafka-python's consumer, and its traps.

What the traps are is measured in the project's research of kafka-python 3.0.12: the rebalance listener runs on the
client's IO thread, where nothing may block, so it is asynchronous and commits with ``commit_async``; the cooperative
assignor keeps its memory when membership is lost, so it is cleared by hand.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from actors.broker import Broker
from actors.ingest.offsets import Window, Windows

logger = logging.getLogger(__name__)

DRAIN_LOOK_S = 0.02


class Record(NamedTuple):
    """One record, as far as we read it. ``timestamp_ms`` is the producer's or the broker's."""

    partition: TopicPartition
    offset: int
    value: bytes | None
    timestamp_ms: int


class BrokerAway(Exception):
    """The brokers cannot be reached now."""


class PaymentConsumer:
    """A member of the consumer group. Used by one thread; windows are shared with the listener.

    Args:
        drain_s: how long moved partitions may take to finish what is in flight.
        on_change: told after every change of the assignment.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        group_id: str,
        client_id: str,
        windows: Windows,
        *,
        drain_s: float = 5.0,
        fetch_wait_ms: int = 25,
        session_timeout_ms: int = 45_000,
        poll_max_records: int = 1_000,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.windows = windows
        self._drain_s = drain_s
        self._on_change = on_change
        self._assignor = CooperativeStickyAssignor()
        self._commit: Any = None
        self._commit_since_s = 0.0
        try:
            self._consumer = KafkaConsumer(
                client_id=client_id,
                group_id=group_id,
                auto_offset_reset="earliest",  # the library's "latest" would skip what came before the first start
                enable_auto_commit=False,
                partition_assignment_strategy=[self._assignor],
                session_timeout_ms=session_timeout_ms,
                heartbeat_interval_ms=max(100, session_timeout_ms // 5),
                fetch_max_wait_ms=fetch_wait_ms,
                max_poll_records=poll_max_records,
                **broker.client_config(),
            )
        except KafkaError as error:
            raise BrokerAway(str(error)) from error
        self._consumer.subscribe([topic], listener=_Listener(self))

    def poll(self, timeout_s: float) -> list[Record]:
        """Records of the partitions that are not paused; joins and re-joins the group as needed.

        Raises:
            BrokerAway: the client cannot go on now; poll again later.
        """
        try:
            polled = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        except KafkaError as error:
            raise BrokerAway(f"{type(error).__name__}: {error}") from error
        return [
            Record(partition, record.offset, record.value, record.timestamp)
            for partition, records in polled.items()
            for record in records
        ]

    def balance(self, limits_reached: Callable[[Window], bool], may_resume: Callable[[Window], bool]) -> None:
        """Pause the partitions that are at a bound, resume those that are well below."""
        for window in self.windows.all():
            if window.paused and may_resume(window):
                self._switch(self._consumer.resume, window, paused=False)
            elif not window.paused and limits_reached(window):
                self._switch(self._consumer.pause, window, paused=True)

    def _switch(self, call: Callable[[Any], None], window: Window, *, paused: bool) -> None:
        try:
            call(window.topic_partition)
        except (KeyError, AssertionError, KafkaError):
            # it was moved away between the look and the call
            return
        window.paused = paused

    def commit(self, deadline_s: float = 10.0) -> bool:
        """Send the marks that are new, unless a commit is still on its way; whether there is nothing left to send."""
        if self._commit is not None and not self._commit.is_done:
            if time.monotonic() - self._commit_since_s < deadline_s:
                return False
            logger.warning("an offset commit got no answer for %.0f s; sending another", deadline_s)
        marks = _marks(self.windows.all())
        if not marks:
            return True
        self._commit_since_s = time.monotonic()
        self._commit = self._consumer.commit_async(
            {w.topic_partition: OffsetAndMetadata(mark, "", -1) for w, mark in marks},
            callback=lambda _offsets, answer: _committed(marks, answer),
        )
        return False

    async def drain(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions leave: let what is in flight finish, within bounds, and commit how far it got."""
        leaving = [w for w in (self.windows.get(p) for p in partitions) if w is not None]
        deadline_s = time.monotonic() + self._drain_s
        while any(w.in_flight for w in leaving) and time.monotonic() < deadline_s:
            await self._consumer._net.sleep(DRAIN_LOOK_S)  # noqa: SLF001  (no public way to wait on its loop)
        marks = _marks(leaving)
        if marks:
            await self._consumer.commit_async(
                {w.topic_partition: OffsetAndMetadata(mark, "", -1) for w, mark in marks}
            )
        self.windows.close(partitions)
        self._on_change()

    def lose(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are lost: another owns them already, so nothing is committed.

        The assignor would claim them again from its memory, under a generation that is no more (KAFKA-14639).
        """
        self.windows.close(partitions)
        self._assignor.member_assignment = None
        self._on_change()

    def gain(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are ours."""
        self.windows.open(partitions)
        self._on_change()

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that others need not wait for our silence. The listener drains and commits."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=int(timeout_s * 1000))
        except KafkaError as error:
            logger.warning("the consumer did not leave in order: %s", error)


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    """Runs on the client's IO thread: nothing here may block."""

    def __init__(self, consumer: PaymentConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        try:
            await self._consumer.drain(revoked)
        except KafkaError as error:
            # an error here would come out of poll(); the records are simply read again by whoever has them next
            logger.warning("offsets of moved partitions were not committed: %s", error)
            self._consumer.windows.close(revoked)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._consumer.lose(lost)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.gain(assigned)


def _marks(windows: Iterable[Window]) -> list[tuple[Window, int]]:
    return [(window, mark) for window in windows if (mark := window.committable()) is not None]


def _committed(marks: list[tuple[Window, int]], answer: object) -> None:
    if isinstance(answer, Exception):
        logger.warning("offset commit refused: %s", answer)
        return
    for window, mark in marks:
        window.committed = max(window.committed, mark)

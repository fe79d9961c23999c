"""The consumer of payment events: the only place that knows kafka-python's consumer, and its traps.

What the traps are was read in and tried with kafka-python 3.0.12:

* the rebalance listener runs on the client's IO thread, where nothing may block, so it is asynchronous, waits on the
  client's own loop and commits with ``commit_async``, within bounds;
* the cooperative assignor keeps its memory when membership is lost (KAFKA-14639 in the Java client), so it is cleared;
* while the group rebalances ``poll`` returns nothing, also of partitions that stay, so those are fetched beside it;
* a leader that shares out before it knows the topic's partitions gives nobody any, and embedded brokers need a session
  timeout to do it again, so nobody joins before it knows them;
* a call can wait for ever for an IO thread that does not answer (dpkp/kafka-python#3121), so it can be broken off;
* after an error nobody knows which records the client has passed over: it is given up and made anew, and reads on from
  what was committed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    InvalidRequestError,
    KafkaConnectionError,
    KafkaError,
    RebalanceInProgressError,
)
from kafka.structs import OffsetAndMetadata

from actors.broker import Broker
from actors.failpoint import reach
from actors.ingest.fetched import FetchedRecords
from actors.ingest.offsets import Window, WindowLimits, Windows
from actors.ingest.patience import Patience
from actors.ingest.records import Record
from actors.ingest.watch import ClientCalls

logger = logging.getLogger(__name__)

DRAIN_LOOK_S = 0.02
BOOTSTRAP_MS = 5_000
TOPIC_LOOKS = 3
COMMIT_S = 3.0
"""For the commit of partitions that leave: the group waits for us meanwhile."""


Run = tuple[Window, Sequence[Record]]
"""Records of one partition, in their order, and the window that they count in."""


class BrokerAway(Exception):
    """The client cannot go on: brokers away, an error of its own, or a call that was broken off."""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """How to be a member of the group.

    ``drain_s``: how long moved partitions may take to finish what is in flight. ``session_timeout_ms``: silence after
    which the group gives our partitions away. ``fetch_wait_ms``: how long the broker may hold back an empty fetch.
    ``beside``: a topic that is not read, whose partitions are counted too.
    """

    topic: str
    group_id: str
    client_id: str
    drain_s: float = 5.0
    fetch_wait_ms: int = 25
    session_timeout_ms: int = 45_000
    poll_max_records: int = 1_000
    beside: str | None = None

    @property
    def heartbeat_ms(self) -> int:
        """A member hears of a rebalance with its next heartbeat, and all wait for the last one to hear."""
        return max(100, min(1_000, self.session_timeout_ms // 6))

    @property
    def silence_max_ms(self) -> int:
        """A member that beats but does not poll holds up every rebalance for so long, at most."""
        return max(30_000, 2 * self.session_timeout_ms)


class PaymentConsumer:
    """A member of the consumer group. Its public methods are for one thread.

    Args:
        windows: claimed for this consumer's life.
        now: monotonic seconds.
        calls: where the watchdog sees how long a call into the client lasts.

    Raises:
        BrokerAway: no broker answers.
    """

    def __init__(
        self,
        broker: Broker,
        member: Membership,
        windows: Windows,
        now: Callable[[], float],
        calls: ClientCalls,
        on_fenced: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.windows = windows
        self._on_fenced = on_fenced
        self._member = member
        self._now = now
        self._life = windows.claim()
        self._assignor = CooperativeStickyAssignor()
        self._commit: Any = None
        self._commit_since_s = 0.0
        self._patience = Patience(member.fetch_wait_ms)
        self._calls = calls
        with self._client_call():
            self._client = _Client(
                client_id=member.client_id,
                group_id=member.group_id,
                auto_offset_reset="earliest",  # the library's "latest" would skip what came before the first start
                enable_auto_commit=False,
                partition_assignment_strategy=[self._assignor],
                session_timeout_ms=member.session_timeout_ms,
                heartbeat_interval_ms=member.heartbeat_ms,
                max_poll_interval_ms=member.silence_max_ms,
                fetch_max_wait_ms=member.fetch_wait_ms,
                max_poll_records=member.poll_max_records,
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                metrics_enabled=False,  # nobody reads the client's own, a tenth of what a fetch costs
                **broker.client_config(),
            )
        calls.break_off = self.break_off
        try:
            with self._client_call():
                self._client.subscribe([member.topic], listener=_Listener(self))
                self._learn_partitions()
        except BrokerAway:
            self.give_up()
            raise

    def poll(self, timeout_s: float) -> list[Run]:
        """What there is of each partition; joins and re-joins the group as needed.

        Raises:
            BrokerAway: give this consumer up.
        """
        before = {window.topic_partition: window for window in self.windows.all()}
        self._let_resumed_partitions_in()
        self._client.hold_back(self._patience.wait_ms(self._now()))
        with self._client_call():
            try:
                polled = self._client.poll(timeout_ms=int(timeout_s * 1000))
            except InvalidRequestError as error:
                # librdkafka's mock cluster answers so to a member that joins while it balances; nothing was read yet
                logger.info("joining again: %s", error)
                return []
        if not self.windows.is_current(self._life):
            raise BrokerAway("another consumer has taken this one's place")
        if polled:
            self._patience.came(self._now())
        found: list[Run] = []
        for partition, records in polled.items():
            window = self.windows.get(partition)
            if window is None:
                # moved away while the records were on their way: whoever owns it reads them
                continue
            if before.get(partition, window) is not window:
                # lost and gained again within one call: these may be of either assignment
                raise BrokerAway(f"{partition} changed hands twice within one poll")
            window.end = self._client.highwater(partition) or window.end
            found.append((window, records))
        return found

    def partition_counts(self) -> tuple[int, int]:
        """Partitions of the topic and of the one ``beside`` it, as the brokers last said; 0 where there is none."""
        known = self._client._cluster.partitions_for_topic  # noqa: SLF001  (the public way asks for every topic there is)
        beside = self._member.beside
        return len(known(self._member.topic) or ()), len((known(beside) or ()) if beside else ())

    def ask_for_a_share(self) -> bool:
        """Have the group share out again; not while it does so anyhow, and whether."""
        coordinator = self._client._coordinator  # noqa: SLF001  (no public way in this version)
        if not coordinator.stable():
            return False
        coordinator.request_rejoin()
        return True

    def _learn_partitions(self) -> None:
        cluster, manager = self._client._cluster, self._client._manager  # noqa: SLF001
        topics = [self._member.topic]
        if self._member.beside is not None:
            cluster.add_topic(self._member.beside)
            topics.append(self._member.beside)
        for _ in range(TOPIC_LOOKS):
            if all(cluster.partitions_for_topic(topic) for topic in topics):
                return
            # The answer may be that of an earlier question.
            self._client._net.run(manager.wait_for, cluster.request_update(), BOOTSTRAP_MS)  # noqa: SLF001

    def _let_resumed_partitions_in(self) -> None:
        """Empty the fetcher's slot of the partition that it handed out last, when nothing of it is left.

        kafka-python 3.0.12 keeps the rest of a paused partition's fetch aside and takes it back only while that slot is
        ``None``; an exhausted one is falsy but not ``None``. Once every other partition is read up, the slot is never
        replaced, so a resumed partition stays silent for ever and is not fetched either, because its rest is kept.
        """
        fetcher = self._client._fetcher  # noqa: SLF001  (the slot has no public name)
        current = fetcher._next_partition_records  # noqa: SLF001
        if current is not None and not current:
            fetcher._next_partition_records = None  # noqa: SLF001

    def balance(self, limits: WindowLimits) -> None:
        """Pause the partitions that are at a bound, resume those that are well below."""
        now_s = self._now()
        for window in self.windows.all():
            if window.paused and window.may_resume(limits, now_s):
                self._switch(self._client.resume, window, paused=False)
            elif not window.paused and window.must_pause(limits, now_s):
                self._switch(self._client.pause, window, paused=True)

    @staticmethod
    def _switch(call: Callable[[Any], None], window: Window, *, paused: bool) -> None:
        try:
            call(window.topic_partition)
        except (KeyError, AssertionError, KafkaError):
            # it was moved away between the look and the call
            return
        window.paused = paused

    def commit(self, deadline_s: float = 10.0) -> None:
        """Send the marks that are new, unless a commit is still on its way."""
        now_s = self._now()
        if self._commit is not None and not self._commit.is_done:
            if now_s - self._commit_since_s < deadline_s:
                return
            logger.warning("an offset commit got no answer for %.0f s; sending another", deadline_s)
        marks = _marks(self.windows.all())
        if not marks:
            return
        reach("ingest.before_commit")
        self._commit_since_s = now_s
        with self._client_call():
            self._commit = self._send(marks)

    def close(self, timeout_s: float) -> None:
        """Leave the group, so that others need not wait for our silence. The listener drains and commits."""
        try:
            with self._client_call():
                self._client.close(autocommit=False, timeout_ms=int(timeout_s * 1000))
        except BrokerAway as error:
            logger.warning("the consumer did not leave in order: %s", error)
        finally:
            self.windows.close(self._life, [w.topic_partition for w in self.windows.all()])

    def give_up(self) -> None:
        """Let go of a client that cannot be trusted: nothing of it counts from now on, and it leaves beside us.

        It leaves in a thread of its own because its close may hang as its other calls did.
        """
        if self.windows.is_current(self._life):
            self.windows.claim()
        self.break_off("the client is given up")
        close = {"autocommit": False, "timeout_ms": 2_000}
        threading.Thread(
            target=lambda: _quietly(lambda: self._client.close(**close)), name="kafka-leaves", daemon=True
        ).start()

    def break_off(self, reason: str) -> None:
        """Let whoever waits for the client's IO thread go on, with an error. From any thread."""
        self._client._net._fail_pending_waiters(KafkaConnectionError(reason))  # noqa: SLF001  (no public way)

    @contextlib.contextmanager
    def _client_call(self) -> Iterator[None]:
        with self._calls:
            try:
                yield
            except Exception as error:
                # Not only KafkaError: a crashed IO loop hands out whatever ended it.
                raise BrokerAway(f"{type(error).__name__}: {error}") from error

    def _send(self, marks: list[tuple[Window, int]]) -> Any:
        def answered(_offsets: object, answer: object) -> None:
            if isinstance(answer, RebalanceInProgressError | CommitFailedError):
                logger.info("offsets were not taken while the group rebalances: %s", answer)
            elif isinstance(answer, Exception):
                logger.warning("offset commit refused: %s: %s", type(answer).__name__, answer)
            else:
                reach("ingest.committed")
                for window, mark in marks:
                    window.acknowledged(mark, self._now())

        offsets = {w.topic_partition: OffsetAndMetadata(mark, "", -1) for w, mark in marks}
        return self._client.commit_async(offsets, callback=answered)

    # On the client's IO thread: nothing here may block.

    async def drain(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions leave: let what is in flight finish, within bounds, and commit how far it got."""
        partitions = list(partitions)
        leaving = [w for w in map(self.windows.get, partitions) if w is not None]
        reach("ingest.revoked")
        for window in leaving:
            window.leave()
        deadline_s = self._now() + self._member.drain_s
        while any(w.running for w in leaving) and self._now() < deadline_s:
            await self._client._net.sleep(DRAIN_LOOK_S)  # noqa: SLF001  (no public way to wait on its loop)
        reach("ingest.drained")
        left = sum(w.in_flight for w in leaving)
        try:
            marks = _marks(leaving)
            if marks:
                # An error here would come out of poll(), a missing answer would hold up the whole group.
                await self._client._manager.wait_for(self._send(marks), COMMIT_S * 1000)  # noqa: SLF001
            reach("ingest.drain_committed")
        except KafkaError as error:
            logger.warning("offsets of moved partitions were not committed: %s", error)
        finally:
            self.windows.close(self._life, partitions)
        logger.info(
            "%d partitions moved away, %d records were left to their next owner", len(partitions), left
        )

    def lose(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are lost: another owns them already, so nothing is committed, and ``on_fenced`` hears how many.

        The assignor would claim them again from its memory, under a generation that is no more.
        """
        reach("ingest.lost")
        partitions = list(partitions)
        self.windows.close(self._life, partitions)
        self._assignor.member_assignment = None
        logger.warning("membership was lost; others own our partitions by now")
        self._on_fenced(len(partitions))

    def gain(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are ours."""
        reach("ingest.assigned")
        self.windows.open(self._life, partitions, self._now())


class _Client(KafkaConsumer):  # type: ignore[misc]  # the client has no types
    """Goes on fetching the partitions that stay while the group rebalances, as the Java client does (KIP-429)."""

    def __init__(self, **config: Any) -> None:
        try:
            super().__init__(**config)
        except BaseException:
            # Its IO thread runs by now and nobody else will end it: one would be left for each try at an absent Kafka.
            network = getattr(self, "_client", None)
            if network is not None:
                network.close()
            raise
        self._fetcher.PartitionRecords = FetchedRecords

    def hold_back(self, wait_ms: int) -> None:
        """From the next fetch on the broker may hold an empty one back for so long."""
        self._fetcher.config["fetch_max_wait_ms"] = wait_ms

    def _poll_once(self, timer: Any, max_records: int, update_offsets: bool = True) -> Any:  # noqa: FBT001, FBT002
        records = super()._poll_once(timer, max_records, update_offsets=update_offsets)
        if records or not timer.expired or self._is_settled():
            return records
        found, _idle = self._fetcher.fetch_records(max_records, update_offsets=update_offsets, timeout_ms=0)
        return found

    def _is_settled(self) -> bool:
        """Whether the poll fetched by itself: to fetch once more is much of what a client costs that hears nothing."""
        group = self._coordinator
        return group.stable() and not group.rejoin_needed and group.coordinator_id is not None


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client has no types
    def __init__(self, consumer: PaymentConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._consumer.drain(revoked)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._consumer.lose(lost)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.gain(assigned)


def _marks(windows: Iterable[Window]) -> list[tuple[Window, int]]:
    return [(window, mark) for window in windows if (mark := window.committable()) is not None]


def _quietly(close: Callable[[], None]) -> None:
    try:
        close()
    except Exception as error:  # noqa: BLE001  (it was given up because it fails)
        logger.info("a consumer that was given up did not leave in order: %s", error)

"""kafka-python's consumer with its traps closed: the one place that knows the inside of the client.

What the traps are was read in and tried with kafka-python 3.0.12:

* while the group rebalances ``poll`` returns nothing, also of partitions that stay, so those are fetched beside it;
* a partition that was paused may stay silent for ever after ``resume`` (`GroupClient.let_resumed_in`);
* a leader that shares out before it knows the topic's partitions gives nobody any, and embedded brokers need a session
  timeout to do it again, so nobody joins before it knows them;
* a call can wait for ever for an IO thread that does not answer (dpkp/kafka-python#3121), so it can be broken off;
* one whose construction fails leaves its IO thread behind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaConnectionError, KafkaError
from kafka.structs import OffsetAndMetadata

from actors.broker import Broker
from actors.ingest.fetched import FetchedRecords
from actors.ingest.membership import Membership
from actors.ingest.reading import read_amply
from actors.ingest.trips import Trips

BOOTSTRAP_MS = 5_000
TOPIC_LOOKS = 3


class GroupClient(KafkaConsumer):  # type: ignore[misc]  # the client has no types
    """A client that may become a member of ``member``'s group; it joins with its first poll after `subscribe`."""

    def __init__(self, broker: Broker, member: Membership) -> None:
        self._member = member
        self._sharing = CooperativeStickyAssignor()
        try:
            super().__init__(
                client_id=member.client_id,
                group_id=member.group_id,
                auto_offset_reset="earliest",  # the library's "latest" would skip what came before the first start
                enable_auto_commit=False,
                partition_assignment_strategy=[self._sharing],
                session_timeout_ms=member.session_timeout_ms,
                heartbeat_interval_ms=member.heartbeat_ms,
                max_poll_interval_ms=member.silence_max_ms,
                fetch_max_wait_ms=member.fetch_wait_ms,
                max_poll_records=member.poll_max_records,
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                metrics_enabled=False,  # nobody reads the client's own, a tenth of what a fetch costs
                **broker.client_config(),
            )
        except BaseException:
            # Its IO thread runs by now and nobody else will end it: one would be left for each try at an absent Kafka.
            network = getattr(self, "_client", None)
            if network is not None:
                network.close()
            raise
        self._fetcher.PartitionRecords = FetchedRecords
        self._trips = Trips(self)
        read_amply(self._manager)

    def learn_partitions(self) -> None:
        """Wait until the brokers have said how many partitions the topics have, within bounds."""
        topics = [self._member.topic]
        if self._member.beside is not None:
            self._cluster.add_topic(self._member.beside)
            topics.append(self._member.beside)
        for _ in range(TOPIC_LOOKS):
            if all(self._cluster.partitions_for_topic(topic) for topic in topics):
                return
            # The answer may be that of an earlier question.
            self._net.run(self._manager.wait_for, self._cluster.request_update(), BOOTSTRAP_MS)

    def partition_counts(self) -> tuple[int, int]:
        """Partitions of the topic and of the one ``beside`` it, as the brokers last said; 0 where there is none."""
        known = self._cluster.partitions_for_topic  # the public way asks for every topic there is
        beside = self._member.beside
        return len(known(self._member.topic) or ()), len((known(beside) or ()) if beside else ())

    def ask_for_a_share(self) -> bool:
        """Have the group share out again; not while it does so anyhow, and whether."""
        if not self._coordinator.stable():
            return False
        self._coordinator.request_rejoin()
        return True

    def forget_share(self) -> None:
        """Let nothing be claimed from memory: the assignor keeps it when membership is lost (KAFKA-14639 in Java)."""
        self._sharing.member_assignment = None

    def let_resumed_in(self) -> None:
        """Empty the fetcher's slot of the partition that it handed out last, when nothing of it is left.

        kafka-python 3.0.12 keeps the rest of a paused partition's fetch aside and takes it back only while that slot is
        ``None``; an exhausted one is falsy but not ``None``. Once every other partition is read up, the slot is never
        replaced, so a resumed partition stays silent for ever and is not fetched either, because its rest is kept.
        """
        current = self._fetcher._next_partition_records  # noqa: SLF001  (the slot has no public name)
        if current is not None and not current:
            self._fetcher._next_partition_records = None  # noqa: SLF001

    def hold_back(self, wait_ms: int) -> None:
        """From the next fetch on the broker may hold an empty one back for so long."""
        self._fetcher.config["fetch_max_wait_ms"] = wait_ms

    def rest(self, seconds: float) -> None:
        """Before its next fetch it rests for so long, so that more has come."""
        self._trips.rest_s = seconds

    def break_off(self, reason: str) -> None:
        """Let whoever waits for the IO thread go on, with an error. From any thread."""
        self._net._fail_pending_waiters(KafkaConnectionError(reason))  # noqa: SLF001  (no public way)

    def switch(self, partition: TopicPartition, *, paused: bool) -> bool:
        """Pause or resume, and whether it is still ours to do so."""
        call: Callable[[TopicPartition], None] = self.pause if paused else self.resume
        try:
            call(partition)
        except (KeyError, AssertionError, KafkaError):
            # it was moved away between the look and the call
            return False
        return True

    def send_marks(self, marks: dict[TopicPartition, int], answered: Callable[[object, object], None]) -> Any:
        """Commit that everything before each mark is done; the answer or error comes on the IO thread."""
        offsets = {partition: OffsetAndMetadata(mark, "", -1) for partition, mark in marks.items()}
        return self.commit_async(offsets, callback=answered)

    # For coroutines on the client's own loop: there is no public way to wait on it.

    async def pause_loop(self, seconds: float) -> None:
        """Let the loop do other things for so long."""
        await self._net.sleep(seconds)

    async def answer_to(self, sent: Any, timeout_s: float) -> None:
        """Wait for what was sent.

        Raises:
            KafkaError: refused, or no answer in time.
        """
        await self._manager.wait_for(sent, timeout_s * 1000)

    def _poll_once(self, timer: Any, max_records: int, update_offsets: bool = True) -> Any:  # noqa: FBT001, FBT002
        """Goes on fetching the partitions that stay while the group rebalances, as the Java client does (KIP-429)."""
        records = super()._poll_once(timer, max_records, update_offsets=update_offsets)
        if records or not timer.expired or self._is_settled():
            return records
        found, _idle = self._fetcher.fetch_records(max_records, update_offsets=update_offsets, timeout_ms=0)
        return found

    def _is_settled(self) -> bool:
        """Whether the poll fetched by itself: to fetch once more is much of what a client costs that hears nothing."""
        group = self._coordinator
        return group.stable() and not group.rejoin_needed and group.coordinator_id is not None

"""Ingest: own thread, sole owner of the consumer. It polls, decodes, hands on, and commits the low-water marks.

Each turn is one cycle: answers in, offsets out, bounds, one poll. It tells itself to go on, so that a stop or an
inspection gets its turn between two cycles.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import msgspec

from actors.failpoint import reach
from actors.ingest.consumer import BrokerAway, PaymentConsumer
from actors.ingest.offsets import Window, WindowLimits
from actors.ingest.records import Record
from actors.ingest.residents import Residents, Students
from actors.ingest.share import Share, ShareLimits
from actors.intake import Intake
from actors.messages import Deliver
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import decode_payment, lane_key
from actors.protocol.undecodable import Undecodable
from supervision import Actor, DependencyUnavailable

logger = logging.getLogger(__name__)

CYCLE = "cycle"
IDLE_POLL_S = 0.3
"""For a poll while nothing is in flight: nobody waits for the turn after it, and each turn costs."""
LOOK_AT_TOPIC_S = 10.0
KEYS_WRONG_FOR_S = 60.0
"""How long a record under a wrong key is reported after the last one."""


class IngestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the consumer; per partition it pauses at either bound of ``window`` and goes on at half of it.

    ``partitions`` is how many the topic, and the one beside it, should have; 0: any number.
    """

    window: WindowLimits = WindowLimits()
    poll_s: float = 0.1
    commit_interval_s: float = 1.0
    drain_s: float = 5.0
    retry_s: float = 0.5
    partitions: int = 0
    share: ShareLimits = ShareLimits()


class Measure(Protocol):
    """What ingest reports of itself."""

    def received(self, records: int) -> None:
        """So many records came out of one poll."""

    def undecodable(self) -> None:
        """One record cannot become an event."""

    def wrong_key(self) -> None:
        """One record lies under another key than its student: others of the student may lie elsewhere."""

    def breaker_opened(self) -> None:
        """A partition parks too much and waits."""


class Ingest(Actor):
    """See the module.

    Args:
        connect: makes the consumer; raises :class:`BrokerAway`.
        students: where those of moved partitions are put away.
        on_state: told by name what is well or not: ``kafka_in`` (the brokers answer), ``kafka_share`` (this node has
            partitions, or is one too many), ``kafka_keys`` (records lie under their student's id), ``kafka_partitions``
            and ``kafka_partitions_out`` (as many as expected of the topic that is read, and of the one that is
            written), ``kafka_parking`` (no partition parks too much).
    """

    dispatcher: ClassVar[str] = "pinned"

    def __init__(
        self,
        connect: Callable[[], PaymentConsumer],
        intake: Intake,
        students: Students,
        limits: IngestLimits,
        measure: Measure,
        on_state: Callable[[str, bool], None],
    ) -> None:
        super().__init__()
        self._connect = connect
        self._intake = intake
        self._residents = Residents(students)
        self._limits = limits
        self._measure = measure
        self._on_state = on_state
        self._consumer: PaymentConsumer | None = None
        self._refused: deque[tuple[float, Origin]] = deque()
        self._commit_due_s = 0.0
        self._look_due_s = 0.0
        self._wrong_key_s = float("-inf")
        self._share = Share(limits.share)

    def on_start(self) -> None:
        """Begin to cycle."""
        self.actor_ref.tell(CYCLE)

    def on_receive(self, message: object) -> None:
        """One cycle."""
        if message != CYCLE:
            logger.warning("ingest was told %s", type(message).__name__)
            return
        try:
            if self._consumer is None:
                self._consumer = self._connect()
            self._cycle(self._consumer)
        except BrokerAway as error:
            self._on_state("kafka_in", False)  # noqa: FBT003  (what is so)
            self._give_up()
            raise DependencyUnavailable(f"brokers away: {error}") from error
        self._on_state("kafka_in", True)  # noqa: FBT003 - the fact itself
        self.actor_ref.tell(CYCLE)

    def on_stop(self) -> None:
        """Leave the group in order: what is in flight finishes within its bound, then its marks are committed."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(self._limits.drain_s + 2.0)

    def on_failure(self, *_: object) -> None:
        """An ingest that is made again joins anew; what was in flight is read again."""
        self._give_up()

    def _give_up(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._refused.clear()
        if consumer is not None:
            consumer.give_up()

    def _cycle(self, consumer: PaymentConsumer) -> None:
        now_s = self.context.clock.monotonic()
        while self._refused and self._refused[0][0] <= now_s:
            self._refused.popleft()[1].hand_on_again()
        if now_s >= self._commit_due_s:
            consumer.commit()
            self._commit_due_s = now_s + self._limits.commit_interval_s
        if now_s >= self._look_due_s:
            self._look(consumer, now_s)
        consumer.balance(self._limits.window)
        waits = any(window.in_flight for window in consumer.windows.all())
        polled = consumer.poll(self._limits.poll_s if waits else IDLE_POLL_S)
        now_s = self.context.clock.monotonic()
        self._residents.owned({window.topic_partition for window in consumer.windows.all()}, now_s)
        self._residents.see_off(now_s)
        if polled:
            reach("ingest.polled")
            self._measure.received(sum(len(run) for _, run in polled))
            for window, run in polled:
                if window.register([record.offset for record in run], now_s):
                    self.take([Origin(self, window, record) for record in run])
            reach("ingest.handed_on")

    def _look(self, consumer: PaymentConsumer, now_s: float) -> None:
        """What is slow to change: our share, the shape of the topics, and whether they are filled as they should be."""
        windows = consumer.windows.all()
        self._look_due_s = now_s + (LOOK_AT_TOPIC_S if windows else 1.0)
        if self._share.must_ask(len(windows), now_s) and consumer.ask_for_a_share():
            logger.warning("this node owns no partition: asking the group to share out again")
        self._on_state("kafka_share", not self._share.waiting)
        self._residents.forget_the_idle()
        if windows and self._limits.partitions:
            ours, beside = consumer.partition_counts()
            self._on_state("kafka_partitions", ours == self._limits.partitions)
            self._on_state("kafka_partitions_out", beside == self._limits.partitions)
        self._on_state("kafka_keys", now_s - self._wrong_key_s > KEYS_WRONG_FOR_S)
        self._on_state("kafka_parking", not any(w.breaker.is_open(now_s) for w in windows))

    def take(self, origins: Sequence[Origin]) -> None:
        """Decode and hand on records of one partition that are registered already, each student's together."""
        now_s = self.context.clock.monotonic()
        lanes: dict[str, list[Deliver]] = {}
        for origin in origins:
            record = origin.record
            try:
                event = decode_payment(record.value or b"")
            except Undecodable as reason:
                self._park(origin, reason)
                continue
            student = lane_key(event)
            if record.key != student.encode():
                self._check_key(record.key, student, now_s)
            lanes.setdefault(student, []).append(Deliver(event, origin, "kafka", now_s))
        for student, run in lanes.items():
            self._residents.came(student, origins[0].record.partition)
            self._intake.submit_run(student, run)

    def _park(self, origin: Origin, reason: Undecodable) -> None:
        record = origin.record
        self._measure.undecodable()
        place: dict[str, str | int] = {
            "topic": record.partition.topic,
            "partition": record.partition.partition,
            "offset": record.offset,
        }
        self._intake.park(record.value or b"", reason, origin, provider="kafka", origin=place)

    def _check_key(self, key: bytes | None, student: str, now_s: float) -> None:
        if key is None or key.decode(errors="replace").lower() != student:
            # Still correct, since the database decides; but two nodes may work for this student at once.
            self._wrong_key_s = now_s
            self._measure.wrong_key()
            self._on_state("kafka_keys", False)  # noqa: FBT003 - the fact itself

    def bring_again(self, origin: Origin) -> None:
        """Called from any thread: the message was refused, nothing was written, its offset stays in flight."""
        self._refused.append((self.context.clock.monotonic() + self._limits.retry_s, origin))

    def settled(self, window: Window, *, parked: bool) -> None:
        """Called from any thread: one record has its answer."""
        if not parked and window.breaker.stands():
            return
        if window.breaker.note(self.context.clock.monotonic(), parked=parked):
            logger.error("%s parks too much: reading on later", window.topic_partition)
            self._measure.breaker_opened()
            self._on_state("kafka_parking", False)  # noqa: FBT003 - the fact itself


class Origin(msgspec.Struct, frozen=True, eq=False):
    """A record's place, as the source of its message."""

    ingest: Ingest
    window: Window
    record: Record

    def hand_on_again(self) -> None:
        """Hand the record on once more, unless its partition moves: then its next owner reads it."""
        if self.window.take_up(self.record.offset):
            self.ingest.take([self])

    def settle(self, settled: Settled) -> None:
        """Complete the offset, or have the message brought again."""
        if settled.outcome is not Outcome.REFUSED:
            self.window.complete(self.record.offset)
            self.ingest.settled(self.window, parked=settled.outcome is Outcome.PARKED)
        else:
            self.window.put_aside(self.record.offset)
            self.ingest.bring_again(self)

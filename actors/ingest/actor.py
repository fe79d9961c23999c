"""Ingest: own thread, sole owner of the consumer. It polls, decodes, hands on, and commits the low-water marks.

Each turn is one cycle: answers in, offsets out, bounds, one poll. It tells itself to go on, so that a stop or an
inspection gets its turn between two cycles.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Protocol

import msgspec

from actors.ingest.consumer import BrokerAway, PaymentConsumer, Record
from actors.ingest.offsets import Window, WindowLimits, Windows
from actors.intake import Intake
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import decode_payment
from actors.protocol.undecodable import Undecodable
from supervision import Actor, DependencyUnavailable

logger = logging.getLogger(__name__)

CYCLE = "cycle"


class IngestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the consumer; per partition it pauses at either bound of ``window`` and goes on at half of it."""

    window: WindowLimits = WindowLimits()
    poll_s: float = 0.1
    commit_interval_s: float = 1.0
    drain_s: float = 5.0
    retry_s: float = 0.5


class Measure(Protocol):
    """What ingest reports of itself."""

    def received(self, records: int) -> None:
        """So many records came out of one poll."""

    def undecodable(self) -> None:
        """One record cannot become an event."""


class Ingest(Actor):
    """See the module.

    Args:
        connect: makes the consumer; raises :class:`BrokerAway`.
        on_state: told whether the brokers answer.
    """

    dispatcher: ClassVar[str] = "pinned"

    def __init__(
        self,
        connect: Callable[[Windows], PaymentConsumer],
        intake: Intake,
        limits: IngestLimits,
        measure: Measure,
        on_state: Callable[[bool], None],
        windows: Windows,
    ) -> None:
        super().__init__()
        self._connect = connect
        self._intake = intake
        self._limits = limits
        self._measure = measure
        self._on_state = on_state
        self._windows = windows
        self._consumer: PaymentConsumer | None = None
        self._refused: deque[tuple[float, Origin]] = deque()
        self._commit_due_s = 0.0

    def on_start(self) -> None:
        """Begin to cycle."""
        self.actor_ref.tell(CYCLE)

    def on_receive(self, message: object) -> None:
        """One cycle."""
        if message != CYCLE:
            logger.warning("ingest was told %s", type(message).__name__)
            return
        try:
            self._cycle(self._ready())
        except BrokerAway as error:
            self._on_state(False)
            raise DependencyUnavailable(f"brokers away: {error}") from error
        self._on_state(True)
        self.actor_ref.tell(CYCLE)

    def on_stop(self) -> None:
        """Leave the group in order: what is in flight finishes within its bound, then its marks are committed."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(self._limits.drain_s + 2.0)
        self._windows.close([w.topic_partition for w in self._windows.all()])

    def on_failure(self, *_: object) -> None:
        """An ingest that is made again joins anew; what was in flight is read again."""
        self.on_stop()

    def _ready(self) -> PaymentConsumer:
        if self._consumer is None:
            self._consumer = self._connect(self._windows)
        return self._consumer

    def _cycle(self, consumer: PaymentConsumer) -> None:
        now_s = self.context.clock.monotonic()
        while self._refused and self._refused[0][0] <= now_s:
            self._hand_on(self._refused.popleft()[1])
        if now_s >= self._commit_due_s:
            consumer.commit()
            self._commit_due_s = now_s + self._limits.commit_interval_s
        window = self._limits.window
        consumer.balance(lambda w: w.must_pause(window), lambda w: w.may_resume(window))
        records = consumer.poll(self._limits.poll_s)
        if records:
            self._measure.received(len(records))
        for record in records:
            self._take(record)

    def _take(self, record: Record) -> None:
        window = self._windows.get(record.partition)
        if window is None:
            # moved away while the records were on their way: whoever owns it reads them
            return
        window.register(record.offset, self.context.clock.monotonic())
        self._hand_on(Origin(window, record, self._bring_again))

    def _hand_on(self, origin: Origin) -> None:
        record = origin.record
        raw = record.value or b""
        try:
            event = decode_payment(raw)
        except Undecodable as reason:
            self._measure.undecodable()
            place: dict[str, str | int] = {
                "topic": record.partition.topic,
                "partition": record.partition.partition,
                "offset": record.offset,
            }
            self._intake.park(raw, reason, origin, provider="kafka", origin=place)
        else:
            self._intake.submit(event, origin, via="kafka")

    def _bring_again(self, origin: Origin) -> None:
        """Called from any thread: the message was refused, nothing was written, its offset stays in flight."""
        self._refused.append((self.context.clock.monotonic() + self._limits.retry_s, origin))


class Origin:
    """A record's place, as the source of its message."""

    __slots__ = ("_bring_again", "_window", "record")

    def __init__(self, window: Window, record: Record, bring_again: Callable[[Origin], None]) -> None:
        self._window = window
        self._bring_again = bring_again
        self.record = record

    def settle(self, settled: Settled) -> None:
        """Complete the offset, or have the message brought again."""
        if settled.outcome is Outcome.REFUSED:
            self._bring_again(self)
        else:
            self._window.complete(self.record.offset)

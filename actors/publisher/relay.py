"""The relay: own thread, own connection, own producer. It empties the outbox into Kafka, in order per student.

A shard belongs for one round to whoever holds its advisory lock; the connection is in no transaction while Kafka is
waited for, since an open one would keep the database from pruning. A lost connection loses the locks and abandons the
round: its rows are still there, and sending them twice is what consumers drop by ``seq``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import msgspec

from actors.failpoint import reach
from actors.protocol.envelope import LoggedEvent
from actors.publisher.announcer import Measure
from actors.publisher.outbox import OutboxRow, acknowledged, decode, fitting, late
from actors.publisher.producer import BrokerAway, Producer
from actors.store.connection import Connection
from actors.store.errors import StoreError
from supervision import Actor, ActorDeadError, ActorRef, DependencyUnavailable

logger = logging.getLogger(__name__)

ADVISORY_SPACE = 0x6B63  # "kc": the first key of the two-key advisory locks; the second is the shard
LATE_AFTER = timedelta(seconds=2)


class RelayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """``round_max`` events are sent and waited for at once; the outbox is looked at each ``poll_s`` without a nudge.

    ``linger_s``: between two rounds that were nudged, so that small commits share a round; screens do not wait for it.
    50 ms instead of 10 saved 0.6 ms of node CPU a payment at 200 payments/s: small batches cost their readers as well.
    ``asleep_s``: a relay that says nothing to the database for so long loses its shards; longer than a round.
    """

    round_max: int = 1_000
    poll_s: float = 0.5
    linger_s: float = 0.05
    asleep_s: float = 25.0


class Nudge:
    """Wakes the relay after a commit. However many commits, one message waits."""

    def __init__(self) -> None:
        self._relay: ActorRef[Any] | None = None
        self._pending = False

    def aim(self, relay: ActorRef[Any]) -> None:
        """Say whom to wake."""
        self._relay = relay

    def __call__(self) -> None:
        """Wake the relay, unless it has not heard the last call yet. From any thread."""
        if self._relay is not None and not self._pending:
            self._pending = True
            try:
                self._relay.tell(self)
            except ActorDeadError:
                self._pending = False

    def heard(self) -> None:
        """The relay begins to look: a commit from now on is worth another call."""
        self._pending = False


class Relay(Actor):
    """See the module.

    Args:
        connect: makes the producer; raises :class:`BrokerAway`.
        announce: for events whose writer may have died before it announced them.
        on_state: told whether Kafka takes events.
    """

    dispatcher: ClassVar[str] = "pinned"
    batch_max: ClassVar[int] = 1_024

    def __init__(
        self,
        connection: Connection,
        connect: Callable[[], Producer],
        announce: Callable[[Sequence[LoggedEvent]], None],
        nudge: Nudge,
        limits: RelayLimits,
        measure: Measure,
        on_state: Callable[[bool], None],
    ) -> None:
        super().__init__()
        self._connection = connection
        self._connect = connect
        self._announce = announce
        self._nudge = nudge
        self._limits = limits
        self._measure = measure
        self._on_state = on_state
        self._producer: Producer | None = None
        self._known: set[int] = set()
        self._prepared = 0
        self._last_s = float("-inf")

    def on_start(self) -> None:
        """Look at what an earlier life left, then at every tick."""
        self._nudge.aim(self.actor_ref)
        self.actor_ref.tell("look")
        self._timer = self.context.timers.tell_every(self._limits.poll_s, self.actor_ref, "tick")

    def on_stop(self) -> None:
        """Send what is left, then leave."""
        self._timer.cancel()
        try:
            while self._round():
                pass
        except (DependencyUnavailable, StoreError) as error:
            logger.warning("stopped with events in the outbox: %s", error)
        self._close()

    def on_failure(self, *_: object) -> None:
        """A relay that is made again brings its own connection and producer."""
        self._timer.cancel()
        self._close()

    def on_batch(self, messages: list[object]) -> None:
        """Relay rounds until the outbox is empty, as far as its shards could be had."""
        now_s = self.context.clock.monotonic()
        soon_s = self._last_s + self._limits.linger_s - now_s
        if soon_s > 0 and all(message is self._nudge for message in messages):
            # not heard yet: whoever commits meanwhile need not call again
            self.context.timers.tell_after(soon_s, self.actor_ref, "look")
            return
        self._last_s = now_s
        self._nudge.heard()
        try:
            if self._round():
                self.actor_ref.tell("more")
        except StoreError as error:
            raise DependencyUnavailable(f"outbox: {error}") from error

    def _round(self) -> bool:
        """One round; whether there is reason for another at once."""
        if self._prepared != self._connection.generation or not self._prepared:
            self._connection.rows("relay_session", {"idle_ms": int(self._limits.asleep_s * 1000)})
            self._prepared = self._connection.generation
        try:
            wanted = {"space": ADVISORY_SPACE, "most": self._limits.round_max}
            ((shards, text),) = self._connection.rows("relay_claim", wanted)
        except StoreError:
            # locks that it may have taken go with the session
            self._connection.close()
            raise
        if not shards:
            return False
        reach("relay.claimed")
        try:
            return self._relay(decode(text))
        finally:
            self._release(shards)

    def _relay(self, rows: list[OutboxRow]) -> bool:
        overdue = late(rows, self.context.clock.now(), LATE_AFTER, self._known)
        if overdue:
            self._announce([row.event for row in overdue])
        taken = fitting(rows)
        more = taken < len(rows) or taken == self._limits.round_max
        rows = rows[:taken]
        events = [row.event for row in rows]
        reach("relay.before_send")
        arrived = self._send(events)
        reach("relay.sent")
        done = acknowledged(rows, arrived)
        reach("relay.before_delete")
        self._connection.rows("relay_delete", (done,))
        reach("relay.deleted")
        self._known.difference_update(done)
        for ok, result in ((True, "ok"), (False, "failed")):
            counted = [event for event, came in zip(events, arrived, strict=True) if came is ok]
            if counted:
                self._measure.published("kafka", counted, result)
        self._on_state(all(arrived))
        if not all(arrived):
            # A fresh client: what this one may still have on its way must not come between the next rounds.
            self._drop_producer()
            raise DependencyUnavailable(f"Kafka took {len(done)} of {len(rows)} events")
        return more

    def _send(self, events: Sequence[LoggedEvent]) -> list[bool]:
        try:
            if self._producer is None:
                self._producer = self._connect()
            return self._producer.send(events)
        except BrokerAway as error:
            self._on_state(False)  # noqa: FBT003 - the fact itself
            # what an abandoned client still held must not be sent after the next round
            self._drop_producer()
            raise DependencyUnavailable(f"Kafka away: {error}") from error

    def _release(self, shards: list[int]) -> None:
        try:
            self._connection.rows("relay_release", {"space": ADVISORY_SPACE, "shards": shards})
        except StoreError as error:
            logger.warning("the locks of a round went with their connection: %s", error)

    def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()

    def _close(self) -> None:
        self._drop_producer()
        self._connection.close()

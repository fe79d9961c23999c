"""A projection: own thread, own connection, a consumer group of its own over the business events.

Each turn reads what has come, brings the students concerned forward in one transaction, and then completes the offsets.
Nobody waits for a projection, so it rests between two reads: a client that listens all the time costs the node more
than everything else does while little happens. Against the embedded broker the two of an idle node took 14 % of a core,
and 3 % since they rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import msgspec

from actors.ingest.consumer import BrokerAway, PaymentConsumer
from actors.ingest.offsets import Window
from actors.ingest.records import Record
from actors.projections.names import Names, no_names
from actors.projections.position import Published, furthest, shares
from actors.protocol.envelope import LoggedEvent
from actors.store.connection import Connection
from actors.store.errors import Contended, DatabaseAway
from supervision import Actor, DependencyUnavailable, Timer

logger = logging.getLogger(__name__)

CYCLE = "cycle"
PROJECTIONS = {"echo": "projection_echo", "sessions": "projection_sessions", "cache": "projection_cache"}
"""Name of a projection to the statement that brings it forward."""
SEEN_EVERY_S = 5.0
CONTENDED_TRIES = 5
PEEK_S = 0.01
"""How long a read waits for what is there already: it is the rest between two reads that lets events gather."""

_logged = msgspec.json.Decoder(list[LoggedEvent]).decode


def telling(committed: Callable[[Sequence[LoggedEvent]], None]) -> Callable[[str], None]:
    """For a statement that returns the events that it logged."""

    def answered(answer: str) -> None:
        if events := _logged(answer):
            committed(events)

    return answered


class ProjectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """It rests for ``poll_s`` after each read, for twice as long when nothing came, not at all after ``many`` events.

    Offsets are committed each ``commit_interval_s``; leaving the group may take ``drain_s``. ``lanes_at_once``: for a
    statement that holds lanes, see :func:`actors.projections.position.shares`; 0 for one that does not.
    """

    poll_s: float = 0.25
    many: int = 1_000
    commit_interval_s: float = 1.0
    drain_s: float = 5.0
    lanes_at_once: int = 0


class Measure(Protocol):
    """What a projection reports."""

    def projected(self, projection: str, records: int) -> None:
        """One read came to so many records."""


class Projection(Actor):
    """See the module.

    Args:
        name: of the consumer, as it stands in ``consumer_lane``.
        statement: one of :data:`PROJECTIONS`: takes ``{told: [{student_id, seq}], names: {purchase: event}}`` as JSON,
            and may return a text.
        member: the node, as it stands in ``consumer_member``.
        connect: makes the consumer; raises :class:`BrokerAway`.
        answered: told what the statement returned, after its commit. Must not raise.
        names: of the events that the statement may log for these records.
    """

    dispatcher: ClassVar[str] = "pinned"

    def __init__(
        self,
        name: str,
        statement: str,
        member: str,
        connection: Connection,
        connect: Callable[[], PaymentConsumer],
        answered: Callable[[str], None],
        limits: ProjectionLimits,
        measure: Measure,
        names: Callable[[Sequence[Published]], Names] = no_names,
    ) -> None:
        super().__init__()
        self._name = name
        self._statement = statement
        self._member = member
        self._connection = connection
        self._connect = connect
        self._answered = answered
        self._limits = limits
        self._measure = measure
        self._names = names
        self._consumer: PaymentConsumer | None = None
        self._commit_due_s = 0.0
        self._seen_due_s = 0.0
        self._rest: Timer | None = None

    def on_start(self) -> None:
        """Begin to cycle."""
        self.actor_ref.tell(CYCLE)

    def on_receive(self, message: object) -> None:
        """One cycle, then the next."""
        if message != CYCLE:
            logger.warning("%s was told %s", self._name, type(message).__name__)
            return
        self._stop_resting()
        try:
            taken = self._cycle()
        except BrokerAway as error:
            self._give_up()
            raise DependencyUnavailable(f"brokers away: {error}") from error
        except (DatabaseAway, Contended) as error:
            # what was read is not completed: it is read again by the consumer that is made anew
            self._give_up()
            raise DependencyUnavailable(f"database away: {error}") from error
        if taken >= self._limits.many or not self._joined():
            self.actor_ref.tell(CYCLE)
        else:
            # where nothing came, nothing is likely to come at once
            rest_s = self._limits.poll_s if taken else 2 * self._limits.poll_s
            self._rest = self.context.timers.tell_after(rest_s, self.actor_ref, CYCLE)

    def on_stop(self) -> None:
        """Leave the group in order."""
        self._stop_resting()
        self._leave()
        self._connection.close()

    def on_failure(self, *_: object) -> None:
        """A projection that is made again joins anew."""
        self._stop_resting()
        self._give_up()
        self._connection.close()

    def _stop_resting(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _joined(self) -> bool:
        return self._consumer is not None and bool(self._consumer.windows.all())

    def _cycle(self) -> int:
        """How many records it came to."""
        if self._consumer is None:
            self._consumer = self._connect()
        taken = self._gather(self._consumer)
        if taken:
            self._project([record for _, record in taken])
            for window, record in taken:
                window.complete(record.offset)
        now_s = self.context.clock.monotonic()
        if now_s >= self._commit_due_s:
            self._consumer.commit()
            self._commit_due_s = now_s + self._limits.commit_interval_s
        if now_s >= self._seen_due_s:
            windows = self._consumer.windows.all()
            caught_up = not taken and bool(windows) and not any(window.lag for window in windows)
            values = {"consumer": self._name, "member": self._member, "caught_up": caught_up}
            self._connection.run("projection_seen", values)
            self._seen_due_s = now_s + SEEN_EVERY_S
        return len(taken)

    def _gather(self, consumer: PaymentConsumer) -> list[tuple[Window, Record]]:
        """What there is now, or ``many``: so that one transaction brings many forward."""
        monotonic = self.context.clock.monotonic
        taken: list[tuple[Window, Record]] = []
        # What the first read finds was asked for before the rest; only the answers after it know where the log ends.
        asked_before = True
        while len(taken) < self._limits.many:
            found = consumer.poll(PEEK_S if self._joined() else self._limits.poll_s)
            for window, run in found:
                if window.register([record.offset for record in run], monotonic()):
                    taken.extend((window, record) for record in run)
            if not found or not (asked_before or any(w.unread for w in consumer.windows.all())):
                break
            asked_before = False
        return taken

    def _project(self, records: Sequence[Record]) -> None:
        names = self._names(records)
        for share in shares(furthest(records), self._limits.lanes_at_once):
            named: dict[str, str] = {}
            for student, _ in share:
                named.update(names.get(student, {}))
            told = [{"student_id": student, "seq": seq} for student, seq in share]
            text = msgspec.json.encode({"told": told, "names": named}).decode()
            answer = self._retried(text)
            if answer:
                self._answered(answer)
        self._measure.projected(self._name, len(records))

    def _retried(self, text: str) -> str | None:
        for _ in range(CONTENDED_TRIES - 1):
            try:
                return self._ask(text)
            except Contended:
                continue
        return self._ask(text)

    def _ask(self, text: str) -> str | None:
        answer: str | None = self._connection.rows(self._statement, (text,))[0][0]
        return answer

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(self._limits.drain_s)

    def _give_up(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.give_up()

"""A ledger: own thread, own connection. It turns whatever has queued into one transaction and answers each student.

While the database is away the batch waits at the head of the mailbox and the sources fill up behind it; nothing is
answered and nothing is lost. "COMMIT sent, answer lost" looks the same: the batch comes again and finds its effects.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import msgspec

from actors.failpoint import reach
from actors.ledger.batch import Message, Verdict, decode, encode, split
from actors.messages import Park, Write, Written
from actors.protocol.envelope import LoggedEvent
from actors.protocol.events import CourseAccessRevoked
from actors.protocol.outcome import Outcome, Settled
from actors.store.connection import Connection
from actors.store.errors import BadData, Contended, DatabaseAway, StoreFault
from supervision import Actor, ActorDeadError, DependencyUnavailable

logger = logging.getLogger(__name__)

PLACE_FREED = CourseAccessRevoked.__struct_config__.tag

CONTENDED_TRIES = 5
"""Lost races in a row before the batch waits at the head of the mailbox instead of trying at once."""


class Measure(Protocol):
    """What a ledger reports of itself; the roof turns it into metrics."""

    def committed(self, messages: int, seconds: float) -> None:
        """One transaction of so many messages took so long, round trip included."""

    def parked(self, park: Park) -> None:
        """One message was parked."""


class Ledger(Actor):
    """See the module.

    Args:
        connection: its own; nobody else uses it.
        announce: told of every event that a commit logged. Must not block.
        measure: where figures go.
        on_generation: told each time the connection was made anew.
    """

    dispatcher: ClassVar[str] = "pinned"

    def __init__(
        self,
        connection: Connection,
        announce: Callable[[Sequence[LoggedEvent]], None],
        serve_waitlist: Callable[[], None],
        measure: Measure,
        on_generation: Callable[[int], None],
        batch_max: int,
    ) -> None:
        super().__init__()
        self._connection = connection
        self._announce = announce
        self._serve_waitlist = serve_waitlist
        self._measure = measure
        self._on_generation = on_generation
        self._answered: dict[int, Message] = {}
        self.batch_max = batch_max  # type: ignore[misc]  # a setting of this process, not of the class

    def on_stop(self) -> None:
        """Leave the connection."""
        self._connection.close()

    def on_failure(self, *_: object) -> None:
        """A ledger that is made again brings a connection of its own."""
        self._connection.close()

    def on_batch(self, messages: list[Message]) -> None:
        """Write everything that has queued; a message for a payment already in the batch goes into the next one."""
        # After a failure the runtime hands out the same batch again; what it had answered by then is left out.
        left = [message for message in messages if id(message) not in self._answered]
        while left:
            now, left = split(left)
            self._apply(now, CONTENDED_TRIES)
        self._answered.clear()

    def _apply(self, batch: list[Message], tries: int) -> None:
        clock = self.context.clock
        started_s = clock.monotonic()
        try:
            reach("ledger.before_apply")
            applied = decode(self._connection.text("apply", encode(batch)))
            reach("ledger.applied")
        except DatabaseAway as error:
            raise DependencyUnavailable(f"database away: {error}") from error
        except Contended as error:
            if tries == 0:
                raise DependencyUnavailable(f"database contended: {error}") from error
            self._apply(batch, tries - 1)
            return
        except BadData as error:
            self._halve(batch, str(error))
            return
        except StoreFault as error:
            logger.exception("the transaction is refused; sources keep their messages")
            self._refuse(batch, str(error))
            return
        finally:
            self._on_generation(self._connection.generation)
        self._measure.committed(len(batch), clock.monotonic() - started_s)
        # Before the answers: the screen waits for this.
        if applied.events:
            self._announce(applied.events)
        self._answer(batch, applied.verdicts)
        if any(event.type == PLACE_FREED for event in applied.events):
            self._serve_waitlist()

    def _halve(self, batch: list[Message], reason: str) -> None:
        """One message spoils the batch: find it by halves, park it, and let the others pass."""
        if len(batch) > 1:
            middle = len(batch) // 2
            self._apply(batch[:middle], CONTENDED_TRIES)
            self._apply(batch[middle:], CONTENDED_TRIES)
            return
        (message,) = batch
        if isinstance(message, Park):
            logger.error("a message can be neither written nor parked: %s", reason)
            self._refuse(batch, reason)
            return
        self._apply([parked_form(message, reason)], CONTENDED_TRIES)
        self._tell(message, Settled(Outcome.PARKED, detail=reason))

    def _answer(self, batch: list[Message], verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self._tell(batch[verdict.i], verdict.settled(), allocate=verdict.allocate)
        for message in batch:
            if isinstance(message, Park):
                self._tell(message, Settled(Outcome.PARKED, detail=message.reason))

    def _refuse(self, batch: list[Message], reason: str) -> None:
        for message in batch:
            self._tell(message, Settled(Outcome.REFUSED, detail=reason))

    def _tell(self, message: Message, settled: Settled, *, allocate: bool = False) -> None:
        """Give the answer to the student, or past it to the source when the student is gone."""
        self._answered[id(message)] = message
        if isinstance(message, Park):
            if settled.outcome is Outcome.PARKED:
                self._measure.parked(message)
            message.source.settle(settled)
            return
        try:
            message.student.tell(Written(message.deliver, settled, allocate))
        except ActorDeadError:
            message.deliver.source.settle(settled)


class _Nobody:
    """The source of a message that a ledger parks itself: the student gets the answer."""

    def settle(self, settled: Settled) -> None:
        """Nothing to do."""


def parked_form(write: Write, reason: str) -> Park:
    """The parked form of a payment event that the database refuses."""
    event = write.deliver.event
    return Park(
        "ledger",
        reason,
        None,
        msgspec.json.encode(event),
        _Nobody(),
        event.provider,
        event.event_id,
        event.payment_id,
        event.student_id,
    )

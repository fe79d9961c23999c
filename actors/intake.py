"""The one way in. Kafka, webhooks, the reconciler and operators all hand their events in here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.messages import Deliver, Park
from actors.protocol.outcome import Outcome, Settled, Source
from actors.protocol.payments import PaymentEvent, lane_key
from actors.protocol.undecodable import Undecodable
from supervision import ActorDeadError, ActorRef, Clock, Failure, MailboxFull, Router

logger = logging.getLogger(__name__)


class Intake:
    """Routes events to their students and unreadable bytes to a parked row. Thread-safe, never blocks.

    Args:
        students: the directory's router.
        ledgers: where parked rows are written; any of them will do.
    """

    def __init__(self, students: Router, ledgers: Sequence[ActorRef[Any]], clock: Clock) -> None:
        self._students = students
        self._ledgers = ledgers
        self._clock = clock
        self._draining = False

    def drain(self) -> None:
        """Refuse what comes from now on; what is under way goes on."""
        self._draining = True

    def submit(
        self,
        event: PaymentEvent,
        source: Source,
        *,
        via: str = "webhook",
        insist: bool = False,
        parked_id: int | None = None,
    ) -> None:
        """Hand an event to its student's actor; ``source`` hears what became of it."""
        deliver = Deliver(event, source, via, self._clock.monotonic(), insist, parked_id)
        if self._draining:
            source.settle(Settled(Outcome.REFUSED, detail="draining"))
            return
        try:
            self._students.tell(lane_key(event), deliver)
        except MailboxFull:
            source.settle(Settled(Outcome.REFUSED, detail="mailbox full"))
        except ActorDeadError:
            source.settle(Settled(Outcome.REFUSED, detail="draining"))

    def submit_run(self, lane: str, run: Sequence[Deliver]) -> None:
        """Hand on events of one student that came together, in their order; the source of each hears its own answer."""
        refused, detail = run, "draining"
        if not self._draining:
            with contextlib.suppress(ActorDeadError):
                refused, detail = run[self._students.tell_all(lane, run) :], "mailbox full"
        for deliver in refused:
            deliver.source.settle(Settled(Outcome.REFUSED, detail=detail))

    def park(
        self,
        raw: bytes,
        reason: Undecodable,
        source: Source,
        *,
        provider: str,
        event_id: str | None = None,
        stage: str = "decode",
        origin: dict[str, str | int] | None = None,
    ) -> None:
        """Keep bytes that cannot become an event, with the reason, for a person."""
        park = Park(
            stage, str(reason), reason.field, raw, source, provider, event_id, origin=dict(origin or {})
        )
        self._to_ledger(park)

    def park_message(self, key: str, message: object, failure: Failure) -> None:
        """Take over a message that keeps failing in its student's actor, so that the lane goes on."""
        if not isinstance(message, Deliver):
            logger.error("student %s cannot handle %s: %r", key, type(message).__name__, failure.error)
            return
        event = message.event
        reason = f"{type(failure.error).__name__}: {failure.error}"
        self._to_ledger(
            Park(
                "student",
                reason,
                None,
                msgspec.json.encode(event),
                message.source,
                event.provider,
                event.event_id,
                event.payment_id,
                event.student_id,
                {"attempts": failure.attempts},
            )
        )

    def _to_ledger(self, park: Park) -> None:
        try:
            self._ledgers[len(park.payload) % len(self._ledgers)].tell(park)
        except (MailboxFull, ActorDeadError) as error:
            park.source.settle(Settled(Outcome.REFUSED, detail=str(error)))

"""The actor that heals without being asked, by the ways that everybody goes: the intake, the allocator, the hand.

What it brings it brings with ``insist``, because the student's memory is no proof. A case that is still being worked on
when the next look finds it again waits behind its first delivery in the student's mailbox.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import msgspec

from actors.audit.checks import CHECKS, AuditLimits, look
from actors.audit.facts import payment_event
from actors.audit.mend import mend
from actors.hand import Hand
from actors.intake import Intake
from actors.messages import Allocate, ServeWaitlist
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Settled
from actors.protocol.payments import decode_payment
from actors.protocol.undecodable import Undecodable
from actors.reconciler.duty import Duty
from actors.store.connection import Connection
from actors.store.errors import Contended, DatabaseAway
from supervision import Actor, ActorRef, DependencyUnavailable, MailboxFull

logger = logging.getLogger(__name__)

WAITING_IS_NO_LOSS_S = 1e9
"""An event that waits for Kafka is the relay's: there is nothing to heal."""

_MISSING_EVENT = next(check for check in CHECKS if check.kind == "missing_event")
_MENDING = '{"mending": true}'


class ReconcilerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Each ``interval_s`` it looks for cases older than the ages, at most ``batch_max`` of a kind at once."""

    interval_s: float = 5.0
    payment_age_s: float = 5.0
    allocation_age_s: float = 5.0
    batch_max: int = 500


class Measure(Protocol):
    """What the reconciler reports."""

    def reconciled(self, kind: str, cases: int) -> None:
        """So many cases of one kind were found and brought again."""


class Reconciler(Actor):
    """See the module."""

    dispatcher: ClassVar[str] = "pinned"

    def __init__(
        self,
        connection: Connection,
        intake: Intake,
        allocator: ActorRef[Any],
        limits: ReconcilerLimits,
        measure: Measure,
        committed: Callable[[Sequence[LoggedEvent]], None],
    ) -> None:
        super().__init__()
        self._connection = connection
        self._intake = intake
        self._allocator = allocator
        self._limits = limits
        self._measure = measure
        self._committed = committed
        self._looks: dict[str, tuple[Duty, Callable[[], int]]] = {
            "payment_without_purchase": (Duty(), self._heal_payments),
            "half_done_purchase": (Duty(), self._heal_purchases),
            "requested_allocation": (Duty(), self._heal_allocations),
            "mark_without_effect": (Duty(), self._heal_marks),
            "missing_event": (Duty(), self._heal_events),
        }

    def on_start(self) -> None:
        """Look at once, since a crash may just have been, and then at every interval."""
        self.actor_ref.tell("look")
        self._timer = self.context.timers.tell_every(self._limits.interval_s, self.actor_ref, "look")

    def on_stop(self) -> None:
        """Leave the connection."""
        self._timer.cancel()
        self._connection.close()

    def on_failure(self, *_: object) -> None:
        """A reconciler that is made again brings its own timer and connection."""
        self.on_stop()

    def on_receive(self, message: object) -> None:
        """Every look that is due."""
        del message
        clock = self.context.clock
        for kind, (duty, heal) in self._looks.items():
            started_s = clock.monotonic()
            if not duty.is_due(started_s):
                continue
            try:
                cases = heal()
            except DatabaseAway as error:
                raise DependencyUnavailable(f"database away: {error}") from error
            except Contended as error:
                # one look that takes too long must not keep the others from healing
                logger.warning("looking for %s was given up: %s", kind, error)
                cases = 0
            duty.done(started_s, clock.monotonic(), self._limits.interval_s)
            self._measure.reconciled(kind, cases)
            if cases:
                logger.warning("found %d of %s; brought again", cases, kind)
        try:
            self._allocator.tell(ServeWaitlist())
        except MailboxFull:
            return

    def settle(self, settled: Settled) -> None:
        """The answer to something brought again (the reconciler is its source)."""
        if settled.outcome not in ("recovered", "exists", "created"):
            logger.error("could not be healed: %s %s", settled.outcome, settled.detail)

    def _heal_payments(self) -> int:
        rows = self._connection.rows("heal_payments", (self._limits.payment_age_s, self._limits.batch_max))
        return self._bring(rows, "payment_without_purchase")

    def _heal_purchases(self) -> int:
        rows = self._connection.rows("heal_purchases", (self._limits.payment_age_s, self._limits.batch_max))
        return self._bring(rows)

    def _heal_allocations(self) -> int:
        rows = self._connection.rows(
            "heal_allocations", (self._limits.allocation_age_s, self._limits.batch_max)
        )
        for (purchase_id,) in rows:
            self._allocator.tell(Allocate(purchase_id))
        return len(rows)

    def _heal_marks(self) -> int:
        rows = self._connection.rows("heal_marks", (self._limits.payment_age_s, self._limits.batch_max))
        for provider, event_id, payment_id, payload in rows:
            try:
                event = decode_payment((payload or "").encode())
            except Undecodable as reason:
                detail = {"payment_id": payment_id, "reason": f"no usable payload: {reason}"}
                text = msgspec.json.encode(detail).decode()
                self._connection.rows("report", ("mark_without_effect", f"{provider}:{event_id}", text))
            else:
                self._note("mark_without_effect", f"{provider}:{event_id}")
                self._intake.submit(event, self, via="reconciler", insist=True)
        return len(rows)

    def _heal_events(self) -> int:
        limits = AuditLimits(
            settled_s=self._limits.payment_age_s, pending_s=WAITING_IS_NO_LOSS_S, most=self._limits.batch_max
        )
        looked = look(self._connection, _MISSING_EVENT, limits)
        mend(Hand(self._connection, self._committed), looked)
        for case in looked.cases:
            self._note("missing_event", case.subject)
        return len(looked.cases)

    def _bring(self, rows: list[tuple[Any, ...]], kind: str | None = None) -> int:
        for row in rows:
            event = payment_event(row, "reconcile")
            if kind is not None:
                self._note(kind, f"{event.provider}:{event.payment_id}")
            self._intake.submit(event, self, via="reconciler", insist=True)
        return len(rows)

    def _note(self, kind: str, subject: str) -> None:
        """A finding that is being mended: the audit calls it fixed when it does not find it any more."""
        self._connection.rows("report", (kind, subject, _MENDING))

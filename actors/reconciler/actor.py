"""The actor that heals without being asked, by the ways that everybody goes: the intake, the allocator, the hand.

At each interval it looks at what came lately, which costs what came and not what there is, and as often as its duty
allows at the whole tables. Only the whole look finds everything: others write rows with what times they please, delete
rows, and change some without a new time.

What it brings it brings with ``insist``, because the student's memory is no proof. A case that is still being worked on
when the next look finds it again waits behind its first delivery in the student's mailbox.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

import msgspec

from actors.audit.facts import payment_event
from actors.hand import Hand
from actors.intake import Intake
from actors.messages import Allocate, ServeWaitlist
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Settled
from actors.protocol.payments import decode_payment
from actors.protocol.undecodable import Undecodable
from actors.reconciler.duty import SHARE_MAX, Duty
from actors.reconciler.plan import planned
from actors.reconciler.recent import Recent
from actors.store.connection import Connection
from actors.store.errors import Contended, DatabaseAway
from supervision import Actor, ActorRef, DependencyUnavailable, MailboxFull

logger = logging.getLogger(__name__)

Rows = list[tuple[Any, ...]]

_MENDING = '{"mending": true}'


class ReconcilerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Each ``interval_s`` it looks for cases older than the ages, at most ``batch_max`` of a kind at once.

    Looks at whole tables together take at most ``share_max`` of a core in the long run; those at the start come first.
    """

    interval_s: float = 5.0
    payment_age_s: float = 5.0
    allocation_age_s: float = 5.0
    batch_max: int = 500
    share_max: float = SHARE_MAX


class Measure(Protocol):
    """What the reconciler reports."""

    def reconciled(self, kind: str, cases: int) -> None:
        """So many cases of one kind were found and brought again."""


class Look(msgspec.Struct, frozen=True):
    """One kind of broken thing: its question, what is done about the answers, and the times of its recent looks.

    Without these it is only looked for in whole tables.
    """

    query: str
    heal: Callable[[Rows], None]
    recent: Recent | None


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
        age_s = limits.payment_age_s
        self._looks = {
            "payment_without_purchase": Look("heal_payments", self._heal_payments, Recent(age_s)),
            "half_done_purchase": Look("heal_purchases", self._heal_purchases, Recent(age_s)),
            "mark_without_effect": Look("heal_marks", self._heal_marks, Recent(age_s)),
            # a purchase that came lately with nothing told of it is half done; a later event that is absent alone was
            # taken from the log, at any age, and to look for it costs more than all the others
            "missing_event": Look("heal_events", self._heal_events, None),
        }
        promised = frozenset(kind for kind, look in self._looks.items() if look.recent is not None)
        self._duty = Duty(limits.interval_s, limits.share_max, at_once=promised)

    def on_start(self) -> None:
        """Look at once for all that a crash may just have left half done, however old, and then at every interval."""
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
        try:
            self._patiently("requested_allocation", self._heal_allocations)
            for kind in self._duty.in_turn(self._looks):
                self._patiently(kind, partial(self._look, kind, self._looks[kind]))
        except DatabaseAway as error:
            raise DependencyUnavailable(f"database away: {error}") from error
        try:
            self._allocator.tell(ServeWaitlist())
        except MailboxFull:
            return

    def settle(self, settled: Settled) -> None:
        """The answer to something brought again (the reconciler is its source)."""
        if settled.outcome not in ("recovered", "exists", "created"):
            logger.error("could not be healed: %s %s", settled.outcome, settled.detail)

    def _patiently(self, kind: str, look: Callable[[], int]) -> None:
        """A look that takes too long must not keep the others from healing."""
        try:
            cases = look()
        except Contended as error:
            logger.warning("looking for %s was given up: %s", kind, error)
            return
        self._measure.reconciled(kind, cases)
        if cases:
            logger.warning("found %d of %s; brought again", cases, kind)

    def _look(self, kind: str, look: Look) -> int:
        """At the whole where the duty allows it, else at what came lately."""
        began_s = self.context.clock.monotonic()
        whole = self._duty.is_due(kind, began_s)
        if not whole and look.recent is None:
            return 0
        back_s = None if whole or look.recent is None else look.recent.back_s(began_s)
        values = {"age_s": self._limits.payment_age_s, "back_s": back_s, "most": self._limits.batch_max}
        try:
            with planned(self._connection, whole=whole):
                rows = self._connection.rows(look.query, values)
        finally:
            if whole:
                self._duty.done(kind, began_s, self.context.clock.monotonic())
        look.heal(rows)
        if look.recent is not None and not rows:
            look.recent.done(began_s)
        return len(rows)

    def _heal_allocations(self) -> int:
        """These have an index of their own, so a look at all of them costs what is open."""
        rows = self._connection.rows(
            "heal_allocations", (self._limits.allocation_age_s, self._limits.batch_max)
        )
        for (purchase_id,) in rows:
            self._allocator.tell(Allocate(purchase_id))
        return len(rows)

    def _heal_payments(self, rows: Rows) -> None:
        for provider, payment_id, *_ in rows:
            self._note("payment_without_purchase", f"{provider}:{payment_id}")
        self._heal_purchases(rows)

    def _heal_purchases(self, rows: Rows) -> None:
        for row in rows:
            self._intake.submit(payment_event(row, "reconcile"), self, via="reconciler", insist=True)

    def _heal_marks(self, rows: Rows) -> None:
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

    def _heal_events(self, rows: Rows) -> None:
        if rows:
            students = sorted({student_id for _, student_id in rows})
            Hand(self._connection, self._committed).tell_missing(students)
        for purchase_id, _ in rows:
            self._note("missing_event", purchase_id)

    def _note(self, kind: str, subject: str) -> None:
        """A finding that is being mended: the audit calls it fixed when it does not find it any more."""
        self._connection.rows("report", (kind, subject, _MENDING))

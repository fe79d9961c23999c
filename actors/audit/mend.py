"""What ``--fix`` does: for each kind of finding that has a safe answer, the transaction that should have happened.

Safe means: it follows from what stands, it is the same function that the actors call, and a second time it does
nothing. Money, disputes and contradictions are for people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from actors.audit.checks import Case, Looked
from actors.audit.facts import payment_event
from actors.hand import Hand
from actors.protocol.outcome import Outcome
from actors.protocol.payments import PaymentEvent, decode_payment
from actors.protocol.undecodable import Undecodable

CAUSE = "audit"
MENDED = frozenset({Outcome.CREATED, Outcome.RECOVERED})


def mend(hand: Hand, looked: Looked) -> int:
    """Bring the cases of one kind again, as far as there is a safe way; how many effects that made.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`. What was done before it stands and is found again.
    """
    doing = _MENDERS.get(looked.check.kind)
    return doing(hand, looked.cases) if doing is not None and looked.cases else 0


def _payments(hand: Hand, cases: Sequence[Case]) -> int:
    rows = hand.connection.rows("repair_payments", {"subjects": [case.subject for case in cases]})
    return _bring(hand, [payment_event(row, CAUSE) for row in rows])


def _marks(hand: Hand, cases: Sequence[Case]) -> int:
    events: list[PaymentEvent] = []
    for (payload,) in hand.connection.rows("repair_marks", {"subjects": [case.subject for case in cases]}):
        try:
            events.append(decode_payment(payload.encode()))
        except Undecodable:
            continue
    return _bring(hand, events)


def _allocations(hand: Hand, cases: Sequence[Case]) -> int:
    wanted = [UUID(case.subject) for case in cases]
    rows = hand.connection.rows("repair_purchases", {"purchases": wanted})
    made = _bring(hand, [payment_event(row, CAUSE) for row in rows if row[10] == "absent"])
    for row in rows:
        if row[10] == "released" and row[11] in {"paid", "partly_refunded"}:
            hand.connection.rows("repair_reopen", {"purchase": row[9]})
    open_ones = [row[9] for row in rows if row[10] in {"requested", "released"}]
    return made + (len(hand.allocate(open_ones)) if open_ones else 0)


def _events(hand: Hand, cases: Sequence[Case]) -> int:
    students = sorted({case.detail["student_id"] for case in cases if "missing" in case.detail})
    if not students:
        return 0
    told = hand.tell_missing(students)
    return len(told.events) + len(told.restored)


def _echoes(hand: Hand, cases: Sequence[Case]) -> int:
    return sum(len(hand.resend(case.subject, case.detail["seen"] + 1)) for case in cases)


def _loads(hand: Hand, cases: Sequence[Case]) -> int:
    return hand.recount([case.subject for case in cases])


def _bring(hand: Hand, events: Sequence[PaymentEvent]) -> int:
    if not events:
        return 0
    verdicts = hand.apply(events, via=CAUSE)
    purchases = [v.purchase_id for v in verdicts if v.allocate and v.purchase_id is not None]
    if purchases:
        hand.allocate(purchases)
    return sum(v.outcome in MENDED for v in verdicts)


_MENDERS: dict[str, Callable[[Hand, Sequence[Case]], int]] = {
    "payment_without_purchase": _payments,
    "purchase_without_allocation": _allocations,
    "mark_without_effect": _marks,
    "missing_event": _events,
    "echo_behind": _echoes,
    "trainer_load": _loads,
}

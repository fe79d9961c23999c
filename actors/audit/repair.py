"""The three hand repairs, which once were scripts: make the purchase, trigger the allocation, emit the events.

Each runs the ordinary transaction. A dry run runs it as well and rolls it back, so that it shows exactly what would
change; what a repair finds whole it leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from actors.audit.facts import payment_event
from actors.hand import Action, Hand, patiently
from actors.protocol.outcome import Outcome
from actors.protocol.payments import PaymentEvent, PaymentSucceeded, decode_payment, payment_key
from actors.protocol.undecodable import Undecodable

CAUSE = "repair"


class Unrepairable(Exception):
    """There is nothing that the repair could rest on; the text says what is missing."""


class UnknownSubject(Exception):
    """There is no such payment, purchase or student."""


class Repaired(msgspec.Struct, frozen=True):
    """What a repair changes, or in a dry run would change."""

    changed: bool
    summary: str
    result: dict[str, Any]


def repair_purchase(hand: Hand, action: Action, provider: str, payment_id: str, *, apply: bool) -> Repaired:
    """Make the purchase of a payment, with its allocation and events, from whatever tells what was paid for.

    Raises:
        UnknownSubject: no payment, purchase, mark or parked message of that name.
        Unrepairable: there is one, and it does not say what was bought, or the payment was never captured.
    """
    event = _facts(hand, provider, payment_id)

    def work() -> Repaired:
        (verdict,) = hand.apply([event], via=CAUSE)
        decisions = hand.allocate([verdict.purchase_id]) if verdict.allocate and verdict.purchase_id else []
        changed = verdict.outcome in {Outcome.CREATED, Outcome.RECOVERED} or bool(decisions)
        summary = {
            Outcome.CONFLICT: f"the purchase that stands has another {verdict.detail}; see the parked message",
            Outcome.PARKED: f"cannot be made: {verdict.detail}",
        }.get(verdict.outcome, f"purchase {verdict.purchase_id}: {verdict.outcome}")
        if decisions:
            trainer = decisions[0].trainer_id
            summary += f"; allocation: {f'trainer {trainer}' if trainer else 'waitlisted'}"
        if verdict.outcome in {Outcome.CONFLICT, Outcome.PARKED}:
            raise _Refused(summary)
        return Repaired(changed, summary, {"outcome": verdict.outcome, "purchase_id": verdict.purchase_id})

    return _run(hand, action, work, apply=apply)


def repair_allocation(hand: Hand, action: Action, purchase_id: UUID, *, apply: bool) -> Repaired:
    """Decide the allocation of a purchase, which gets its row first where it has none.

    Raises:
        UnknownSubject: there is no such purchase.
        Unrepairable: it was refunded or revoked, so that no access may follow.
    """
    rows = hand.connection.rows("repair_purchases", {"purchases": [purchase_id]})
    if not rows:
        raise UnknownSubject(f"no purchase {purchase_id}")
    (row,) = rows
    allocation, status = row[10], row[11]
    if status in {"refunded", "revoked"}:
        raise Unrepairable(f"the purchase is {status}: no access may follow")

    def work() -> Repaired:
        if allocation == "allocated":
            return Repaired(changed=False, summary="allocated already", result={"allocation": allocation})
        if allocation == "absent":
            hand.apply([payment_event(row, CAUSE)], via=CAUSE)
        elif allocation == "released":
            hand.connection.rows("repair_reopen", {"purchase": purchase_id})
        decisions = hand.allocate([purchase_id])
        if not decisions:
            return Repaired(
                changed=allocation in {"absent", "released"},
                summary="waits for a trainer with room",
                result={"allocation": "waitlisted"},
            )
        trainer = decisions[0].trainer_id
        told = f"trainer {trainer}" if trainer else "waitlisted: no trainer has room"
        return Repaired(
            changed=True, summary=told, result={"allocation": "allocated" if trainer else "waitlisted"}
        )

    return _run(hand, action, work, apply=apply)


def repair_events(
    hand: Hand, action: Action, student_id: UUID, *, apply: bool, resend: bool, first: int
) -> Repaired:
    """Log what a student's purchases call for and the log does not hold; ``resend`` sends all from ``first`` on again.

    Raises:
        UnknownSubject: there is nothing of this student.
    """
    student = str(student_id)

    def work() -> Repaired:
        told = hand.tell_missing([student], renumber=True)
        if not hand.connection.rows("repair_lane", {"student": student})[0][0] and not told.changed:
            raise UnknownSubject(f"student {student} has no purchase and no event")
        sent = hand.resend(student, first) if resend else []
        fresh = [{"seq": event.seq, "type": event.type} for event in told.events]
        parts = [
            f"{event['type']} as {event['seq']}"
            for event in [*({"seq": r["seq"], "type": r["type"]} for r in told.restored), *fresh]
        ]
        parts += [f"the lane's number {r['from']} becomes {r['to']}" for r in told.renumbered]
        if sent:
            parts.append(f"{len(sent)} envelopes again, from {sent[0].seq} to {sent[-1].seq}")
        result = {
            "restored": told.restored,
            "renumbered": told.renumbered,
            "events": fresh,
            "resent": len(sent),
        }
        changed = told.changed or bool(sent)
        return Repaired(changed, "; ".join(parts) or "nothing is missing", result)

    return _run(hand, action, work, apply=apply)


class _Refused(Exception):
    """Ends a transaction that must not stand, with the reason."""


def _run(hand: Hand, action: Action, work: Callable[[], Repaired], *, apply: bool) -> Repaired:
    """Rehearse; with ``apply`` do it where the rehearsal changed something. Both are entered as operators' actions."""

    def run(*, rehearse: bool) -> Repaired:
        with hand.transaction(rehearse=rehearse):
            done = work()
            if not rehearse:
                hand.keep(action, {"changed": done.changed, "summary": done.summary, **done.result})
        return done

    try:
        repaired = patiently(lambda: run(rehearse=True))
        if apply and repaired.changed:
            repaired = patiently(lambda: run(rehearse=False))
        else:
            hand.keep(action, {"changed": repaired.changed, "summary": repaired.summary}, dry_run=not apply)
    except _Refused as refused:
        raise Unrepairable(str(refused)) from None
    return repaired


def _facts(hand: Hand, provider: str, payment_id: str) -> PaymentEvent:
    rows = hand.connection.rows("repair_payment_facts", {"provider": provider, "payment_id": payment_id})
    if not rows:
        raise UnknownSubject(f"no payment, purchase, mark or parked message of {provider}:{payment_id}")
    unusable: list[str] = []
    for source, *facts, state, payload in rows:
        if source <= 2 and state not in {None, "captured"}:
            if any(row[0] == 2 for row in rows):
                continue
            unusable.append(f"the payment is {state}, not captured")
        elif payload is None and source <= 2 and None not in facts[2:7]:
            return payment_event(facts, CAUSE)
        elif payload is not None:
            try:
                event = decode_payment(bytes(payload))
            except Undecodable as reason:
                unusable.append(f"its message is of no use: {reason}")
                continue
            if isinstance(event, PaymentSucceeded) and payment_key(event) == (provider, payment_id):
                return event
        else:
            unusable.append("neither payment nor mark says who bought what")
    raise Unrepairable("; ".join(dict.fromkeys(unusable)) or "nothing says who bought what")

"""A batch as the database takes it, and its answer. Pure: no connection, no actor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from actors.messages import Deliver, Park, Write
from actors.protocol import ids
from actors.protocol.envelope import LoggedEvent
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import PaymentSucceeded, payment_key


class PaymentRow(msgspec.Struct):
    """A captured payment with the names of everything that it may become. Mirrors ``kc.payment_msg``."""

    i: int
    event_id: str
    provider: str
    payment_id: str
    student_id: UUID
    course_id: UUID
    tier: int
    amount: int
    currency: str
    order_id: str | None
    occurred_at: datetime
    via: str
    parked_id: int | None
    purchase_id: str
    allocation_id: str
    created_id: str
    purchased_id: str


class RefundRow(msgspec.Struct):
    """A refund. Mirrors ``kc.refund_msg``."""

    i: int
    event_id: str
    provider: str
    refund_id: str
    payment_id: str
    student_id: UUID
    amount: int
    currency: str
    occurred_at: datetime
    via: str
    parked_id: int | None


class ParkRow(msgspec.Struct):
    """Something to keep for a person. ``payload`` is hex. Mirrors ``kc.park_msg``."""

    stage: str
    reason: str
    field: str | None
    provider: str | None
    event_id: str | None
    payment_id: str | None
    student_id: UUID | None
    payload: str
    origin: dict[str, str | int]
    fingerprint: str


class Batch(msgspec.Struct):
    """The argument of ``kc.apply``."""

    payments: list[PaymentRow] = []
    refunds: list[RefundRow] = []
    parks: list[ParkRow] = []


class Verdict(msgspec.Struct, array_like=True, frozen=True):
    """What became of message ``i`` of a batch."""

    i: int
    outcome: Outcome
    purchase_id: UUID | None
    detail: str | None
    allocate: bool

    def settled(self) -> Settled:
        """The answer for the source."""
        absorbed_by = "effect" if self.outcome is Outcome.EXISTS else None
        return Settled(self.outcome, self.purchase_id, self.detail, absorbed_by)


class Applied(msgspec.Struct, frozen=True):
    """The answer of ``kc.apply``: a verdict for each payment and refund, and every event that it logged."""

    verdicts: list[Verdict]
    events: list[LoggedEvent]


Message = Write | Park

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Applied).decode


def split(messages: Iterable[Message]) -> tuple[list[Message], list[Message]]:
    """Those that fit into one transaction, and the rest in their order.

    A transaction holds each payment once: students see to that for their own, but one payment may come under two students.
    """
    now: list[Message] = []
    later: list[Message] = []
    taken: set[tuple[str, str]] = set()
    for message in messages:
        if isinstance(message, Write):
            key = payment_key(message.deliver.event)
            if key in taken:
                later.append(message)
                continue
            taken.add(key)
        now.append(message)
    return now, later


def encode(messages: Sequence[Message]) -> str:
    """The JSON text for ``kc.apply``; position in ``messages`` is the message's ``i``."""
    batch = Batch()
    for i, message in enumerate(messages):
        if isinstance(message, Park):
            batch.parks.append(park_row(message))
        elif isinstance(message.deliver.event, PaymentSucceeded):
            batch.payments.append(_payment_row(i, message.deliver, message.deliver.event))
        else:
            batch.refunds.append(_refund_row(i, message.deliver))
    return _encode(batch).decode()


def decode(text: str) -> Applied:
    """Read the answer of ``kc.apply``."""
    return _decode(text)


def _payment_row(i: int, deliver: Deliver, event: PaymentSucceeded) -> PaymentRow:
    purchase = ids.purchase_id(event.provider, event.payment_id)
    return PaymentRow(
        i,
        event.event_id,
        event.provider,
        event.payment_id,
        event.student_id,
        event.course_id,
        event.tier,
        event.amount,
        event.currency,
        event.order_id,
        event.occurred_at,
        deliver.via,
        deliver.parked_id,
        purchase,
        ids.allocation_id(purchase),
        ids.event_id(purchase, "PURCHASE_CREATED"),
        ids.event_id(purchase, "COURSE_PURCHASED"),
    )


def _refund_row(i: int, deliver: Deliver) -> RefundRow:
    event = deliver.event
    assert not isinstance(event, PaymentSucceeded)
    return RefundRow(
        i,
        event.event_id,
        event.provider,
        event.refund_id,
        event.payment_id,
        event.student_id,
        event.amount,
        event.currency,
        event.occurred_at,
        deliver.via,
        deliver.parked_id,
    )


def park_row(park: Park) -> ParkRow:
    """One open row for the same bytes at the same stage, however often they come."""
    digest = hashlib.sha256(park.payload).hexdigest()
    return ParkRow(
        park.stage,
        park.reason,
        park.field,
        park.provider,
        park.event_id,
        park.payment_id,
        park.student_id,
        park.payload.hex(),
        park.origin,
        f"{park.stage}:{digest}",
    )

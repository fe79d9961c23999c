"""The rows of a batch, each the mirror of a composite type of the database, and how a message becomes one. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

import msgspec

from actors.messages import Deliver, Park
from actors.protocol import ids
from actors.protocol.payments import (
    PaymentDisputed,
    PaymentNoticed,
    PaymentRefunded,
    PaymentSucceeded,
    PaymentUnnamed,
    RefundReported,
)


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
    """A refund, or with ``total`` the sum of them so far. Mirrors ``kc.refund_msg``."""

    i: int
    event_id: str
    provider: str
    refund_id: str | None
    payment_id: str
    student_id: UUID | None
    amount: int
    currency: str
    total: bool
    occurred_at: datetime
    via: str
    parked_id: int | None


class DisputeRow(msgspec.Struct):
    """A dispute as it stands now. Mirrors ``kc.dispute_msg``."""

    i: int
    event_id: str
    provider: str
    dispute_id: str
    payment_id: str
    student_id: UUID | None
    status: str
    amount: int
    currency: str
    occurred_at: datetime
    via: str
    parked_id: int | None


class NoticeRow(msgspec.Struct):
    """What no purchase follows from. Mirrors ``kc.notice_msg``."""

    i: int
    event_id: str
    provider: str
    name: str
    payment_id: str | None
    student_id: UUID | None
    state: str | None
    failed_refund_id: str | None
    via: str
    parked_id: int | None


class UnnamedRow(msgspec.Struct):
    """A capture whose event says nothing of who bought what. ``payload`` is hex. Mirrors ``kc.unnamed_msg``."""

    i: int
    event_id: str
    provider: str
    payment_id: str
    student_id: UUID | None
    order_id: str | None
    amount: int | None
    field: str
    reason: str
    payload: str
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


def payment_row(i: int, deliver: Deliver, event: PaymentSucceeded) -> PaymentRow:
    """With the names of everything that it may become: they are cheaper to make here than in the database."""
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


def refund_row(i: int, deliver: Deliver, event: PaymentRefunded | RefundReported) -> RefundRow:
    return RefundRow(
        i,
        event.event_id,
        event.provider,
        event.refund_id,
        event.payment_id,
        event.student_id,
        event.amount,
        event.currency,
        event.refund_id is None,
        event.occurred_at,
        deliver.via,
        deliver.parked_id,
    )


def dispute_row(i: int, deliver: Deliver, event: PaymentDisputed) -> DisputeRow:
    return DisputeRow(
        i,
        event.event_id,
        event.provider,
        event.dispute_id,
        event.payment_id,
        event.student_id,
        event.status,
        event.amount,
        event.currency,
        event.occurred_at,
        deliver.via,
        deliver.parked_id,
    )


def notice_row(i: int, deliver: Deliver, event: PaymentNoticed) -> NoticeRow:
    return NoticeRow(
        i,
        event.event_id,
        event.provider,
        event.name,
        event.payment_id,
        event.student_id,
        event.state,
        event.failed_refund_id,
        deliver.via,
        deliver.parked_id,
    )


def unnamed_row(i: int, deliver: Deliver, event: PaymentUnnamed) -> UnnamedRow:
    return UnnamedRow(
        i,
        event.event_id,
        event.provider,
        event.payment_id,
        event.student_id,
        event.order_id,
        event.amount,
        event.field,
        event.reason,
        event.body.hex(),
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

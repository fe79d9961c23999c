"""Razorpay's webhook: signatures as its own package checks them, and a table of the events that we act on.

An order is the purchase to Razorpay, a payment is one attempt at it. Both ``payment.captured`` and ``order.paid`` come
for the same payment, in any order, so the payment's id is the identity. ``payment.captured`` does not show its order,
and a part of an order looks like the whole in it: where orders may be paid in parts, either the names stand in the
order's notes only, or the note ``partial_payment`` in the payment's. Such a capture waits for ``order.paid``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Final, Generic, TypeVar
from uuid import UUID

import msgspec

from actors.protocol.payments import AmountMinor, Key, PaymentDisputed, PaymentEvent, RefundReported
from actors.protocol.undecodable import Undecodable
from gateway.webhooks.provider import BadSignature, Secrets
from gateway.webhooks.translation import Names, event, moment, notice, our_names, purchase, read, student_of

SIGNATURE_HEADER: Final = "x-razorpay-signature"
EVENT_ID_HEADER: Final = "x-razorpay-event-id"
PARTS_NOTE: Final = "partial_payment"
INQUIRIES: Final = frozenset({"retrieval", "fraud"})
"""Phases of a dispute in which the bank only asks and takes no money."""

_Entity = TypeVar("_Entity")


class _Wrapped(msgspec.Struct, Generic[_Entity]):
    entity: _Entity


class _Payment(msgspec.Struct):
    id: Key
    amount: AmountMinor
    currency: str
    order_id: Key | None = None
    captured: bool | None = None
    notes: Names = msgspec.field(default_factory=dict)


class _Order(msgspec.Struct):
    amount_paid: int = 0
    amount_due: int = 0
    notes: Names = msgspec.field(default_factory=dict)


class _Refund(msgspec.Struct):
    id: Key
    payment_id: Key
    amount: AmountMinor
    currency: str
    status: str


class _Dispute(msgspec.Struct):
    id: Key
    payment_id: Key
    amount: AmountMinor
    currency: str
    phase: str | None = None


class _Payload(msgspec.Struct):
    payment: _Wrapped[_Payment] | None = None
    order: _Wrapped[_Order] | None = None
    refund: _Wrapped[_Refund] | None = None
    dispute: _Wrapped[_Dispute] | None = None


class _Body(msgspec.Struct):
    created_at: int
    payload: _Payload


class _Named(msgspec.Struct):
    event: Key


class _Delivery(msgspec.Struct):
    """One event with its entities at hand."""

    name: str
    event_id: str
    at: datetime
    payload: _Payload
    body: bytes

    @property
    def payment(self) -> _Payment:
        return _entity(self.payload.payment, "payment")

    @property
    def names(self) -> tuple[str, dict[str, object]]:
        """What our shop wrote into the payment, or else into its order, and where."""
        payment, order = self.payload.payment, self.payload.order
        return our_names(
            {
                "payload.payment.entity.notes": payment.entity.notes if payment else {},
                "payload.order.entity.notes": order.entity.notes if order else {},
            }
        )

    @property
    def student(self) -> UUID | None:
        return student_of(self.names[1])

    def notice(self, payment_id: str, **known: str | None) -> PaymentEvent:
        return notice(
            event_id=self.event_id,
            provider="razorpay",
            name=self.name,
            payment_id=payment_id,
            student_id=self.student,
            **known,
        )


class RazorpayProvider:
    """See the module's text. Razorpay signs no time; deliveries of before a change of secret come with the old one."""

    name = "razorpay"

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = Secrets(secrets)

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        del now
        signature = headers.get(SIGNATURE_HEADER)
        if signature is None:
            raise BadSignature("X-Razorpay-Signature is missing.")
        if not self._secrets.signed(body, [signature]):
            raise BadSignature("The signature does not match the body.")

    def translate(self, headers: Mapping[str, str], body: bytes) -> PaymentEvent:
        return translate(body, self.event_id(headers, body))

    def event_id(self, headers: Mapping[str, str], body: bytes) -> str:
        """Razorpay's id of the event; without one, what the bytes are is who they are."""
        given = headers.get(EVENT_ID_HEADER, "")
        return given if 0 < len(given) <= 255 else f"body:{sha256(body).hexdigest()}"


def translate(body: bytes, event_id: str) -> PaymentEvent:
    """Read a body whose event has this id.

    Raises:
        Undecodable: naming the field.
    """
    name = read(body, _Named).event
    act = EVENTS.get(name)
    if act is None:
        return notice(event_id=event_id, provider="razorpay", name=name)
    rest = read(body, _Body)
    return act(_Delivery(name, event_id, moment(rest.created_at), rest.payload, body))


def _entity(wrapped: _Wrapped[_Entity] | None, kind: str) -> _Entity:
    if wrapped is None:
        raise Undecodable(f"payload.{kind}", "is missing")
    return wrapped.entity


def _captured(delivery: _Delivery) -> PaymentEvent:
    payment, (place, names) = delivery.payment, delivery.names
    order = delivery.payload.order
    in_parts = str(names.get(PARTS_NOTE, "")).lower() in {"1", "true", "yes"}
    if delivery.name != "order.paid" and (in_parts or (order is not None and order.entity.amount_due > 0)):
        return delivery.notice(payment.id, state="partial")
    return purchase(
        names,
        place,
        delivery.body,
        event_id=delivery.event_id,
        provider="razorpay",
        payment_id=payment.id,
        # the last of several parts stands for all of them
        amount=max(payment.amount, order.entity.amount_paid if order else 0),
        currency=payment.currency,
        order_id=payment.order_id,
        occurred_at=delivery.at,
    )


def _attempt(delivery: _Delivery, state: str) -> PaymentEvent:
    return delivery.notice(delivery.payment.id, state=state)


def _refund(delivery: _Delivery) -> PaymentEvent:
    refund = _entity(delivery.payload.refund, "refund")
    payment = delivery.payload.payment
    if payment is not None and payment.entity.captured is False:
        # authorized, never captured, given back by itself: nobody bought anything
        return delivery.notice(refund.payment_id, state="returned")
    if refund.status != "processed":
        return delivery.notice(
            refund.payment_id, failed_refund_id=refund.id if refund.status == "failed" else None
        )
    return event(
        RefundReported,
        {"amount": "payload.refund.entity.amount", "currency": "payload.refund.entity.currency"},
        event_id=delivery.event_id,
        provider="razorpay",
        payment_id=refund.payment_id,
        refund_id=refund.id,
        student_id=delivery.student,
        amount=refund.amount,
        currency=refund.currency,
        occurred_at=delivery.at,
    )


def _dispute(delivery: _Delivery, status: str) -> PaymentEvent:
    dispute = _entity(delivery.payload.dispute, "dispute")
    if dispute.phase in INQUIRIES:
        return delivery.notice(dispute.payment_id)
    return event(
        PaymentDisputed,
        {"amount": "payload.dispute.entity.amount", "currency": "payload.dispute.entity.currency"},
        event_id=delivery.event_id,
        provider="razorpay",
        payment_id=dispute.payment_id,
        dispute_id=dispute.id,
        student_id=delivery.student,
        status=status,
        amount=dispute.amount,
        currency=dispute.currency,
        occurred_at=delivery.at,
    )


EVENTS: Final[Mapping[str, Callable[[_Delivery], PaymentEvent]]] = {
    "payment.captured": _captured,
    "order.paid": _captured,
    "payment.authorized": partial(_attempt, state="authorized"),
    "payment.failed": partial(_attempt, state="failed"),
    "refund.created": _refund,
    "refund.processed": _refund,
    "refund.failed": _refund,
    "refund.speed_changed": _refund,
    "payment.dispute.created": partial(_dispute, status="open"),
    "payment.dispute.under_review": partial(_dispute, status="open"),
    "payment.dispute.action_required": partial(_dispute, status="open"),
    "payment.dispute.won": partial(_dispute, status="won"),
    # settled without a verdict, for instance by a refund that comes as its own event
    "payment.dispute.closed": partial(_dispute, status="won"),
    "payment.dispute.lost": partial(_dispute, status="lost"),
}
"""Event type to what it means here; any other type is kept as a mark and answered ``ignored``."""

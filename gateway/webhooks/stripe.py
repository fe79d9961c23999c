"""Stripe's webhook: signatures as its own package checks them, and a table of the events that we act on.

A payment is named by its PaymentIntent, so ``payment_intent.succeeded`` and ``checkout.session.completed`` are one. A
session's metadata is not copied to its intent: an intent that names nobody is parked until its session does. Refunds
come as ``charge.refunded`` with the sum so far and as ``refund.*`` one by one; both are passed on as what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec

from actors.protocol.payments import AmountMinor, Key, PaymentDisputed, PaymentEvent, RefundReported
from actors.protocol.undecodable import Undecodable
from gateway.webhooks.provider import BadSignature, Secrets, loose_text
from gateway.webhooks.translation import Names, event, moment, notice, our_names, purchase, read, student_of

HEADER: Final = "stripe-signature"
SCHEME: Final = "v1"

DISPUTES: Final = {"needs_response": "open", "under_review": "open", "won": "won", "lost": "lost"}
"""A dispute's status to ours. The ``warning_`` ones are inquiries: the bank asks and takes nothing."""


class _Object(msgspec.Struct):
    """What the objects of our events have in common; an object has those of its kind."""

    id: Key
    currency: str = ""
    amount: AmountMinor | None = None
    amount_received: AmountMinor | None = None
    amount_total: AmountMinor | None = None
    amount_refunded: AmountMinor | None = None
    captured: bool | None = None
    charge: Key | None = None
    metadata: Names | None = None
    mode: str | None = None
    payment_intent: Key | None = None
    payment_status: str | None = None
    status: str | None = None


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Body(msgspec.Struct):
    id: Key
    type: Key
    created: int
    data: _Data


class _Delivery(msgspec.Struct):
    """One event with its object at hand."""

    name: str
    event_id: str
    at: datetime
    object: _Object
    body: bytes

    @property
    def names(self) -> tuple[str, dict[str, Any]]:
        return our_names({"data.object.metadata": self.object.metadata or {}})

    @property
    def student(self) -> UUID | None:
        return student_of(self.names[1])

    @property
    def payment_id(self) -> str | None:
        """Of an object that belongs to a payment; a charge without an intent stands for itself."""
        return self.object.payment_intent or self.object.charge

    def notice(self, payment_id: str | None, **known: str | None) -> PaymentEvent:
        return notice(
            event_id=self.event_id,
            provider="stripe",
            name=self.name,
            payment_id=payment_id,
            student_id=self.student,
            **known,
        )

    def money(self, amount: int | None, field: str) -> dict[str, Any]:
        """The members that every event about money has. Stripe writes currencies in lower case."""
        if amount is None:
            raise Undecodable(f"data.object.{field}", "is missing")
        return {
            "event_id": self.event_id,
            "provider": "stripe",
            "amount": amount,
            "currency": self.object.currency.upper(),
            "occurred_at": self.at,
        }


class StripeProvider:
    """See the module's text. While a secret is rolled, Stripe signs with both; we may hold several as well."""

    name = "stripe"

    def __init__(self, secrets: Sequence[str], *, tolerance_s: int = 300) -> None:
        self._secrets, self._tolerance_s = Secrets(secrets), tolerance_s

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        signed_at, signatures = _parse(headers.get(HEADER, ""))
        if not self._secrets.signed(b"%d.%b" % (signed_at, body), signatures):
            raise BadSignature("The signature does not match the body.")
        # Stripe's own package lets signatures from the future pass; nobody honest makes them.
        if not now - self._tolerance_s <= signed_at <= now + self._tolerance_s:
            raise BadSignature("The signature's time is too far from now.")

    def translate(self, headers: Mapping[str, str], body: bytes) -> PaymentEvent:
        del headers
        return translate(body)

    def event_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        del headers
        return loose_text(body, "id")


def translate(body: bytes) -> PaymentEvent:
    """Read a body, which holds its event's id.

    Raises:
        Undecodable: naming the field.
    """
    given = read(body, _Body)
    act = EVENTS.get(given.type)
    if act is None:
        return notice(event_id=given.id, provider="stripe", name=given.type)
    about = read(given.data.object, _Object, "data.object")
    return act(_Delivery(given.type, given.id, moment(given.created), about, body))


def _parse(header: str) -> tuple[int, list[str]]:
    """The first time and all signatures of our scheme; other schemes are no concern of ours."""
    parts = [part.split("=") for part in header.split(",")]
    try:
        signed_at = int([part[1] for part in parts if part[0] == "t"][0])  # noqa: RUF015  (each must be well-formed)
        signatures = [part[1] for part in parts if part[0] == SCHEME]
    except (IndexError, ValueError) as error:
        raise BadSignature("Stripe-Signature must be t=<unix seconds>,v1=<hex>.") from error
    if not signatures:
        raise BadSignature("Stripe-Signature holds no v1 signature.")
    return signed_at, signatures


def _bought(delivery: _Delivery, payment_id: str | None, amount: int | None, field: str) -> PaymentEvent:
    place, names = delivery.names
    if payment_id is None:
        raise Undecodable("data.object.payment_intent", "is missing")
    money = delivery.money(amount, field)
    return purchase(names, place, delivery.body, payment_id=payment_id, **money)


def _intent(delivery: _Delivery) -> PaymentEvent:
    return _bought(delivery, delivery.object.id, delivery.object.amount_received, "amount_received")


def _session(delivery: _Delivery) -> PaymentEvent:
    session = delivery.object
    if session.mode not in {"payment", None} or session.payment_status != "paid":
        # Nothing was captured (yet). A slow payment method tells of it by async_payment_succeeded.
        return delivery.notice(session.payment_intent)
    return _bought(delivery, session.payment_intent, session.amount_total, "amount_total")


def _attempt(delivery: _Delivery, state: str) -> PaymentEvent:
    is_session = delivery.name.startswith("checkout.")
    return delivery.notice(delivery.payment_id if is_session else delivery.object.id, state=state)


def _charge_refunded(delivery: _Delivery) -> PaymentEvent:
    charge = delivery.object
    payment_id = charge.payment_intent or charge.id
    if charge.captured is False:
        return delivery.notice(payment_id, state="returned")
    money = delivery.money(charge.amount_refunded, "amount_refunded")
    places = {"amount": "data.object.amount_refunded", "currency": "data.object.currency"}
    return event(RefundReported, places, payment_id=payment_id, student_id=delivery.student, **money)


def _refund(delivery: _Delivery) -> PaymentEvent:
    refund = delivery.object
    if refund.status != "succeeded":
        failed = refund.status in {"failed", "canceled"}
        return delivery.notice(delivery.payment_id, failed_refund_id=refund.id if failed else None)
    return event(
        RefundReported,
        {"amount": "data.object.amount", "payment_id": "data.object.payment_intent"},
        payment_id=delivery.payment_id,
        refund_id=refund.id,
        student_id=delivery.student,
        **delivery.money(refund.amount, "amount"),
    )


def _dispute(delivery: _Delivery) -> PaymentEvent:
    dispute = delivery.object
    status = DISPUTES.get(dispute.status or "")
    if status is None:
        return delivery.notice(delivery.payment_id)
    return event(
        PaymentDisputed,
        {"amount": "data.object.amount", "payment_id": "data.object.payment_intent"},
        payment_id=delivery.payment_id,
        dispute_id=dispute.id,
        student_id=delivery.student,
        status=status,
        **delivery.money(dispute.amount, "amount"),
    )


EVENTS: Final[Mapping[str, Callable[[_Delivery], PaymentEvent]]] = {
    "payment_intent.succeeded": _intent,
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "payment_intent.amount_capturable_updated": partial(_attempt, state="authorized"),
    "payment_intent.payment_failed": partial(_attempt, state="failed"),
    "payment_intent.canceled": partial(_attempt, state="returned"),
    "checkout.session.async_payment_failed": partial(_attempt, state="failed"),
    "charge.refunded": _charge_refunded,
    "refund.created": _refund,
    "refund.updated": _refund,
    "refund.failed": _refund,
    "charge.refund.updated": _refund,
    "charge.dispute.created": _dispute,
    "charge.dispute.updated": _dispute,
    "charge.dispute.closed": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
}
"""Event type to what it means here; any other type is kept as a mark and answered ``ignored``."""

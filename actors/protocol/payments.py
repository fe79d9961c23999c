"""Payment events in: what arrives on the topic ``payment-events`` and, translated, from the providers' webhooks.

Identity is ``(provider, payment_id)``, never the delivery: two event ids for one payment are one purchase.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias, TypeVar, get_args
from uuid import UUID

import msgspec
from msgspec import Meta

from actors.protocol.ids import purchase_id
from actors.protocol.undecodable import Undecodable, refuse_text_postgres_cannot_hold

AMOUNT_MINOR_MAX = 2**53 - 1
"""Largest amount: what a JavaScript reader of our events can still hold exactly."""

KEY_CHARS_MAX: Final = 255

Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=KEY_CHARS_MAX, pattern=r"^[^\x00]+$")]
"""An identifier of the outside: a provider's payment id, event id, order id."""

CheckedKey: TypeAlias = Annotated[str, Meta(min_length=1, max_length=KEY_CHARS_MAX)]
"""A :data:`Key` of a message that is searched for NUL characters as a whole: a pattern costs 0.3 µs for each field."""

Provider: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
AmountMinor: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)]
RefundMinor: TypeAlias = Annotated[int, Meta(ge=1, le=AMOUNT_MINOR_MAX)]
Currency: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Tier: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]

_Event = TypeVar("_Event")


class PaymentSucceeded(
    msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type", tag="PAYMENT_SUCCEEDED"
):
    """A provider captured money for one course.

    ``tier`` is the number of sessions bought, ``amount`` is in minor units of ``currency``, ``occurred_at`` is the
    provider's time of capture.
    """

    event_id: CheckedKey
    provider: Provider = "kc"
    payment_id: CheckedKey
    student_id: UUID
    course_id: UUID
    tier: Tier
    amount: AmountMinor
    currency: Currency
    order_id: CheckedKey | None = None
    occurred_at: Moment


class PaymentRefunded(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="PAYMENT_REFUNDED"):
    """A provider paid ``amount`` minor units of a payment back. Identity is ``(provider, refund_id)``."""

    event_id: CheckedKey
    provider: Provider = "kc"
    payment_id: CheckedKey
    refund_id: CheckedKey
    student_id: UUID
    amount: RefundMinor
    currency: Currency
    occurred_at: Moment


class RefundReported(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="REFUND_REPORTED"):
    """A provider's word about money given back, where it does not name the student or speaks of the sum so far.

    With ``refund_id``, ``amount`` is that refund's; without, it is everything that the payment has given back by now,
    so that two partial refunds are two statements. Both may come for one refund, in any order: it counts once.
    """

    event_id: Key
    provider: Provider
    payment_id: Key
    refund_id: Key | None = None
    student_id: UUID | None = None
    amount: RefundMinor
    currency: Currency
    occurred_at: Moment


class PaymentDisputed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="PAYMENT_DISPUTED"):
    """The payer's bank disputes a payment, or has decided. Identity is ``(provider, dispute_id)``.

    ``open`` holds the purchase, ``won`` restores it, ``lost`` ends its access; it only goes forward in this order.
    """

    event_id: Key
    provider: Provider
    payment_id: Key
    dispute_id: Key
    student_id: UUID | None = None
    status: Literal["open", "won", "lost"]
    amount: AmountMinor
    currency: Currency
    occurred_at: Moment


class PaymentNoticed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="PAYMENT_NOTICED"):
    """Something that a provider told and that makes no purchase; kept as a mark.

    ``name`` is the provider's own type. ``state`` is what the payment has come to, if it was about one: ``partial`` is
    a part of an order. ``failed_refund_id`` is a refund that was not carried out after all.
    """

    event_id: Key
    provider: Provider
    name: Key
    payment_id: Key | None = None
    student_id: UUID | None = None
    state: Literal["failed", "authorized", "returned", "partial"] | None = None
    failed_refund_id: Key | None = None


class PaymentUnnamed(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="PAYMENT_UNNAMED"):
    """A provider captured money, and this event of it does not say who bought what.

    Another event about the same payment may have said so, or may say so yet. Until then the event is parked, with
    ``field`` and ``reason`` for a person and ``body``, the bytes that the provider sent. ``amount`` is in minor units.
    """

    event_id: Key
    provider: Provider
    payment_id: Key
    student_id: UUID | None = None
    order_id: Key | None = None
    amount: AmountMinor | None = None
    field: str
    reason: str
    body: bytes


PaymentEvent: TypeAlias = (
    PaymentSucceeded | PaymentRefunded | RefundReported | PaymentDisputed | PaymentNoticed | PaymentUnnamed
)
"""What goes through the house. From the topic and our own platform's webhook only the first two may come."""

KINDS: Final = frozenset(str(kind.__struct_config__.tag) for kind in get_args(PaymentEvent))
"""The words in ``type`` that are ours."""

_decoder: msgspec.json.Decoder[PaymentSucceeded | PaymentRefunded] = msgspec.json.Decoder(
    PaymentSucceeded | PaymentRefunded
)
_decoder_of_kept: msgspec.json.Decoder[PaymentEvent] = msgspec.json.Decoder(PaymentEvent)


def decode_payment(raw: bytes) -> PaymentSucceeded | PaymentRefunded:
    """Read one payment event from its JSON bytes; unknown fields are ignored.

    Raises:
        Undecodable: with the field and the reason, for anything that cannot become a purchase or a refund.
    """
    return _decode(_decoder, raw)


def decode_kept(raw: bytes) -> PaymentEvent:
    """Read what was parked as an event of any kind, for a retry.

    Raises:
        Undecodable: as :func:`decode_payment`.
    """
    return _decode(_decoder_of_kept, raw)


def _decode(decoder: msgspec.json.Decoder[_Event], raw: bytes) -> _Event:
    try:
        event = decoder.decode(raw)
        refuse_text_postgres_cannot_hold(raw)
    except msgspec.ValidationError as error:
        raise Undecodable.from_validation(error) from error
    except msgspec.DecodeError as error:
        raise Undecodable.from_broken_json(raw, error) from error
    except UnicodeDecodeError as error:
        raise Undecodable("body", f"is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise Undecodable("body", "is nested too deeply") from error
    return event


def payment_key(event: PaymentEvent) -> tuple[str, str]:
    """What makes two deliveries the same payment; a notice about none stands for itself."""
    return (event.provider, event.payment_id or f"event:{event.event_id}")


def lane_key(event: PaymentEvent) -> str:
    """Whose actor takes this event: its student's; where nobody is named, the one that the payment would be called."""
    if event.student_id is None:
        return purchase_id(*payment_key(event))
    # str() of a UUID is made in Python: 0.6 µs in place of 0.2, for each delivery.
    student: str = msgspec.to_builtins(event.student_id)
    return student

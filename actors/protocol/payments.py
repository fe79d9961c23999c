"""Payment events in: what arrives on the topic ``payment-events`` and, translated, from the providers' webhooks.

Identity is ``(provider, payment_id)``, never the delivery: two event ids for one payment are one purchase.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from actors.protocol.undecodable import Undecodable, refuse_text_postgres_cannot_hold

AMOUNT_MINOR_MAX = 2**53 - 1
"""Largest amount: what a JavaScript reader of our events can still hold exactly."""

Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]+$")]
"""An identifier of the outside: a provider's payment id, event id, order id."""

Provider: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
AmountMinor: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)]
Currency: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Z]{3}$")]
Tier: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]


class PaymentSucceeded(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="PAYMENT_SUCCEEDED"):
    """A provider captured money for one course.

    ``tier`` is the number of sessions bought, ``amount`` is in minor units of ``currency``, ``occurred_at`` is the
    provider's time of capture.
    """

    event_id: Key
    provider: Provider = "kc"
    payment_id: Key
    student_id: UUID
    course_id: UUID
    tier: Tier
    amount: AmountMinor
    currency: Currency
    order_id: Key | None = None
    occurred_at: Moment


class PaymentRefunded(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="PAYMENT_REFUNDED"):
    """A provider paid ``amount`` minor units of a payment back. Identity is ``(provider, refund_id)``."""

    event_id: Key
    provider: Provider = "kc"
    payment_id: Key
    refund_id: Key
    student_id: UUID
    amount: Annotated[int, Meta(ge=1, le=AMOUNT_MINOR_MAX)]
    currency: Currency
    occurred_at: Moment


PaymentEvent: TypeAlias = PaymentSucceeded | PaymentRefunded

_decoder: msgspec.json.Decoder[PaymentEvent] = msgspec.json.Decoder(PaymentSucceeded | PaymentRefunded)


def decode_payment(raw: bytes) -> PaymentEvent:
    """Read one payment event from its JSON bytes; unknown fields are ignored.

    Raises:
        Undecodable: with the field and the reason, for anything that cannot become a purchase or a refund.
    """
    try:
        event = _decoder.decode(raw)
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
    """What makes two deliveries the same payment."""
    return (event.provider, event.payment_id)

"""Payment events made of what stands in the database: the same message that the payment once was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.protocol.payments import PaymentSucceeded


def payment_event(row: Sequence[Any], cause: str) -> PaymentSucceeded:
    """An event from ``provider payment_id student_id course_id tier amount currency order_id captured_at``.

    ``cause`` goes into the event's id, so that the mark says who brought it; one cause brings a payment under one id.
    """
    provider, payment_id, student_id, course_id, tier, amount, currency, order_id, at = row[:9]
    return PaymentSucceeded(
        event_id=f"{cause}:{payment_id}"[:255],
        provider=provider,
        payment_id=payment_id,
        student_id=student_id,
        course_id=course_id,
        tier=tier,
        amount=amount,
        currency=currency,
        order_id=order_id,
        occurred_at=at,
    )

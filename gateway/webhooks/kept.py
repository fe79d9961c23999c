"""Reading parked bytes again, for a retry: one of our own events, or a provider's body as it came or was corrected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from actors.protocol.payments import KINDS, PaymentEvent, decode_kept
from gateway.webhooks import razorpay, stripe
from gateway.webhooks.provider import loose_text


def _razorpay(body: bytes, event_id: str | None) -> PaymentEvent:
    return razorpay.translate(body, event_id or f"body:{sha256(body).hexdigest()}")


def _stripe(body: bytes, _event_id: str | None) -> PaymentEvent:
    return stripe.translate(body)


BODIES: Final[Mapping[str, Callable[[bytes, str | None], PaymentEvent]]] = {
    "razorpay": _razorpay,
    "stripe": _stripe,
}
"""Provider to the reader of its bodies. Signatures and times were checked when they came, and are not asked again."""


def read_kept(provider: str | None, event_id: str | None, payload: bytes) -> PaymentEvent:
    """What was parked, as an event. ``provider`` and ``event_id`` are those of the parked row.

    Raises:
        Undecodable: naming the field.
    """
    read_body = BODIES.get(provider or "")
    if read_body is None or loose_text(payload, "type") in KINDS:
        return decode_kept(payload)
    return read_body(payload, event_id)

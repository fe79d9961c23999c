"""Our own platform's webhook: the payment event itself as its body.

It is signed ``KC-Signature: t=<unix seconds>,v1=<hex hmac-sha256 of "t.body">``.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from actors.protocol.payments import PaymentEvent, decode_payment
from gateway.webhooks.provider import BadSignature, Secrets, loose_text

HEADER: Final = "kc-signature"
SIGNATURES_MAX: Final = 5
"""Signatures in one header: one for each secret while secrets are rotated."""


class KcProvider:
    """See the module's text. Several secrets may be valid at once, so that they can be changed without a gap."""

    name = "kc"

    def __init__(self, secrets: Sequence[str], *, tolerance_s: int = 300) -> None:
        self._secrets, self._tolerance_s = Secrets(secrets), tolerance_s

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        signed_at, signatures = _parse(headers.get(HEADER, ""))
        if abs(now - signed_at) > self._tolerance_s:
            raise BadSignature("The signature's time is more than five minutes from now.")
        if not self._secrets.signed(b"%d.%b" % (signed_at, body), signatures):
            raise BadSignature("The signature does not match the body.")

    def translate(self, _headers: Mapping[str, str], body: bytes) -> PaymentEvent:
        return decode_payment(body)

    def event_id(self, _headers: Mapping[str, str], body: bytes) -> str | None:
        return loose_text(body, "event_id")


def sign(secret: str, body: bytes, now: int) -> str:
    """The value of ``KC-Signature`` for ``body`` at Unix time ``now``: what the platform computes before it sends."""
    digest = hmac.new(secret.encode(), b"%d.%b" % (now, body), sha256).hexdigest()
    return f"t={now},v1={digest}"


def _parse(header: str) -> tuple[int, list[str]]:
    moments: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        key, _, value = part.strip().partition("=")
        if key == "t":
            moments.append(value)
        elif key == "v1":
            signatures.append(value)
    if len(moments) != 1 or not signatures or len(signatures) > SIGNATURES_MAX:
        raise BadSignature("KC-Signature must be t=<unix seconds>,v1=<hex>.")
    moment = moments[0]
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 12 and str(int(moment)) == moment):
        raise BadSignature("The signature's time is no Unix time.")
    return int(moment), signatures

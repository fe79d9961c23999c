"""Bodies as the providers send them, as far as anybody reads them."""

import json
from typing import Any


def razorpay(name: str, **entities: dict[str, Any]) -> bytes:
    return json.dumps(
        {
            "entity": "event",
            "account_id": "acc_1",
            "event": name,
            "contains": list(entities),
            "payload": {kind: {"entity": entity} for kind, entity in entities.items()},
            "created_at": 1_700_000_000,
        }
    ).encode()


def razorpay_payment(notes: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "pay_1",
        "entity": "payment",
        "amount": 500,
        "currency": "INR",
        "status": "captured",
        "order_id": None,
        "captured": True,
        "method": "upi",
        "notes": notes,
    } | changes


def stripe(name: str, *, created: int = 1_700_000_000, event_id: str = "evt_1", **members: Any) -> bytes:
    return json.dumps(
        {
            "id": event_id,
            "object": "event",
            "api_version": "2026-01-28",
            "created": created,
            "type": name,
            "data": {"object": members},
        }
    ).encode()


def intent(metadata: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 500,
        "amount_received": 500,
        "currency": "inr",
        "status": "succeeded",
        "metadata": metadata,
    } | changes


def session(metadata: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid",
        "payment_intent": "pi_1",
        "amount_total": 500,
        "currency": "inr",
        "metadata": metadata,
    } | changes

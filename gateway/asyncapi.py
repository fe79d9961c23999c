"""``/asyncapi.json``: WebSocket, Kafka and Redis in one document, generated from the frames and the events."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from actors.doorbell import REVOKE_CHANNEL
from actors.protocol.events import EVENT_TYPES
from actors.protocol.payments import PaymentRefunded, PaymentSucceeded
from gateway import frames
from gateway.closing import CLOSE_TABLE
from gateway.documents import REF, VERSION, encode, schemas
from gateway.shapes import Envelope

CLIENT_FRAMES: Final = (frames.Connect, frames.Ack, frames.Pong, frames.Sync, frames.Refresh)
SERVER_FRAMES: Final = (
    frames.Connected,
    frames.CaughtUpFrame,
    frames.ResetFrame,
    frames.Ping,
    frames.Refreshed,
    frames.GoingAway,
    frames.Status,
    frames.Refusal,
)


@cache
def asyncapi() -> bytes:
    """AsyncAPI 3.0: WebSocket, Kafka and Redis in one document."""
    envelopes = {f"business-event.{name}": _event_message(name) for name in EVENT_TYPES}
    facts = {f"fact.{name}": _fact_message(name) for name in EVENT_TYPES}
    payments = {str(_tag(kind)): _message(kind) for kind in (PaymentSucceeded, PaymentRefunded)}
    client = {str(_tag(kind)): _message(kind) for kind in CLIENT_FRAMES}
    server = {str(_tag(kind)): _message(kind) for kind in SERVER_FRAMES}
    revoke = {"revoke": {"payload": {"type": "string", "format": "uuid"}, "summary": "A student id."}}
    channels = {
        "screen": _channel("/ws", {**client, **server, **envelopes}, "websocket"),
        "payment-events": _channel("payment-events", payments, "kafka"),
        "business-events": _channel("business-events", facts, "kafka"),
        "doorbell": _channel("student:{student_id}", envelopes, "redis"),
        "revoke": _channel(REVOKE_CHANNEL, revoke, "redis"),
    }
    channels["doorbell"]["parameters"] = {"student_id": {"description": "uuid, lower case"}}
    channels["screen"]["bindings"] = {"ws": {"method": "GET"}}
    channels["screen"]["x-subprotocols"] = [frames.SUBPROTOCOL, frames.BEARER_PREFIX + "<jwt>"]
    channels["screen"]["x-close-codes"] = [msgspec.to_builtins(row) for row in CLOSE_TABLE]
    every = {**client, **server, **envelopes, **facts, **payments, **revoke}
    return encode(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": "kcactors",
                "version": VERSION,
                "description": "Payments in, business events out.",
            },
            "servers": {
                "websocket": {
                    "host": "localhost:8000",
                    "protocol": "ws",
                    "description": "wss behind a proxy",
                },
                "kafka": {"host": "localhost:9092", "protocol": "kafka"},
                "redis": {"host": "localhost:6379", "protocol": "redis"},
            },
            "channels": channels,
            "operations": {
                "hear": _does("receive", "screen", client),
                "tell": _does("send", "screen", {**server, **envelopes}),
                "takePayments": _does("receive", "payment-events", payments),
                "publish": _does("send", "business-events", facts),
                "ring": _does("send", "doorbell", envelopes),
                "revoke": _does("receive", "revoke", revoke),
            },
            "components": {
                "messages": every,
                "schemas": schemas(
                    *CLIENT_FRAMES,
                    *SERVER_FRAMES,
                    Envelope,
                    PaymentSucceeded,
                    PaymentRefunded,
                    *EVENT_TYPES.values(),
                ),
            },
        }
    )


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _message(kind: type[msgspec.Struct]) -> dict[str, Any]:
    summary = (kind.__doc__ or "").strip().splitlines()[0]
    return {"name": _tag(kind), "summary": summary, "payload": {"$ref": REF.format(name=kind.__name__)}}


def _event_message(name: str) -> dict[str, Any]:
    data = {"$ref": REF.format(name=EVENT_TYPES[name].__name__)}
    narrowed = {"properties": {"event": {"const": name}, "data": data}}
    return {"name": name, "payload": {"allOf": [{"$ref": REF.format(name=Envelope.__name__)}, narrowed]}}


def _fact_message(name: str) -> dict[str, Any]:
    headers = (
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_time",
        "ce_subject",
        "ce_sequence",
        "content-type",
    )
    properties: dict[str, Any] = {header: {"type": "string"} for header in headers}
    properties["ce_type"] = {"const": name}
    return {
        "name": name,
        "summary": "CloudEvents 1.0, binary mode; the key is the student id.",
        "headers": {"type": "object", "properties": properties, "required": list(headers)},
        "payload": {"$ref": REF.format(name=EVENT_TYPES[name].__name__)},
    }


def _channel(address: str, messages: dict[str, Any], server: str) -> dict[str, Any]:
    return {
        "address": address,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _does(action: str, channel: str, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }

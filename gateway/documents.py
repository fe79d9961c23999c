"""``/openapi.json`` and ``/asyncapi.json``, generated from the types that the code reads and writes with."""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from actors.doorbell import REVOKE_CHANNEL
from actors.protocol.events import EVENT_TYPES
from actors.protocol.payments import PaymentRefunded, PaymentSucceeded
from gateway import frames
from gateway.closing import CLOSE_TABLE
from gateway.shapes import (
    Envelope,
    EventsPage,
    HomeView,
    LearningView,
    ProblemDocument,
    Readiness,
    WebhookAnswer,
)

VERSION: Final = "1"
REF: Final = "#/components/schemas/{name}"
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


class Operation(NamedTuple):
    """One HTTP operation. ``answers`` maps a status to a type, a media type, or None for a problem document."""

    method: str
    path: str
    name: str
    summary: str
    answers: dict[int, type | str | None]
    query: dict[str, tuple[str, dict[str, Any]]] = {}  # noqa: RUF012 - never written
    body: bool = False
    open: bool = False


SEQ_QUERY: Final = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
READ_FAILS: Final[dict[int, type | str | None]] = {400: None, 401: None, 403: None, 404: None, 503: None}
STUDENT: Final = "/api/v1/students/{student_id}"

OPERATIONS: Final = (
    Operation(
        "post",
        "/api/v1/webhooks/{provider}",
        "webhook",
        "Take a provider's signed event; answered when it stands in the database.",
        {200: WebhookAnswer, 400: None, 404: None, 413: None, 503: None},
        body=True,
        open=True,
    ),
    Operation(
        "get",
        STUDENT + "/learning",
        "learning",
        "What the student owns; never older than `min_seq`.",
        {200: LearningView, **READ_FAILS},
        {"min_seq": ("the view must be at least this new; waits up to 2 s for it", SEQ_QUERY)},
    ),
    Operation("get", STUDENT + "/home", "home", "The short view.", {200: HomeView, **READ_FAILS}),
    Operation(
        "get",
        STUDENT + "/events",
        "events",
        "The event log after a place; with `wait` a long poll.",
        {200: EventsPage, 409: None, 429: None, **READ_FAILS},
        {
            "after": ("events after this one", SEQ_QUERY),
            "wait": (
                "seconds to wait for the next event",
                {"type": "integer", "minimum": 0, "maximum": 3600},
            ),
            "limit": ("events in this page", {"type": "integer", "minimum": 1, "maximum": 500}),
        },
    ),
    Operation(
        "get",
        STUDENT + "/stream",
        "stream",
        "The event log as server-sent events; `Last-Event-ID` or `since` resume.",
        {200: "text/event-stream", 429: None, **READ_FAILS},
        {
            "since": ("epoch:seq, as `Last-Event-ID`", {"type": "string", "pattern": r"^.{0,32}:\d{1,16}$"}),
            "after": ("the same without an epoch", SEQ_QUERY),
        },
    ),
    Operation("get", "/healthz", "healthz", "Alive.", {200: "application/json"}, open=True),
    Operation(
        "get", "/readyz", "readyz", "Ready, and what is degraded.", {200: Readiness, 503: None}, open=True
    ),
    Operation("get", "/metrics", "metrics", "Prometheus metrics.", {200: "text/plain"}, open=True),
)


@cache
def openapi() -> bytes:
    """OpenAPI 3.1 of the public HTTP routes."""
    kinds = {
        kind for operation in OPERATIONS for kind in operation.answers.values() if isinstance(kind, type)
    }
    payments = (PaymentSucceeded, PaymentRefunded)
    ordered = sorted(kinds | {ProblemDocument, *payments}, key=lambda kind: kind.__name__)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return _encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "kcactors",
                "version": VERSION,
                "description": "Payments in, courses on the screen.",
            },
            "security": [{"bearer": []}],
            "paths": paths,
            "components": {
                "schemas": _schemas(*ordered),
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "query", "required": False, "description": text, "schema": schema}
        for name, (text, schema) in operation.query.items()
    ]
    if "{student_id}" in operation.path:
        uuid = {"type": "string", "format": "uuid"}
        parameters.append(
            {"name": "student_id", "in": "path", "required": True, "description": "", "schema": uuid}
        )
    if "{provider}" in operation.path:
        names = {"type": "string", "enum": ["kc", "razorpay", "stripe"]}
        parameters.append(
            {"name": "provider", "in": "path", "required": True, "description": "", "schema": names}
        )
    document: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            str(status): _answer(status, kind) for status, kind in sorted(operation.answers.items())
        },
    }
    if operation.body:
        document["requestBody"] = {
            "required": True,
            "description": "The raw body that the provider signed; for `kc` a payment event.",
            "content": {"application/json": {"schema": {}}},
        }
        document["x-payment-events"] = [
            {"$ref": REF.format(name=kind.__name__)} for kind in (PaymentSucceeded, PaymentRefunded)
        ]
    if operation.open:
        document["security"] = []
    return document


def _answer(status: int, kind: type | str | None) -> dict[str, Any]:
    if kind is None:
        schema = {"$ref": REF.format(name=ProblemDocument.__name__)}
        answer: dict[str, Any] = {
            "description": "refused",
            "content": {"application/problem+json": {"schema": schema}},
        }
        if status in {429, 503}:
            answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
        return answer
    if isinstance(kind, str):
        return {"description": "done", "content": {kind: {"schema": {}}}}
    return {
        "description": "done",
        "content": {"application/json": {"schema": {"$ref": REF.format(name=kind.__name__)}}},
    }


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
    return _encode(
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
                "schemas": _schemas(
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


def _schemas(*kinds: type) -> dict[str, Any]:
    _, schemas = msgspec.json.schema_components(kinds, ref_template=REF)
    for kind in EVENT_TYPES.values():
        # The event's name stands in the envelope and in a Kafka header, not in its data.
        schema = schemas.get(kind.__name__)
        if schema is not None:
            schema["properties"].pop("event", None)
            schema["required"] = [name for name in schema["required"] if name != "event"]
    return schemas


def _encode(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(document)

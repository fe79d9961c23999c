"""The one text of an event: on Redis and on the WebSocket it is the same bytes, on Kafka the same facts.

It is a pure function of the event's row and the epoch, so that a replay from the log cannot differ from the live frame.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from actors.protocol.events import SCHEMA

CHANNEL_PREFIX = "student:"


class LoggedEvent(msgspec.Struct, frozen=True, array_like=True):
    """One row of the event log. ``data`` is JSON as the database wrote it; ``created_at`` is aware."""

    event_id: str
    student_id: str
    seq: int
    type: str
    purchase_id: str
    correlation_id: str
    data: msgspec.Raw
    created_at: datetime


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=1_024)
def moment(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, the form of every time that we send.

    Kept for a while, since the events of a commit share their time, and each is written for Redis and for Kafka.
    """
    text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text[:-6] + "Z"


def channel(student_id: str) -> str:
    """The Redis Pub/Sub channel of a student."""
    return CHANNEL_PREFIX + student_id


def envelope_text(row: LoggedEvent, epoch: str) -> bytes:
    """The JSON text of the Redis message and of the WebSocket frame."""
    correlation = _encode(row.correlation_id)
    return (
        b'{"type":"business-event","seq":%d,"epoch":%b,"id":"%b","event":"%b","student_id":"%b","ts":"%b",'
        b'"correlation_id":%b,"schema":%d,"data":%b}'
        % (
            row.seq,
            _encode(epoch),
            row.event_id.encode(),
            row.type.encode(),
            row.student_id.encode(),
            moment(row.created_at).encode(),
            correlation,
            SCHEMA,
            bytes(row.data),
        )
    )


def kafka_headers(row: LoggedEvent) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0, binary mode. ``ce_sequence`` sorts as text, hence its 20 digits."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", row.event_id.encode()),
        ("ce_source", b"/kcactors/student/" + row.student_id.encode()),
        ("ce_type", row.type.encode()),
        ("ce_time", moment(row.created_at).encode()),
        ("ce_subject", row.purchase_id.encode()),
        ("ce_sequence", b"%020d" % row.seq),
        ("content-type", b"application/json"),
    ]

"""Business events for the producers' tests."""

import uuid
from datetime import UTC, datetime

import msgspec

from actors.protocol.envelope import LoggedEvent

STUDENT = "00000000-0000-4000-8000-000000000001"


def event(seq: int, student: str = STUDENT, *, size: int = 100) -> LoggedEvent:
    """One event whose data are about so many bytes."""
    data = msgspec.Raw(msgspec.json.encode({"filling": "x" * size}))
    return LoggedEvent(
        str(uuid.uuid4()),
        student,
        seq,
        "PURCHASE_CREATED",
        str(uuid.uuid4()),
        "pay-1",
        data,
        datetime.now(UTC),
    )

"""Rows of the database as the protocol's structures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actors.protocol.envelope import LoggedEvent


def logged_event(row: Sequence[Any]) -> LoggedEvent:
    """An event from its columns ``event_id student_id seq type purchase_id correlation_id data created_at``."""
    event_id, student_id, seq, kind, purchase_id, correlation_id, data, created_at = row
    return LoggedEvent(
        event_id, student_id, seq, kind, purchase_id, correlation_id, msgspec.Raw(data.encode()), created_at
    )

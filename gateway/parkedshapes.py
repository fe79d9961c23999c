"""What the routes of parked messages take and answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

State: TypeAlias = Literal["open", "resolved", "discarded"]


class ParkedRow(msgspec.Struct, frozen=True):
    """One message that could not be done. Messages of one ``group`` failed alike; ``field`` is the one to correct."""

    id: int
    state: State
    group: str
    stage: str
    reason: str
    field: str | None
    provider: str | None
    event_id: str | None
    payment_id: str | None
    student_id: str | None
    attempts: int
    first_at: datetime
    last_at: datetime
    resolved_by: str | None
    resolution: str | None


class ParkedMessage(ParkedRow, frozen=True):
    """A row with its bytes: as JSON where they are JSON, else as text, else in hex. ``origin``: where it came from."""

    origin: Any
    payload: Any | UnsetType = UNSET
    payload_text: str | UnsetType = UNSET
    payload_hex: str | UnsetType = UNSET


class ParkedGroup(msgspec.Struct, frozen=True):
    """Messages that failed alike."""

    group: str
    count: int
    attempts: int
    oldest: datetime
    newest: datetime


class ParkedPage(msgspec.Struct, frozen=True):
    """Rows of one state, newest first, and how all of that state fall into groups; ``next`` goes on, as ``before``."""

    parked: list[ParkedRow]
    groups: list[ParkedGroup]
    next: int | None


class DiscardReason(msgspec.Struct, frozen=True):
    """Body of a discard: why nobody will miss the message."""

    reason: Annotated[str, Meta(min_length=1, max_length=2_000, pattern=r"\S")]

"""Business events out: what our own and other services may rely on (contract, section 5)."""

from __future__ import annotations

from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

SessionsTotal: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]


class PurchaseCreated(msgspec.Struct, frozen=True, tag_field="event", tag="PURCHASE_CREATED"):
    """A captured payment became a purchase. ``amount`` is in minor units, ``tier`` in sessions."""

    purchase_id: UUID
    payment_id: str
    course_id: UUID
    tier: int
    amount: int
    currency: str


class CoursePurchased(msgspec.Struct, frozen=True, tag_field="event", tag="COURSE_PURCHASED"):
    """The student did not own this course before (no other unrefunded purchase of it)."""

    purchase_id: UUID
    course_id: UUID
    course_title: str
    tier: int


class CourseAccessGranted(msgspec.Struct, frozen=True, tag_field="event", tag="COURSE_ACCESS_GRANTED"):
    """A trainer was allocated; the student may book ``sessions_total`` sessions."""

    purchase_id: UUID
    allocation_id: UUID
    course_id: UUID
    trainer_id: UUID
    trainer_name: str
    sessions_total: SessionsTotal


class AllocationWaitlisted(msgspec.Struct, frozen=True, tag_field="event", tag="ALLOCATION_WAITLISTED"):
    """No trainer of the course has room; the longest waiting is served first when one has."""

    purchase_id: UUID
    allocation_id: UUID
    course_id: UUID


class PurchaseRefunded(msgspec.Struct, frozen=True, tag_field="event", tag="PURCHASE_REFUNDED"):
    """Money went back. ``refunded`` is the sum of all refunds so far, ``status`` what that makes of the purchase."""

    purchase_id: UUID
    payment_id: str
    refunded: int
    status: str


class CourseAccessRevoked(msgspec.Struct, frozen=True, tag_field="event", tag="COURSE_ACCESS_REVOKED"):
    """The trainer's place is given back."""

    purchase_id: UUID
    allocation_id: UUID
    course_id: UUID


class SessionsPlanned(msgspec.Struct, frozen=True, tag_field="event", tag="SESSIONS_PLANNED"):
    """The plan of sessions of an allocated purchase stands."""

    purchase_id: UUID
    sessions_total: SessionsTotal


BusinessEvent: TypeAlias = (
    PurchaseCreated
    | CoursePurchased
    | CourseAccessGranted
    | AllocationWaitlisted
    | PurchaseRefunded
    | CourseAccessRevoked
    | SessionsPlanned
)

EVENT_TYPES: dict[str, type[msgspec.Struct]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        PurchaseCreated,
        CoursePurchased,
        CourseAccessGranted,
        AllocationWaitlisted,
        PurchaseRefunded,
        CourseAccessRevoked,
        SessionsPlanned,
    )
}
"""Event type on the wire to the struct of its ``data``, in the order in which one change emits them."""

SCHEMA = 1
"""Version of the shapes above, sent in every envelope."""

KAFKA = "kafka"
REDIS = "redis"
WEBSOCKET = "websocket"

SINKS: dict[str, frozenset[str]] = dict.fromkeys(EVENT_TYPES, frozenset({KAFKA, REDIS, WEBSOCKET}))
"""The declared route of every event type. The original failure was an event that reached one sink and not another."""

"""What the HTTP routes answer, as types: the documents are generated from them and the tests read answers with them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from actors.protocol.outcome import Outcome
from gateway.frames import Epoch, Seq


class WebhookAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the event; it stands in the database. ``detail`` names the field or the reason."""

    outcome: Outcome
    purchase_id: UUID | None = None
    detail: str | None = None


class ProblemDocument(msgspec.Struct, frozen=True):
    """RFC 9457. ``code`` is the stable word for programs."""

    type: str
    title: str
    status: int
    code: str
    detail: str


class TrainerView(msgspec.Struct, frozen=True):
    """Who teaches."""

    trainer_id: UUID
    name: str


class PurchaseView(msgspec.Struct, frozen=True):
    """One purchase of a course; ``tier`` is the number of sessions bought."""

    purchase_id: UUID
    tier: int
    status: Literal["paid", "partly_refunded", "refunded", "on_hold", "revoked"]
    created_at: datetime


class CourseView(msgspec.Struct, frozen=True):
    """One course of a student."""

    course_id: UUID
    title: str
    status: str
    purchases: list[PurchaseView]
    trainer: TrainerView | None
    sessions_total: int | None
    sessions_left: int | None


class LearningView(msgspec.Struct, frozen=True):
    """What the student owns, as of ``as_of_seq``: the stream goes on at the next one."""

    student_id: UUID
    as_of_seq: Seq
    epoch: Epoch
    courses: list[CourseView]


class Counts(msgspec.Struct, frozen=True):
    """Figures of the short view."""

    courses: int
    purchases: int
    waitlisted: int
    sessions_left: int


class NewestPurchase(msgspec.Struct, frozen=True):
    """The purchase made last."""

    purchase_id: UUID
    course_id: UUID
    title: str
    tier: int
    status: str
    created_at: datetime


class NextSession(msgspec.Struct, frozen=True):
    """What comes next: session ``number`` of ``of``."""

    course_id: UUID
    title: str
    trainer: TrainerView
    number: int
    of: int


class HomeView(msgspec.Struct, frozen=True):
    """The short view."""

    student_id: UUID
    as_of_seq: Seq
    epoch: Epoch
    counts: Counts
    newest_purchase: NewestPurchase | None
    next_session: NextSession | None


class Envelope(msgspec.Struct, frozen=True, tag_field="type", tag="business-event"):
    """One business event, the same text on Redis and on every screen. ``correlation_id`` is the payment's id."""

    seq: Annotated[int, Meta(ge=1)]
    epoch: Epoch
    id: UUID
    event: str
    student_id: UUID
    ts: datetime
    correlation_id: str
    schema: int
    data: dict[str, Any]


class EventsPage(msgspec.Struct, frozen=True):
    """A piece of the log. ``next`` is the ``after`` of the following piece, or null when this was the last."""

    epoch: Epoch
    head: Seq
    events: list[Envelope]
    next: int | None


class Readiness(msgspec.Struct, frozen=True):
    """The node takes requests; ``degraded`` names what it does without."""

    status: Literal["ready", "degraded"]
    degraded: list[str]
    node: str

"""What the actors say to each other about one payment, from its source to its answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from actors.protocol.outcome import Settled, Source
from actors.protocol.payments import (
    PaymentDisputed,
    PaymentEvent,
    PaymentNoticed,
    PaymentRefunded,
    PaymentSucceeded,
    PaymentUnnamed,
    RefundReported,
)
from supervision import ActorRef

EffectKey = tuple[str, str, str]
"""What may happen once: ``(kind, provider, id)``, the id of a payment, a refund, a dispute or a notice."""


class Deliver(msgspec.Struct, frozen=True):
    """A payment event on its way to its student.

    ``insist`` asks for the database even where the student remembers the effect: a memory is no proof, so the
    reconciler, operators and parked retries insist. ``received_s`` is monotonic time at the door.
    """

    event: PaymentEvent
    source: Source
    via: str
    received_s: float
    insist: bool = False
    parked_id: int | None = None


class Write(msgspec.Struct, frozen=True):
    """Student to ledger: put this into the next transaction and tell the student what became of it."""

    deliver: Deliver
    student: ActorRef[Any]


class Written(msgspec.Struct, frozen=True):
    """Ledger to student: this stands (or was refused). ``allocate`` says that an allocation waits to be made."""

    deliver: Deliver
    settled: Settled
    allocate: bool = False


class Park(msgspec.Struct, frozen=True):
    """Intake to ledger: keep what could not be done, with its bytes. ``origin`` says where it came from."""

    stage: str
    reason: str
    field: str | None
    payload: bytes
    source: Source
    provider: str | None = None
    event_id: str | None = None
    payment_id: str | None = None
    student_id: UUID | None = None
    origin: dict[str, str | int] = {}


class Allocate(msgspec.Struct, frozen=True):
    """Find a trainer for this purchase. ``student`` hears of it when there is one to tell."""

    purchase_id: UUID
    student: ActorRef[Any] | None = None


class Allocated(msgspec.Struct, frozen=True):
    """Allocator to student: this allocation was tried; where it could not be decided, its row stays ``requested``."""

    purchase_id: UUID


class ServeWaitlist(msgspec.Struct, frozen=True):
    """Room may have come free: give it to those who wait longest."""


def effect_key(event: PaymentEvent) -> EffectKey:
    """What this event may make happen once."""
    match event:
        case PaymentSucceeded():
            return ("payment", event.provider, event.payment_id)
        case PaymentRefunded():
            return ("refund", event.provider, event.refund_id)
        case RefundReported():
            return ("refund", event.provider, event.refund_id or f"upto:{event.payment_id}:{event.amount}")
        case PaymentDisputed():
            return ("dispute", event.provider, event.dispute_id)
        case PaymentNoticed():
            return ("notice", event.provider, event.event_id)
        case PaymentUnnamed():
            return ("unnamed", event.provider, event.payment_id)

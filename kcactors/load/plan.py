"""What is sent: payments, their duplicates, and the order of deliveries. Pure; the same seed makes the same plan.

A duplicate carries the payment's own event id (the same delivery again) or a fresh one (a second event about the same
payment, as providers send ``payment.captured`` beside ``order.paid``), and takes Kafka or the webhook as chance wills.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

import msgspec

from actors.protocol.ids import NAMESPACE
from actors.protocol.payments import PaymentRefunded, PaymentSucceeded

TIERS = (4, 8, 12, 24)
PRICE_OF_SESSION_MINOR = 50_000
INTERLEAVED_SPAN = 200
"""Deliveries between a payment and its duplicate, at most, in the pattern `interleaved`."""


class Pattern(StrEnum):
    """When a duplicate comes: right after its payment, among others, long after, or many of one at once."""

    IMMEDIATE = "immediate"
    INTERLEAVED = "interleaved"
    LATE = "late"
    STORM = "storm"


class Via(StrEnum):
    """The way into the service."""

    KAFKA = "kafka"
    WEBHOOK = "webhook"


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is made from.

    ``duplicates`` counts deliveries beside the first one, per payment: 1.0 sends each payment twice on average.
    ``zipf`` 0 spreads the payments evenly over the students; above it few students get most of them.
    ``webhook_share`` is the part of the deliveries that goes by webhook, from 0 to 1.
    """

    run: str
    payments: int
    students: int
    duplicates: float = 1.0
    pattern: Pattern = Pattern.INTERLEAVED
    zipf: float = 0.0
    webhook_share: float = 0.0
    seed: int = 1


class Delivery(msgspec.Struct, frozen=True):
    """One message to be sent. ``first`` marks the one from which a payment's latency counts."""

    payment_id: str
    student_id: str
    body: bytes
    via: Via
    first: bool


def students(run: str, count: int) -> list[UUID]:
    """The students of a run; another run has others, so that runs do not meet in one database."""
    return [uuid5(NAMESPACE, f"load:{run}:student:{number}") for number in range(count)]


def payments(shape: Shape, courses: Sequence[UUID], at: datetime) -> list[PaymentSucceeded]:
    """The distinct payments of some of ``courses``, in the order in which they are captured, all ``at`` one time."""
    rng = random.Random(f"{shape.seed}:payments")  # noqa: S311 - reproducible, not secret
    everybody = students(shape.run, shape.students)
    weights = list(itertools.accumulate((rank + 1) ** -shape.zipf for rank in range(len(everybody))))
    return [
        payment(f"{shape.run}-{number:07d}", buyer, rng.choice(courses), rng.choice(TIERS), at)
        for number, buyer in enumerate(rng.choices(everybody, cum_weights=weights, k=shape.payments))
    ]


def payment(payment_id: str, student_id: UUID, course_id: UUID, tier: int, at: datetime) -> PaymentSucceeded:
    """One payment at the price of its tier."""
    return PaymentSucceeded(
        event_id=f"evt-{payment_id}",
        payment_id=payment_id,
        student_id=student_id,
        course_id=course_id,
        tier=tier,
        amount=tier * PRICE_OF_SESSION_MINOR,
        currency="INR",
        order_id=f"order-{payment_id}",
        occurred_at=at,
    )


def refund(of: PaymentSucceeded, number: int, amount: int, at: datetime) -> PaymentRefunded:
    """The refund of a part of a payment, or of all of it. ``number`` tells several of one payment apart."""
    return PaymentRefunded(
        event_id=f"evt-{of.payment_id}-r{number}",
        payment_id=of.payment_id,
        refund_id=f"refund-{of.payment_id}-{number}",
        student_id=of.student_id,
        amount=amount,
        currency=of.currency,
        occurred_at=at,
    )


def delivery(event: PaymentSucceeded | PaymentRefunded, via: Via, *, first: bool = True) -> Delivery:
    """The message that carries an event."""
    return Delivery(event.payment_id, str(event.student_id), msgspec.json.encode(event), via, first)


def deliveries(shape: Shape, captured: Sequence[PaymentSucceeded], duplicates: int) -> list[Delivery]:
    """All deliveries of the payments, with so many duplicates, in the order of sending.

    Every payment's first delivery comes before its duplicates.
    """
    rng = random.Random(f"{shape.seed}:deliveries")  # noqa: S311
    places: list[tuple[float, Delivery]] = []
    again = _repeats(shape, len(captured), duplicates, rng)
    for number, event in enumerate(captured):
        places.append((number, delivery(event, _via(shape, rng))))
        for repeat in range(again[number]):
            fresh_id = f"{event.event_id}-again-{repeat}" if rng.random() < 0.5 else event.event_id
            copy = msgspec.structs.replace(event, event_id=fresh_id)
            place = _place(shape, number, len(captured), rng)
            places.append((place, delivery(copy, _via(shape, rng), first=False)))
    places.sort(key=lambda place: place[0])
    return [message for _, message in places]


def _repeats(shape: Shape, count: int, total: int, rng: random.Random) -> list[int]:
    """How often each payment comes again."""
    if shape.pattern is Pattern.STORM:
        again = [0] * count
        again[count // 2] = total
        return again
    each, rest = divmod(total, count)
    again = [each] * count
    for number in rng.sample(range(count), rest):
        again[number] += 1
    return again


def _place(shape: Shape, number: int, count: int, rng: random.Random) -> float:
    """Where a duplicate of payment ``number`` stands among the first deliveries 0, 1, 2, …; always after its own."""
    match shape.pattern:
        case Pattern.IMMEDIATE | Pattern.STORM:
            return number + rng.uniform(0.1, 0.9)
        case Pattern.INTERLEAVED:
            return number + rng.uniform(0.1, INTERLEAVED_SPAN / (1 + shape.duplicates))
        case Pattern.LATE:
            return count + rng.random()


def _via(shape: Shape, rng: random.Random) -> Via:
    return Via.WEBHOOK if rng.random() < shape.webhook_share else Via.KAFKA

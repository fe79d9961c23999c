"""Ways to call the one transaction directly."""

import random
from typing import Any
from uuid import UUID, uuid4

import psycopg

from actors.ledger.batch import Applied, decode, encode
from actors.messages import Deliver, Write
from actors.protocol.outcome import Settled
from actors.protocol.payments import PaymentEvent, PaymentSucceeded, decode_payment


class Nowhere:
    """A source that wants no answer."""

    def settle(self, settled: Settled) -> None:
        pass


def payment(student: UUID, course: UUID, payment_id: str | None = None, **changes: Any) -> PaymentSucceeded:
    number = uuid4().hex[:12]
    facts: dict[str, Any] = {
        "event_id": f"evt_{number}",
        "payment_id": payment_id or f"pay_{number}",
        "student_id": student,
        "course_id": course,
        "tier": 10,
        "amount": 1000,
        "currency": "INR",
    }
    return PaymentSucceeded(**(facts | changes), occurred_at=_AT)


_AT = decode_payment(
    b'{"type":"PAYMENT_SUCCEEDED","event_id":"e","payment_id":"p","student_id":"401ca863-4543-4b3e-9bc6-c8ad49a77a03",'
    b'"course_id":"ebefde63-8a3a-4d45-a594-c04275a03092","tier":1,"amount":1,"currency":"INR",'
    b'"occurred_at":"2026-11-23T10:00:00Z"}'
).occurred_at


def apply(connection: "psycopg.Connection[Any]", *events: PaymentEvent) -> Applied:
    writes: list[Any] = [Write(Deliver(event, Nowhere(), "test", 0.0), None) for event in events]  # type: ignore[arg-type]
    row = connection.execute("select kc.apply(%s::jsonb)", (encode(writes).decode(),)).fetchone()
    assert row is not None
    return decode(row[0].encode())


def outcomes(applied: Applied) -> list[str]:
    """In the order of the events."""
    return [v.outcome.value for v in sorted(applied.verdicts, key=lambda v: v.i)]


def new_course(connection: "psycopg.Connection[Any]", *capacities: int, title: str = "A course") -> UUID:
    """A course with a trainer for each capacity."""
    course = uuid4()
    connection.execute("insert into course values (%s, %s)", (course, title))
    for n, capacity in enumerate(capacities):
        trainer = uuid4()
        connection.execute(
            "insert into trainer (trainer_id, name, capacity) values (%s, %s, %s)",
            (trainer, f"T{n}", capacity),
        )
        connection.execute(
            "insert into trainer_course (trainer_id, course_id) values (%s, %s)", (trainer, course)
        )
    return course


def shuffled(values: list[Any], seed: int) -> list[Any]:
    copy = list(values)
    random.Random(seed).shuffle(copy)
    return copy

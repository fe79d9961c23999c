"""The standard work: a catalogue, students, payments and their duplicates, the same for every group and every run."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import UUID

from actors.protocol.payments import PaymentSucceeded, decode_payment

COURSES, TRAINERS, STUDENTS = 40, 200, 2_000


class Shop:
    """Drawn from a seed, so that two runs do the same work."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self.courses = [self._id() for _ in range(COURSES)]
        self.students = [self._id() for _ in range(STUDENTS)]

    def _id(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def catalogue(self) -> dict[str, Any]:
        """Room for everybody, so that every payment becomes an allocation."""
        trainers = [
            {
                "trainer_id": self._id(),
                "name": f"Trainer {n}",
                "capacity": 1_000_000,
                "courses": [self.courses[n % COURSES]],
            }
            for n in range(TRAINERS)
        ]
        return {
            "courses": [{"course_id": c, "title": "A course"} for c in self.courses],
            "trainers": trainers,
        }

    def payment(self, number: int, mark: str = "p") -> dict[str, Any]:
        """Payment number ``number`` of a row that ``mark`` names."""
        return {
            "event_id": f"evt_{mark}{number}",
            "type": "PAYMENT_SUCCEEDED",
            "payment_id": f"pay_{mark}{number}",
            "student_id": self._rng.choice(self.students),
            "course_id": self._rng.choice(self.courses),
            "tier": 10,
            "amount": 499_900,
            "currency": "INR",
            "occurred_at": "2026-11-23T10:00:00Z",
        }

    def events(self, count: int, mark: str) -> list[PaymentSucceeded]:
        """Decoded payments."""
        decoded = [decode_payment(json.dumps(self.payment(n, mark)).encode()) for n in range(count)]
        return [event for event in decoded if isinstance(event, PaymentSucceeded)]

    def deliveries(self, count: int, mark: str, spread: int = 500) -> list[tuple[str, bytes]]:
        """Each payment twice, under two event ids, the second up to ``spread`` payments later: student and body."""
        due = []
        for number in range(count):
            payment = self.payment(number, mark)
            due.append((float(number), payment))
            again = payment | {"event_id": f"evt_{mark}{number}b"}
            due.append((number + self._rng.random() * spread, again))
        due.sort(key=lambda pair: pair[0])
        return [(payment["student_id"], json.dumps(payment).encode()) for _, payment in due]


def row(
    group: str, name: str, value: float, unit: str, baseline: str | None = None, against: float | None = None
) -> dict[str, Any]:
    """A line of the results; ``ratio`` is value by baseline."""
    ratio = value / against if against else None
    return {"group": group, "name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}

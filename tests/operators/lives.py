"""A steady stream of healthy payments with everything that may follow one, drawn from a seed. Pure.

Nothing in it contradicts anything: whatever an audit finds while it runs is a false alarm.
"""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

from tests.money import messages

AMOUNT = 1000
AT = "2026-11-23T10:00:00Z"


class Delivery(NamedTuple):
    """One message: when, by which way (``kafka``, ``kc``, ``stripe``, ``razorpay``), and what it says."""

    due_s: float
    way: str
    name: str
    says: dict[str, Any]


class Lives:
    """``rate_per_s`` payments for ``seconds``, each several times; some are given back, disputed or named late."""

    def __init__(self, seed: int, *, seconds: float, rate_per_s: float, courses: list[str]) -> None:
        self._rng = random.Random(seed)
        self._seconds, self._rate_per_s, self._courses = seconds, rate_per_s, courses
        self.payments = int(seconds * rate_per_s)
        self.students = [str(UUID(int=self._rng.getrandbits(128), version=4)) for _ in range(500)]
        self.disputes = self.refunds = self.unnamed = 0

    def deliveries(self) -> list[Delivery]:
        """All of them, in the order in which they are due."""
        told: list[Delivery] = []
        for number in range(self.payments):
            told += self._life(number, number / self._rate_per_s)
        return sorted((each._replace(due_s=max(0.0, each.due_s)) for each in told), key=lambda d: d.due_s)

    def _life(self, number: int, at_s: float) -> Iterator[Delivery]:
        make = self._rng.choices([self._ours, self._stripes, self._razorpays], [75, 15, 10])[0]
        names = {
            "student_id": self._rng.choice(self.students),
            "course_id": self._rng.choice(self._courses),
            "tier": str(self._rng.randint(1, 30)),
        }
        yield from make(f"{number:06d}", at_s, names)

    def _back(self) -> tuple[int, float] | None:
        """How much comes back and how long after the payment; a little before it for some."""
        drawn = self._rng.random()
        if drawn > 0.3:
            return None
        self.refunds += 1
        after_s = -self._rng.uniform(0, 2) if drawn < 0.05 else self._rng.uniform(1, 20)
        return (AMOUNT if drawn < 0.12 else 300), after_s

    def _ours(self, number: str, at_s: float, names: dict[str, str]) -> Iterator[Delivery]:
        event = {
            "event_id": f"evt_{number}",
            "type": "PAYMENT_SUCCEEDED",
            "payment_id": f"pay_{number}",
            "amount": AMOUNT,
            "currency": "INR",
            "order_id": f"order_{number}",
            "occurred_at": AT,
        } | names
        event["tier"] = int(names["tier"])
        yield Delivery(at_s, self._way(), "", event)
        for again in range(self._rng.randint(0, 2)):
            later_s = at_s + self._rng.choice([0.0, 0.0, self._rng.uniform(0, 5)])
            yield Delivery(later_s, self._way(), "", event | {"event_id": f"evt_{number}_{again}"})
        if (back := self._back()) is not None:
            amount, after_s = back
            refund = {
                "event_id": f"evt_r_{number}",
                "type": "PAYMENT_REFUNDED",
                "payment_id": f"pay_{number}",
                "refund_id": f"rfnd_{number}",
                "student_id": names["student_id"],
                "amount": amount,
                "currency": "INR",
                "occurred_at": AT,
            }
            for _ in range(2):
                yield Delivery(at_s + after_s, self._way(), "", refund)

    def _way(self) -> str:
        return self._rng.choices(["kafka", "kc"], [4, 1])[0]

    def _stripes(self, number: str, at_s: float, names: dict[str, str]) -> Iterator[Delivery]:
        payment_id = f"pi_{number}"
        money = {"amount_received": AMOUNT, "amount_total": AMOUNT}
        metadata = names if self._rng.random() > 0.3 else {}
        self.unnamed += not metadata
        yield Delivery(
            at_s, "stripe", "payment_intent.succeeded", messages.intent(metadata, id=payment_id) | money
        )
        session = messages.session(names, payment_intent=payment_id) | money
        yield Delivery(at_s + self._rng.uniform(-1, 3), "stripe", "checkout.session.completed", session)
        about = {"payment_intent": payment_id, "charge": f"ch_{number}", "currency": "inr"}
        if (back := self._back()) is not None:
            amount, after_s = back
            refund = about | {"id": f"re_{number}", "amount": amount, "status": "succeeded"}
            total = about | {"id": f"ch_{number}", "captured": True, "amount_refunded": amount}
            yield Delivery(at_s + after_s, "stripe", "refund.created", refund)
            yield Delivery(at_s + after_s + self._rng.uniform(-1, 1), "stripe", "charge.refunded", total)
        if self._rng.random() < 0.4:
            self.disputes += 1
            dispute = about | {"id": f"dp_{number}", "amount": AMOUNT}
            opened_s = at_s + self._rng.uniform(-1, 10)
            yield Delivery(
                opened_s, "stripe", "charge.dispute.created", dispute | {"status": "needs_response"}
            )
            end = dispute | {"status": self._rng.choice(["won", "lost"])}
            yield Delivery(opened_s + self._rng.uniform(1, 20), "stripe", "charge.dispute.closed", end)

    def _razorpays(self, number: str, at_s: float, names: dict[str, str]) -> Iterator[Delivery]:
        on_order = self._rng.random() < 0.3
        self.unnamed += on_order
        payment = messages.razorpay_payment(
            [] if on_order else names, id=f"rp_{number}", amount=AMOUNT, order_id=f"rpo_{number}"
        )
        order = {"id": f"rpo_{number}", "amount_paid": AMOUNT, "amount_due": 0, "notes": names}
        yield Delivery(at_s - 1, "razorpay", "payment.authorized", {"payment": payment})
        yield Delivery(at_s, "razorpay", "payment.captured", {"payment": payment})
        paid_s = at_s + self._rng.uniform(-1, 3)
        yield Delivery(paid_s, "razorpay", "order.paid", {"payment": payment, "order": order})
        if (back := self._back()) is not None:
            amount, after_s = back
            refund = {"id": f"rr_{number}", "payment_id": f"rp_{number}", "amount": amount, "currency": "INR"}
            for name in ("refund.processed", "refund.speed_changed"):
                entities = {"payment": payment, "refund": refund | {"status": "processed"}}
                yield Delivery(at_s + after_s, "razorpay", name, entities)

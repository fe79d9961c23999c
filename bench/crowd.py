"""What an active student costs in memory: real actors that have bought something, behind a ledger that says yes."""

from __future__ import annotations

import gc
import json
import os
import threading
from typing import Any
from uuid import UUID

from actors.messages import Deliver, Write, Written
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import decode_payment
from actors.student.actor import Student
from supervision import Actor, ChildSpec, Router, System

WAIT_S = 120.0


class Agreeable(Actor):
    """Answers every write at once: it stands."""

    def on_receive(self, message: Write) -> None:
        payment = message.deliver.event
        purchase = UUID(bytes=payment.event_id.encode()[-16:].rjust(16, b"0"))
        message.student.tell(Written(message.deliver, Settled(Outcome.CREATED, purchase)))


class Count:
    """The source of all payments, and the measure that nobody reads; opens when all are answered."""

    def __init__(self, goal: int) -> None:
        self._left = goal
        self.all_answered = threading.Event()

    def settle(self, settled: Settled) -> None:
        self._left -= 1
        if self._left == 0:
            self.all_answered.set()

    def settled(self, deliver: Deliver, settled: Settled, seconds: float) -> None: ...
    def absorbed(self, deliver: Deliver) -> None: ...


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - one line of a pseudo file
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_of(students: int) -> dict[str, float]:
    """MiB that so many active students hold, each with one purchase; to be run in a process of its own."""
    system, count = System("crowd"), Count(students)
    ledger: Any = system.start_child(None, ChildSpec("ledger", Agreeable))

    def the_only() -> Any:
        return ledger

    def generation() -> int:
        return 1

    def student(_: str) -> Student:
        return Student(the_only, ledger, generation, 256, count)

    router = Router(student, idle_s=1e6, active_max=10**9)
    system.start_child(None, router.spec())
    gc.collect()
    before = resident_bytes()
    for number in range(students):
        body = {
            "event_id": f"evt_{number:016d}",
            "type": "PAYMENT_SUCCEEDED",
            "payment_id": f"pay_{number}",
            "student_id": str(UUID(int=number, version=4)),
            "course_id": str(UUID(int=number % 40, version=4)),
            "tier": 10,
            "amount": 499_900,
            "currency": "INR",
            "occurred_at": "2026-11-23T10:00:00Z",
        }
        event = decode_payment(json.dumps(body).encode())
        router.tell(str(body["student_id"]), Deliver(event, count, "kafka", 0.0))
    if not count.all_answered.wait(WAIT_S):
        raise RuntimeError("a payment was not answered")
    gc.collect()
    held = resident_bytes() - before
    system.stop(WAIT_S)
    return {"mib": held / (1 << 20), "bytes_each": held / students}

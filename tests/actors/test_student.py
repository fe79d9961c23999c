"""One student between its sources and a ledger that answers when the test says so."""

from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.messages import Allocate, Allocated, Deliver, Write, Written
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import PaymentEvent
from actors.student.actor import Student
from supervision import Actor, ActorRef, ChildSpec, System
from tests.actors.transaction import payment
from tests.support.waiting import wait_until


class Desk(Actor):
    """Notes what it is told; full when it is said to be."""

    def __init__(self, told: list[Any]) -> None:
        super().__init__()
        self.told = told

    def on_receive(self, message: Any) -> None:
        self.told.append(message)


class Answers:
    """A source that keeps its answers."""

    def __init__(self) -> None:
        self.said: list[Settled] = []

    def settle(self, settled: Settled) -> None:
        self.said.append(settled)


class Measured:
    def __init__(self) -> None:
        self.absorbed_ids: list[str] = []

    def settled(self, deliver: Deliver, settled: Settled, seconds: float) -> None:
        assert seconds >= 0

    def absorbed(self, deliver: Deliver) -> None:
        self.absorbed_ids.append(deliver.event.event_id)


class Office:
    def __init__(self, system: System) -> None:
        self.generation = 1
        self.measured = Measured()
        self.written: list[Write] = []
        self.allocations: list[Allocate] = []
        self.elsewhere: list[Write] = []
        desks = {"ledger": self.written, "second": self.elsewhere}
        self.ledgers: list[ActorRef[Any]] = [
            system.start_child(None, ChildSpec(name, partial(Desk, written)))
            for name, written in desks.items()
        ]
        self.ledger = self.ledgers[0]
        allocator = system.start_child(None, ChildSpec("allocator", lambda: Desk(self.allocations)))
        self.student = system.start_child(
            None,
            ChildSpec(
                "student",
                lambda: Student(lambda: self.ledger, allocator, lambda: self.generation, 8, self.measured),
            ),
        )
        self._system = system

    def deliver(self, event: PaymentEvent, *, insist: bool = False) -> Answers:
        answers = Answers()
        self.student.tell(Deliver(event, answers, "test", 0.0, insist))
        return answers

    def ledger_has(self, number: int) -> Write:
        wait_until(lambda: len(self.written) >= number)
        return self.written[number - 1]

    def answer(
        self, write: Write, outcome: Outcome, purchase: UUID | None = None, *, allocate: bool = False
    ) -> None:
        self.student.tell(Written(write.deliver, Settled(outcome, purchase), allocate))

    def idle(self) -> bool:
        return bool(self._system.inspect(self.student, lambda student: student.is_idle()).get(timeout=5))


@pytest.fixture
def office() -> Iterator[Office]:
    system = System("test")
    yield Office(system)
    assert system.stop(10)


def test_a_duplicate_of_a_payment_that_is_being_written_waits_for_its_answer(office: Office) -> None:
    event, purchase = payment(uuid4(), uuid4()), uuid4()
    sources = [office.deliver(event) for _ in range(5)]
    write = office.ledger_has(1)
    assert not office.idle()
    office.answer(write, Outcome.CREATED, purchase)
    wait_until(lambda: all(s.said for s in sources))
    assert [s.said[0].outcome for s in sources] == [Outcome.CREATED] + [Outcome.EXISTS] * 4
    assert {s.said[0].purchase_id for s in sources} == {purchase}
    assert {s.said[0].absorbed_by for s in sources[1:]} == {"mailbox"}
    assert office.measured.absorbed_ids == [event.event_id] * 4
    assert len(office.written) == 1
    assert office.idle()


def test_when_the_first_is_refused_the_next_one_goes_to_the_ledger(office: Office) -> None:
    event = payment(uuid4(), uuid4())
    first, second, third = (office.deliver(event) for _ in range(3))
    office.answer(office.ledger_has(1), Outcome.REFUSED)
    office.answer(office.ledger_has(2), Outcome.CREATED, uuid4())
    wait_until(lambda: third.said)
    assert [s.said[0].outcome for s in (first, second, third)] == [
        Outcome.REFUSED,
        Outcome.CREATED,
        Outcome.EXISTS,
    ]
    assert len(office.written) == 2


def test_other_facts_are_no_duplicate_and_go_to_the_database(office: Office) -> None:
    student, course = uuid4(), uuid4()
    office.deliver(payment(student, course, "p"))
    office.answer(office.ledger_has(1), Outcome.CREATED, uuid4())
    conflict = office.deliver(payment(student, course, "p", amount=1))
    office.answer(office.ledger_has(2), Outcome.CONFLICT)
    wait_until(lambda: conflict.said)
    assert conflict.said[0].outcome is Outcome.CONFLICT


def test_who_insists_goes_to_the_database_and_so_does_everybody_after_a_new_connection(
    office: Office,
) -> None:
    event = payment(uuid4(), uuid4())
    office.deliver(event)
    office.answer(office.ledger_has(1), Outcome.CREATED, uuid4())
    wait_until(office.idle)
    office.deliver(event, insist=True)
    office.answer(office.ledger_has(2), Outcome.EXISTS, uuid4())
    wait_until(office.idle)
    office.generation += 1
    office.deliver(event)
    office.ledger_has(3)


def test_an_allocation_is_asked_for_once_while_it_is_under_way(office: Office) -> None:
    student, course, purchase = uuid4(), uuid4(), uuid4()
    for number in range(2):
        office.deliver(payment(student, course, f"p{number}"))
        office.answer(office.ledger_has(number + 1), Outcome.EXISTS, purchase, allocate=True)
    wait_until(lambda: office.allocations)
    assert not office.idle()
    office.student.tell(Allocated(purchase))
    wait_until(office.idle)
    assert [a.purchase_id for a in office.allocations] == [purchase]


def test_a_students_writes_keep_their_order_while_one_is_on_its_way(office: Office) -> None:
    """Another ledger may be quicker: it gets the next one only when the last has its answer."""
    first, second, third = (payment(uuid4(), uuid4()) for _ in range(3))
    office.deliver(first)
    write = office.ledger_has(1)
    office.ledger = office.ledgers[1]
    office.deliver(second)
    office.answer(office.ledger_has(2), Outcome.CREATED, uuid4())
    office.answer(write, Outcome.CREATED, uuid4())
    wait_until(office.idle)
    assert not office.elsewhere
    office.deliver(third)
    wait_until(lambda: len(office.elsewhere) == 1)

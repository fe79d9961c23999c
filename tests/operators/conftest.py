"""A small healthy world, made through the one transaction: students with a trainer, a waiting one, refunds, echoes."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.hand import Action, Hand
from actors.protocol.payments import PaymentRefunded, PaymentSucceeded
from actors.store.connection import Connection
from tests.node.conftest import house  # noqa: F401 - a fixture for the tests here

COURSE, EMPTY_COURSE = uuid.uuid4(), uuid.uuid4()
PAID_AT = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
ACTION = Action("ravi", "test", {})
OLD = timedelta(minutes=10)


class World:
    """The students by what they came to, and their payments; one provider, two trainers and two courses of its own."""

    def __init__(self, hand, database, provider="kc", courses=None):
        self.hand, self.database, self.provider = hand, database, provider
        self.events = hand.announced
        self.plain, self.waiting, self.refunded, self.stranger = (uuid.uuid4() for _ in range(4))
        self.course: uuid.UUID
        self.empty_course: uuid.UUID
        self.course, self.empty_course = courses or (uuid.uuid4(), uuid.uuid4())
        self.trainers = [uuid.uuid4(), uuid.uuid4()]
        self.purchases = {}

    def open(self):
        """The catalogue: nobody teaches the second course."""
        for course, title in ((self.course, "Algebra"), (self.empty_course, "Greek")):
            self.database.execute("insert into course values (%s, %s)", (course, title))
        for number, trainer in enumerate(self.trainers):
            self.database.execute(
                "insert into trainer (trainer_id, name, capacity) values (%s, %s, 5)", (trainer, f"T{number}")
            )
            self.database.execute("insert into trainer_course values (%s, %s)", (trainer, self.course))

    def fill(self):
        """Everybody has bought, and some was given back."""
        self.open()
        self.pay(self.plain, "p1")
        self.pay(self.plain, "p2")
        self.pay(self.waiting, "p3", course=self.empty_course)
        self.pay(self.refunded, "p4")
        self.refund(self.refunded, "p4", 1000)
        self.pay(self.refunded, "p5")
        self.refund(self.refunded, "p5", 300)

    def pay(self, student, payment_id, *, course=None, order=None, amount=1000):
        event = PaymentSucceeded(
            event_id=f"e-{payment_id}",
            provider=self.provider,
            payment_id=payment_id,
            student_id=student,
            course_id=course or self.course,
            tier=4,
            amount=amount,
            currency="INR",
            order_id=order or f"order-{payment_id}",
            occurred_at=PAID_AT,
        )
        (verdict,) = self.hand.apply([event], via="test")
        if verdict.purchase_id is not None:
            self.purchases[payment_id] = verdict.purchase_id
        if verdict.allocate:
            self.hand.allocate([verdict.purchase_id])
        return verdict

    def refund(self, student, payment_id, amount):
        refund_id = f"r-{payment_id}"
        event = PaymentRefunded(
            event_id=f"e-{refund_id}",
            provider=self.provider,
            payment_id=payment_id,
            refund_id=refund_id,
            student_id=student,
            amount=amount,
            currency="INR",
            occurred_at=PAID_AT,
        )
        return self.hand.apply([event], via="test")[0]

    def age(self):
        """Everything happened ten minutes ago, and the relay and the echo have done their part since."""
        run = self.database.execute
        run("update payment set updated_at = updated_at - %s", (OLD,))
        run("update purchase set created_at = created_at - %s", (OLD,))
        run("update allocation set requested_at = requested_at - %s", (OLD,))
        run("update refund set created_at = created_at - %s", (OLD,))
        run("update event set created_at = created_at - %s", (OLD,))
        run("update inbox set received_at = received_at - %s", (OLD,))
        self.settle()

    def settle(self):
        """The relay has sent everything, and the echo has seen it."""
        run = self.database.execute
        run("delete from outbox")
        run(
            "insert into consumer_lane select 'echo', student_id, seq from lane"
            " on conflict (consumer, student_id) do update set last_seq = excluded.last_seq"
        )
        run(
            "insert into consumer_member (consumer, member, started_at, caught_up_at)"
            " values ('echo', 'n1', now() - interval '1 hour', now())"
            " on conflict (consumer, member) do update set seen_at = now(), caught_up_at = now()"
        )

    def types(self, student):
        rows = self.database.execute(
            "select seq, type from event where student_id = %s order by seq", (student,)
        )
        return rows.fetchall()


@pytest.fixture
def connection(database_url):
    with Connection(database_url, "test") as opened:
        yield opened


@pytest.fixture
def hand(connection):
    announced: list[object] = []
    made: Any = Hand(connection, announced.extend)
    made.announced = announced
    return made


@pytest.fixture
def world(hand, database):
    made = World(hand, database, courses=(COURSE, EMPTY_COURSE))
    made.fill()
    made.age()
    return made

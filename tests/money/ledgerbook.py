"""One course, its trainers and the events about its payments, and what has to hold between their rows after each."""

from typing import Any, Literal
from uuid import UUID, uuid4

import psycopg

from actors.allocation.transaction import allocate
from actors.ledger.batch import Applied
from actors.protocol.payments import (
    PaymentDisputed,
    PaymentEvent,
    PaymentNoticed,
    PaymentSucceeded,
    PaymentUnnamed,
    RefundReported,
)
from actors.store.connection import Connection
from tests.actors.transaction import apply, outcomes, payment

AMOUNT = 100
PROVIDER = "stripe"


class Book:
    """Payments of one course, by short names."""

    def __init__(self, url: str, database: "psycopg.Connection[Any]", *capacities: int) -> None:
        self.database = database
        self._allocating = Connection(url, "test")
        self.course = uuid4()
        self.trainers = [uuid4() for _ in capacities]
        self._run("insert into course values (%s, 'Algebra')", self.course)
        for trainer, capacity in zip(self.trainers, capacities, strict=True):
            self._run(
                "insert into trainer (trainer_id, name, capacity) values (%s, 'T', %s)", trainer, capacity
            )
            self._run(
                "insert into trainer_course (trainer_id, course_id) values (%s, %s)", trainer, self.course
            )
        self._unique = uuid4().hex[:8]
        self._students: dict[str, UUID] = {}

    def close(self) -> None:
        self._allocating.close()

    # what providers say

    def student(self, name: str) -> UUID:
        return self._students.setdefault(name, uuid4())

    def id(self, name: str) -> str:
        return f"{name}_{self._unique}"

    def paid(self, name: str, student: str = "ann", **changes: Any) -> PaymentSucceeded:
        facts = {"provider": PROVIDER, "tier": 4, "amount": AMOUNT} | changes
        return payment(self.student(student), self.course, self.id(name), **facts)

    def back(self, name: str, refund: str | None, amount: int, student: str | None = None) -> RefundReported:
        """With a refund's name: that refund; without: all that the payment has given back."""
        return RefundReported(
            event_id=f"evt_{uuid4().hex}",
            provider=PROVIDER,
            payment_id=self.id(name),
            refund_id=None if refund is None else self.id(refund),
            student_id=None if student is None else self.student(student),
            amount=amount,
            currency="INR",
            occurred_at=_at(self),
        )

    def disputed(
        self, name: str, dispute: str, status: Literal["open", "won", "lost"], student: str | None = None
    ) -> PaymentDisputed:
        return PaymentDisputed(
            event_id=f"evt_{uuid4().hex}",
            provider=PROVIDER,
            payment_id=self.id(name),
            dispute_id=self.id(dispute),
            student_id=None if student is None else self.student(student),
            status=status,
            amount=AMOUNT,
            currency="INR",
            occurred_at=_at(self),
        )

    def unnamed(self, name: str, amount: int = AMOUNT, order: str | None = None) -> PaymentUnnamed:
        """A capture whose event does not say who bought what."""
        return PaymentUnnamed(
            event_id=f"evt_{uuid4().hex}",
            provider=PROVIDER,
            payment_id=self.id(name),
            order_id=None if order is None else self.id(order),
            amount=amount,
            field="metadata.student_id",
            reason="is missing",
            body=b"as the provider wrote it",
        )

    def noticed(self, name: str, state: Any = None, failed_refund: str | None = None) -> PaymentNoticed:
        return PaymentNoticed(
            event_id=f"evt_{uuid4().hex}",
            provider=PROVIDER,
            name="some.type",
            payment_id=self.id(name),
            state=state,
            failed_refund_id=None if failed_refund is None else self.id(failed_refund),
        )

    # what we do

    def take(self, *events: PaymentEvent) -> list[str]:
        """Outcomes of one transaction, in the order of the events."""
        return outcomes(self.apply(*events))

    def apply(self, *events: PaymentEvent) -> Applied:
        return apply(self.database, *events)

    def allocate(self) -> None:
        """Everything that waits, as the allocator does it: the new ones, then the waitlist until it stands still."""
        requested = self._column(
            "select purchase_id from allocation where course_id = %s and status = 'requested'"
        )
        if requested:
            allocate(self._allocating, requested)
        self.serve()

    def serve(self) -> None:
        while waiting := [row[0] for row in self._allocating.rows("next_waiting", (10,))]:
            if not allocate(self._allocating, waiting)[0]:
                return

    def set_capacity(self, index: int, capacity: int) -> None:
        self._run("update trainer set capacity = %s where trainer_id = %s", capacity, self.trainers[index])

    # what stands

    def status(self, name: str) -> str | None:
        rows = self.rows(
            "select status from purchase where provider = %s and payment_id = %s", PROVIDER, self.id(name)
        )
        return str(rows[0][0]) if rows else None

    def allocation(self, name: str) -> str | None:
        rows = self.rows(
            "select a.status from allocation a join purchase p using (purchase_id) where p.payment_id = %s",
            self.id(name),
        )
        return str(rows[0][0]) if rows else None

    def refunded(self, name: str) -> int | None:
        rows = self.rows("select refunded from purchase where payment_id = %s", self.id(name))
        return int(rows[0][0]) if rows else None

    def told(self, student: str = "ann") -> list[str]:
        """Types of the student's events, in their order."""
        return [
            row[0]
            for row in self.rows(
                "select type from event where student_id = %s order by seq", self.student(student)
            )
        ]

    def load(self) -> int:
        return sum(
            self._column(
                "select load from trainer join trainer_course using (trainer_id) where course_id = %s"
            )
        )

    def inbox(self, event: PaymentEvent) -> str | None:
        rows = self.rows(
            "select outcome from inbox where provider = %s and event_id = %s", event.provider, event.event_id
        )
        return str(rows[0][0]) if rows else None

    def parked(self) -> list[bytes]:
        return [
            bytes(r[0])
            for r in self.rows("select payload from parked where provider = %s order by id", PROVIDER)
        ]

    def findings(self) -> list[tuple[Any, ...]]:
        return self.rows("select kind, subject from finding where state = 'open' order by 1, 2")

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.database.execute(statement.encode(), parameters).fetchall()

    def _column(self, statement: str) -> list[Any]:
        return [row[0] for row in self.rows(statement, self.course)]

    def _run(self, statement: str, *parameters: Any) -> None:
        self.database.execute(statement.encode(), parameters)

    def is_sound(self) -> None:
        """Money, standing, places and log agree with each other."""
        assert self.database.execute(BROKEN.encode(), {"course": self.course}).fetchall() == []
        self._log_folds_to_the_tables()

    def _log_folds_to_the_tables(self) -> None:
        folded: dict[UUID, dict[str, Any]] = {}
        for purchase, type_, data in self.rows(
            "select e.purchase_id, e.type, e.data from event e join purchase p using (purchase_id)"
            " where p.course_id = %s order by e.student_id, e.seq",
            self.course,
        ):
            if type_ == "PURCHASE_CREATED":
                assert purchase not in folded
                folded[purchase] = {"refunded": 0, "access": None}
            state = folded[purchase]
            if type_ == "PURCHASE_REFUNDED":
                assert data["refunded"] > state["refunded"]
                state["refunded"] = data["refunded"]
                assert data["status"] == ("refunded" if data["refunded"] == AMOUNT else "partly_refunded")
            elif type_ == "COURSE_ACCESS_GRANTED":
                assert state["access"] in {None, "waitlisted"}
                state["access"] = data["trainer_id"]
            elif type_ == "ALLOCATION_WAITLISTED":
                assert state["access"] is None
                state["access"] = "waitlisted"
            elif type_ == "COURSE_ACCESS_REVOKED":
                assert state["access"] not in {None, "waitlisted", "revoked"}
                state["access"] = "revoked"
        stands = self.rows(
            "select p.purchase_id, p.refunded, a.status, a.trainer_id from purchase p"
            " left join allocation a using (purchase_id) where p.course_id = %s",
            self.course,
        )
        assert {row[0] for row in stands} == set(folded)
        for purchase, refunded, allocation, trainer in stands:
            assert folded[purchase]["refunded"] == refunded
            access = folded[purchase]["access"]
            if allocation == "allocated":
                assert access == str(trainer)
            elif allocation == "released":
                # who only waited leaves the line without a word
                assert access in {"revoked", "waitlisted", None}
            else:
                assert access == ("waitlisted" if allocation == "waitlisted" else None)


def _at(book: Book) -> Any:
    return book.paid("any").occurred_at


BROKEN = """
with p as (select * from purchase where course_id = %(course)s),
back as (
    select p.purchase_id, coalesce(sum(r.amount) filter (where r.status = 'applied'), 0) as total,
        count(*) filter (where r.status = 'pending') as pending
    from p left join refund r using (provider, payment_id) group by 1
), word as (
    select p.purchase_id, coalesce(bool_or(d.status = 'lost'), false) as lost,
        coalesce(bool_or(d.status = 'open'), false) as open
    from p left join dispute d using (provider, payment_id) group by 1
)
select 'refunds do not add up', p.purchase_id::text, p.refunded::text, total::text from p join back using (purchase_id)
    where refunded <> total or refunded > amount or pending > 0
union all
select 'status disagrees', p.purchase_id::text, p.status, refunded::text from p join word using (purchase_id)
    where p.status <> case when lost then 'revoked' when refunded = amount then 'refunded' when open then 'on_hold'
        when refunded > 0 then 'partly_refunded' else 'paid' end
union all
select 'access without claim', p.purchase_id::text, p.status, a.status from p join allocation a using (purchase_id)
    where p.status in ('refunded', 'revoked') and a.status <> 'released'
union all
select 'claim without allocation', p.purchase_id::text, p.status, a.status
    from p left join allocation a using (purchase_id)
    where p.status in ('paid', 'partly_refunded', 'on_hold') and coalesce(a.status, 'released') = 'released'
union all
select 'load is not the allocations', t.trainer_id::text, t.load::text, count(a.*)::text
    from trainer t left join allocation a on a.trainer_id = t.trainer_id and a.status = 'allocated'
    where t.trainer_id in (select trainer_id from trainer_course where course_id = %(course)s)
    group by t.trainer_id having t.load <> count(a.*)
union all
select 'hole in a log', l.student_id::text, l.seq::text, count(e.*)::text
    from lane l left join event e using (student_id) where l.student_id in (select student_id from p)
    group by l.student_id having l.seq <> count(e.*) or l.seq <> coalesce(max(e.seq), 0)
union all
select 'parked although it was named', p.purchase_id::text, k.state, k.stage
    from p join parked k using (provider, payment_id) where k.state = 'open' and k.stage = 'unnamed'
union all
select 'payment not captured', p.purchase_id::text, m.state, '' from p left join payment m using (provider, payment_id)
    where m.state is distinct from 'captured'
"""

"""The one transaction under concurrency: who waits for whom, and what the waiter says afterwards."""

import threading
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.actors.transaction import apply, new_course, outcomes, payment, shuffled
from tests.support.waiting import wait_until

Connection = psycopg.Connection[Any]


def waits_for_a_lock(database: Connection, pid: int) -> bool:
    row = database.execute("select wait_event_type from pg_stat_activity where pid = %s", (pid,)).fetchone()
    return row is not None and row[0] == "Lock"


@pytest.mark.parametrize("same_event", [True, False])
def test_a_duplicate_that_waits_for_the_first_one_exists(
    database: Connection, database_url: str, same_event: bool
) -> None:
    course, student = new_course(database, 5), uuid4()
    event = payment(student, course, "pay_1")
    again = event if same_event else payment(student, course, "pay_1")
    said: list[list[str]] = []
    with psycopg.connect(database_url) as first, psycopg.connect(database_url, autocommit=True) as second:
        assert outcomes(apply(first, event)) == ["created"]
        thread = threading.Thread(target=lambda: said.append(outcomes(apply(second, again))))
        thread.start()
        wait_until(lambda: waits_for_a_lock(database, second.info.backend_pid), what="the second waits")
        first.commit()
        thread.join(timeout=10)
    assert said == [["exists"]]
    assert database.execute("select count(*) from purchase").fetchone() == (1,)
    assert database.execute("select max(seq), count(*) from event").fetchone() == (2, 2)


def test_a_duplicate_that_waits_for_one_that_is_rolled_back_is_created(
    database: Connection, database_url: str
) -> None:
    course, student = new_course(database, 5), uuid4()
    event = payment(student, course)
    said: list[list[str]] = []
    with psycopg.connect(database_url) as first, psycopg.connect(database_url, autocommit=True) as second:
        apply(first, event)
        thread = threading.Thread(target=lambda: said.append(outcomes(apply(second, event))))
        thread.start()
        wait_until(lambda: waits_for_a_lock(database, second.info.backend_pid))
        first.rollback()
        thread.join(timeout=10)
    assert said == [["created"]]


def brought(connection: psycopg.Connection[Any], events: Sequence[Any]) -> None:
    """Bring a batch, and bring it again where another student's came first, as a ledger does. A deadlock is raised."""
    while True:
        try:
            apply(connection, *events)
        except psycopg.errors.SerializationFailure:
            continue
        return


@pytest.mark.parametrize("whose", ["the same students", "other students"])
def test_the_same_payments_in_opposite_order_do_not_deadlock(
    database_url: str, database: Connection, whose: str
) -> None:
    course = new_course(database, 10_000)
    students = [uuid4() for _ in range(12)]
    others = students if whose == "the same students" else [uuid4() for _ in range(12)]
    troubles: list[Exception] = []
    gate = threading.Barrier(2)

    def write(own: list[Any], seed: int) -> None:
        try:
            with psycopg.connect(database_url, autocommit=True) as connection:
                for turn in range(15):
                    events = [payment(own[n % 12], course, f"pay_{turn}_{n}") for n in range(60)]
                    gate.wait(timeout=20)
                    brought(connection, shuffled(events, seed + turn))
        except Exception as error:  # noqa: BLE001 - the test reports it
            troubles.append(error)
            gate.abort()

    threads = [
        threading.Thread(target=write, args=(own, seed)) for own, seed in ((students, 1), (others, 1000))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert troubles == []
    assert database.execute("select count(*) from purchase").fetchone() == (15 * 60,)
    assert database.execute("select count(*) from allocation").fetchone() == (15 * 60,)
    assert (
        database.execute("select 1 from event group by student_id having count(*) <> max(seq)").fetchall()
        == []
    )


def test_what_a_commit_logged_comes_back_with_it(database: Connection) -> None:
    course, student = new_course(database, 5, title='Chess "é"'), uuid4()
    first = apply(database, payment(student, course))
    second = apply(database, payment(student, course), payment(uuid4(), course))
    assert [(e.seq, e.type) for e in first.events] == [(1, "PURCHASE_CREATED"), (2, "COURSE_PURCHASED")]
    mine = [(e.seq, e.type) for e in second.events if e.student_id == str(student)]
    assert mine == [(3, "PURCHASE_CREATED")], "the course was owned already"
    assert len(second.events) == 3
    assert '"Chess \\"é\\""' in bytes(first.events[1].data).decode()


def test_two_purchases_of_a_course_in_one_batch_are_one_course_purchased(database: Connection) -> None:
    course, student = new_course(database, 5), uuid4()
    applied = apply(database, payment(student, course), payment(student, course))
    assert sorted(e.type for e in applied.events) == [
        "COURSE_PURCHASED",
        "PURCHASE_CREATED",
        "PURCHASE_CREATED",
    ]


def test_marks_without_anything_else_are_recovered_and_other_peoples_outcomes_too(
    database: Connection,
) -> None:
    course, student = new_course(database, 5), uuid4()
    marks = {"by event": None, "by payment": "processed", "parked before": "parked", "a refund's": "exists"}
    said = {}
    for name, outcome in marks.items():
        event = payment(student, course)
        event_id = event.event_id if name != "by payment" else f"other_{uuid4().hex}"
        database.execute(
            "insert into inbox (provider, event_id, payment_id, outcome, type) values ('kc', %s, %s, %s, %s)",
            (
                event_id,
                event.payment_id if name != "by event" else None,
                outcome,
                "PAYMENT_REFUNDED" if name == "a refund's" else None,
            ),
        )
        (said[name],) = outcomes(apply(database, event))
    assert said == {
        "by event": "recovered",
        "by payment": "recovered",
        "parked before": "created",
        "a refund's": "created",
    }


def test_a_payment_that_another_student_brings_meanwhile_is_a_lost_race(
    database: Connection, database_url: str
) -> None:
    """Past the lanes: the two meet at the payment itself, and the one who waited comes again and finds it."""
    course = new_course(database, 5)
    event, other = payment(uuid4(), course, "pay_1"), payment(uuid4(), course, "pay_1")
    said: list[str | None] = []

    def bring(connection: Connection) -> None:
        try:
            said.extend(outcomes(apply(connection, other)))
        except psycopg.errors.SerializationFailure as error:
            said.append(error.sqlstate)

    with psycopg.connect(database_url) as first, psycopg.connect(database_url, autocommit=True) as second:
        apply(first, event)
        thread = threading.Thread(target=bring, args=(second,))
        thread.start()
        wait_until(lambda: waits_for_a_lock(database, second.info.backend_pid))
        first.commit()
        thread.join(timeout=10)
        assert said == ["40001"]
        # the same payment under another student is refused, not bought again
        assert outcomes(apply(second, other)) == ["conflict"]
    assert database.execute("select count(*), count(distinct student_id) from purchase").fetchone() == (1, 1)
    assert database.execute("select count(*) from event").fetchone() == (2,)


def test_a_lane_whose_number_was_set_back_is_bad_data_and_no_race(database: Connection) -> None:
    course, student = new_course(database, 5), uuid4()
    apply(database, payment(student, course))
    database.execute("update lane set seq = 0")
    with pytest.raises(psycopg.errors.UniqueViolation):
        apply(database, payment(student, course))

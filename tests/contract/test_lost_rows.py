"""Rows that an outsider removes, or writes with only the columns that are promised: the effect decides."""

from uuid import UUID, uuid4

import pytest

from tests.node.house import House, new_payment
from tests.support.waiting import wait_until

WHOLE = ["PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED", "SESSIONS_PLANNED"]


def types(house: House, student: str) -> list[str]:
    return [e["event"] for e in house.get(student, "events")["events"]]


def is_whole(house: House, student: str) -> bool:
    return types(house, student) == WHOLE


def mark(house: House, payment: dict[str, object], **columns: object) -> None:
    row = {"provider": "kc", "event_id": payment["event_id"]} | columns
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    house.run(f"insert into inbox ({names}) values ({marks})", tuple(row.values()))


@pytest.mark.parametrize("outcome", ["created", "exists", "processed", None])
def test_a_mark_is_no_effect(house: House, outcome: str | None) -> None:
    payment = new_payment(str(uuid4()), house.courses[0])
    mark(house, payment, payment_id=payment["payment_id"], outcome=outcome)
    status, answer = house.webhook(payment)
    assert (status, answer["outcome"]) == (200, "recovered")
    wait_until(lambda: is_whole(house, payment["student_id"]), 30, what="the whole effect")


def test_a_mark_of_nothing_but_its_key_is_no_effect(house: House) -> None:
    payment = new_payment(str(uuid4()), house.courses[0])
    mark(house, payment)
    assert house.webhook(payment)[1]["outcome"] == "recovered"


def test_a_purchase_that_stands_alone_is_completed(house: House) -> None:
    """Half done by somebody who knows the promised columns only, under an id of their own."""
    payment = new_payment(str(uuid4()), house.courses[0])
    mine = str(uuid4())
    columns = ("provider", "payment_id", "student_id", "course_id", "tier", "amount", "currency")
    house.run(
        f"insert into purchase (purchase_id, {', '.join(columns)}, status, refunded, created_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, 'paid', 0, now())",
        (mine, *(payment[name] for name in columns)),
    )
    _, answer = house.webhook(payment)
    assert answer["purchase_id"] == mine
    assert answer["outcome"] in {"recovered", "exists"}, "the audit may have been there first"
    wait_until(lambda: is_whole(house, payment["student_id"]), 30, what="the whole effect")
    assert house.rows("select purchase_id from purchase where payment_id = %s", (payment["payment_id"],)) == [
        (UUID(mine),)
    ]


def test_a_purchase_that_somebody_removed_comes_back_without_telling_anything_twice(house: House) -> None:
    payment = new_payment(str(uuid4()), house.courses[0])
    student = payment["student_id"]
    house.webhook(payment)
    wait_until(lambda: is_whole(house, student), 30, what="the first life")
    house.run("delete from allocation where student_id = %s", (student,))
    house.run("delete from purchase where student_id = %s", (student,))
    wait_until(lambda: house.purchases(student) == 1, 30, what="the purchase")
    wait_until(
        lambda: house.rows(
            "select 1 from allocation where student_id = %s and status = 'allocated'", (student,)
        ),
        30,
        what="the allocation",
    )
    told = types(house, student)
    assert told.count("PURCHASE_CREATED") == told.count("COURSE_PURCHASED") == 1
    assert told.count("SESSIONS_PLANNED") == 1
    assert house.rows("select reason from parked where student_id = %s", (student,)) == []
    seqs = [e["seq"] for e in house.get(student, "events")["events"]]
    assert seqs == list(range(1, len(seqs) + 1))

"""Parked messages as an operator meets them who knows the routes and nothing else."""

import json
from typing import Any
from uuid import uuid4

from tests.node.house import House, new_payment


def operator(house: House, method: str, path: str) -> tuple[int, dict[str, Any]]:
    token = house.token("operator", role="operator")
    return house.request(method, f"/api/v1/parked/{path}", headers={"Authorization": f"Bearer {token}"})


def parked(house: House, payment: dict[str, Any]) -> int:
    answer = house.webhook(payment)
    assert answer[1]["outcome"] == "parked"
    ((row_id,),) = house.rows("select id from parked where payment_id = %s", (payment["payment_id"],))
    return int(row_id)


def test_an_unknown_course_is_bought_once_it_is_known(house: House) -> None:
    payment = new_payment(str(uuid4()), str(uuid4()))
    row_id = parked(house, payment)
    house.run("insert into course (course_id, title) values (%s, 'New')", (payment["course_id"],))
    status, answer = operator(house, "POST", f"{row_id}/retry")
    assert (status, answer["outcome"]) == (200, "created")
    assert house.purchases(payment["student_id"]) == 1


def test_a_message_is_discarded_without_a_body(house: House) -> None:
    row_id = parked(house, new_payment(str(uuid4()), str(uuid4())))
    status, row = operator(house, "POST", f"{row_id}/discard")
    assert (status, row["state"]) == (200, "discarded"), json.dumps(row)
    assert house.rows("select state from parked where id = %s", (row_id,)) == [("discarded",)]

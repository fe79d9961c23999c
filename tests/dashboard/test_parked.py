"""The parked page over a real database."""

import contextlib
import json
from typing import Any
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from actors.hand import Hand
from actors.parking.desk import Desk
from actors.store.connection import Connection
from gateway.panels.parked import ParkedPage
from supervision.dashboard import environment
from tests.dashboard.stand import application, dashboard_over

PAYLOAD = {"type": "PAYMENT_SUCCEEDED", "payment_id": "pay_1", "note": "<b>bold</b>"}


@pytest.fixture
def row_id(database):
    row = database.execute(
        "insert into parked (stage, reason, payload, fingerprint, payment_id) "
        "values ('decode', 'student_id is missing', %s, 'f1', 'pay_1') returning id",
        (json.dumps(PAYLOAD).encode(),),
    ).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def signed_in(tree, database_url, operator):
    @contextlib.contextmanager
    def desk():
        with Connection(database_url, "test") as connection:
            yield Desk(Hand(connection, lambda _: None))

    panels = [ParkedPage(desk, environment("gateway"))]
    client: Any = TestClient(application(dashboard_over(tree, panels=panels)))
    client.csrf = client.post("/supervision/session", headers=operator).json()["csrf"]
    return client


def do(client, verb, **form):
    return client.post(f"/supervision/do/parked/{verb}", json=form, headers={"x-csrf-token": client.csrf})


def test_it_shows_groups_and_one_payload_in_full(signed_in, row_id):
    text = signed_in.get("/supervision/parked").text
    assert "student_id is missing" in text
    assert "bold" not in text, "a payload is shown when asked for"
    one = signed_in.get(f"/supervision/parked?id={row_id}").text
    assert "&lt;b&gt;bold&lt;/b&gt;" in one
    assert f"Message {row_id}" in one


def test_a_stranger_sees_no_payload(signed_in, row_id):
    signed_in.cookies.clear()
    text = signed_in.get(f"/supervision/parked?id={row_id}").text
    assert "pay_1" not in text
    assert do(signed_in, "discard", id=str(row_id), reason="x").status_code == 401


def test_a_discard_needs_a_reason_and_is_written_down(signed_in, row_id, database):
    assert do(signed_in, "discard", id=str(row_id), reason="  ").json()["code"] == "reason_missing"
    assert do(signed_in, "discard", id=str(row_id), reason="a test of the provider").json()["ok"]
    assert database.execute("select state, resolution from parked").fetchone() == (
        "discarded",
        "a test of the provider",
    )
    assert database.execute("select who, command from operator_action").fetchone() == (
        "ann",
        "parked discard",
    )
    assert do(signed_in, "discard", id=str(row_id), reason="again").json()["code"] == "not_open"
    assert "Nothing is parked" in signed_in.get("/supervision/parked").text


def test_a_corrected_message_is_retried_and_resolved(signed_in, row_id, database):
    course, student = uuid4(), uuid4()
    database.execute("insert into course (course_id, title) values (%s, 'Algebra')", (course,))
    wrong = do(signed_in, "edit", id=str(row_id), payload='{"type": "PAYMENT_SUCCEEDED"}')
    assert (wrong.status_code, wrong.json()["code"]) == (422, "undecodable")
    right = {
        "event_id": "evt_1",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": "pay_1",
        "student_id": str(student),
        "course_id": str(course),
        "tier": 10,
        "amount": 1000,
        "currency": "INR",
        "occurred_at": "2026-11-23T10:00:00Z",
    }
    assert do(signed_in, "edit", id=str(row_id), payload=json.dumps(right)).json()["ok"]
    assert "created" in do(signed_in, "retry", id=str(row_id)).json()["said"]
    assert database.execute("select count(*) from purchase where student_id = %s", (student,)).fetchone() == (
        1,
    )
    assert database.execute("select state, resolved_by from parked").fetchone() == ("resolved", "ann")


def test_what_the_database_still_refuses_stays_with_its_reason(signed_in, row_id, database):
    course = uuid4()
    database.execute("insert into course (course_id, title) values (%s, 'Algebra')", (course,))
    payment = {
        "event_id": "evt_1",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": "pay_1",
        "student_id": str(uuid4()),
        "course_id": str(course),
        "tier": 10,
        "amount": 1000,
        "currency": "INR",
        "occurred_at": "2026-11-23T10:00:00Z",
    }
    assert do(signed_in, "edit", id=str(row_id), payload=json.dumps(payment)).json()["ok"]
    database.execute("alter table purchase add constraint never check (tier > 1000) not valid")
    said = do(signed_in, "retry", id=str(row_id)).json()["said"]
    assert "stays" in said
    assert "never" in said
    state, attempts, reason = database.execute("select state, attempts, reason from parked").fetchone()
    assert (state, attempts > 1) == ("open", True)
    assert "never" in reason
    done = [command for (command,) in database.execute("select command from operator_action order by id")]
    assert done == ["parked edit", "parked retry"]


def test_a_group_that_still_cannot_be_read_stays(signed_in, row_id, database):
    group = database.execute("select kc.parked_group(k) from parked k").fetchone()[0]
    assert do(signed_in, "retry-group", group=group).json()["said"] == "0 of 1 are dealt with."
    assert database.execute("select state from parked").fetchone() == ("open",)


@pytest.mark.parametrize("form", [{"id": "x"}, {"id": ""}, {"id": "9" * 30}, {"id": "-1"}])
def test_a_wrong_number_is_refused(signed_in, form):
    assert do(signed_in, "retry", **form).json()["code"] == "bad_parameter"


def test_an_unknown_action_is_404(signed_in):
    assert do(signed_in, "explode", id="1").status_code == 404

"""A node heals by itself what others broke, shows what it finds, and lets operators deal with what is parked."""

import http.client
import json
import uuid

from tests.node.house import new_payment
from tests.support.waiting import wait_until


def operator(house, method, path, body=None):
    headers = {"Authorization": f"Bearer {house.token('ravi', role='operator')}"}
    raw = json.dumps(body).encode() if body is not None else None
    return house.request(method, f"/api/v1/parked{path}", raw, headers)


def metrics(house):
    connection = http.client.HTTPConnection("127.0.0.1", house.node.port, timeout=15)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_the_original_case_heals_itself_and_the_open_page_shows_the_course(house):
    student = str(uuid.uuid4())
    payment = new_payment(student, house.courses[0])
    house.run(
        "insert into payment (provider, payment_id, state, student_id, course_id, tier, amount, currency, captured_at)"
        " values ('kc', %(payment_id)s, 'created', %(student_id)s, %(course_id)s, %(tier)s, %(amount)s, %(currency)s,"
        " %(occurred_at)s)",
        payment,
    )
    house.run(
        "insert into inbox (provider, event_id, payment_id, outcome)"
        " values ('kc', %(event_id)s, %(payment_id)s, 'created')",
        payment,
    )
    with house.screen(student) as screen:
        house.run("update payment set state = 'captured' where payment_id = %s", (payment["payment_id"],))
        screen.sees("PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED", timeout_s=60)
    assert house.get(student, "learning")["courses"][0]["status"] == "active"
    told = "select state, detail from finding where kind = 'payment_without_purchase' and subject = %s"
    (state, detail) = house.rows(told, (f"kc:{payment['payment_id']}",))[0]
    assert (state in {"open", "fixed"}, detail["mending"]) == (True, True)


def test_events_that_were_never_told_are_told(house):
    student = str(uuid.uuid4())
    assert house.webhook(new_payment(student, house.courses[0]))[0] == 200
    planned = "select count(*) from event where student_id = %s and type = 'SESSIONS_PLANNED'"
    wait_until(lambda: house.rows(planned, (student,)) == [(1,)], 60, what="the plan of sessions")
    house.run("delete from event where student_id = %s and type = 'COURSE_ACCESS_GRANTED'", (student,))
    types = "select seq, type from event where student_id = %s order by seq"
    wait_until(lambda: len(house.rows(types, (student,))) == 4, 60)
    healed = house.rows(types, (student,))
    assert [kind for _, kind in healed][2] == "COURSE_ACCESS_GRANTED"
    assert [seq for seq, _ in healed] == [1, 2, 3, 4]


def test_a_busy_healthy_node_has_no_finding(house):
    students = [str(uuid.uuid4()) for _ in range(20)]
    for number in range(60):
        house.produce(new_payment(students[number % 20], house.courses[number % 3]), flush=False)
    house.produce()
    wait_until(lambda: sum(house.purchases(student) for student in students) == 60, 60)
    looked = [line for line in metrics(house).splitlines() if line.startswith("kcactors_findings{")]
    assert len(looked) == 15
    wrong = "select kind, subject, detail from finding where state = 'open' and not detail ? 'mending'"
    assert house.rows(wrong) == []
    assert "kcactors_projection_records_total" in metrics(house)


def test_a_parked_payment_is_found_and_retried_over_http(house):
    student, course = str(uuid.uuid4()), str(uuid.uuid4())
    payment = new_payment(student, course)
    assert house.webhook(payment)[1]["outcome"] == "parked"
    status, page = operator(house, "GET", "?group=payment/course_id")
    (row,) = [row for row in page["parked"] if row["payment_id"] == payment["payment_id"]]
    assert status == 200
    assert {"group": "payment/course_id", "count": len(page["parked"])}.items() <= page["groups"][0].items()
    path = f"/{row['id']}"
    assert operator(house, "GET", path)[1]["payload"]["payment_id"] == payment["payment_id"]
    status, still = operator(house, "POST", path + "/retry")
    assert (status, still["outcome"], still["resolved"]) == (200, "parked", False)
    house.run("insert into course values (%s, 'Latin')", (course,))
    with house.screen(student) as screen:
        status, done = operator(house, "POST", path + "/retry")
        assert (status, done["outcome"], done["resolved"]) == (200, "created", True)
        screen.sees("PURCHASE_CREATED", "COURSE_PURCHASED", "ALLOCATION_WAITLISTED", timeout_s=60)
    assert operator(house, "POST", path + "/retry")[0] == 409
    assert operator(house, "GET", path)[1]["resolved_by"] == "ravi"
    kept = house.rows(
        "select who, command from operator_action where arguments ->> 'id' = %s", (str(row["id"]),)
    )
    assert kept == [("ravi", "parked retry")] * 2


def test_a_parked_message_is_corrected_or_put_aside_over_http(house):
    assert house.webhook(b"{}")[1]["outcome"] == "parked"
    (row,) = operator(house, "GET", "?limit=1")[1]["parked"]
    path = f"/{row['id']}"
    status, problem = operator(house, "PUT", path, {"type": "PAYMENT_SUCCEEDED"})
    assert (status, problem["field"]) == (422, "event_id")
    payment = new_payment(str(uuid.uuid4()), house.courses[0])
    status, edited = operator(house, "PUT", path, payment)
    assert (status, edited["payload"]["payment_id"]) == (200, payment["payment_id"])
    assert operator(house, "POST", path + "/discard", {"reason": " "})[0] == 400
    status, gone = operator(house, "POST", path + "/discard", {"reason": "made by hand"})
    assert (status, gone["state"], gone["resolution"]) == (200, "discarded", "made by hand")
    assert operator(house, "PUT", path, payment)[0] == 409


def test_parked_messages_are_for_operators(house):
    assert house.request("GET", "/api/v1/parked")[0] == 401
    student = {"Authorization": f"Bearer {house.token(str(uuid.uuid4()))}"}
    for method, path in (
        ("GET", ""),
        ("GET", "/1"),
        ("PUT", "/1"),
        ("POST", "/1/retry"),
        ("POST", "/1/discard"),
    ):
        assert house.request(method, f"/api/v1/parked{path}", b"{}", student)[0] == 403
    assert operator(house, "GET", "/999999999")[0] == 404
    assert operator(house, "GET", f"/{10**30}")[0] == 404
    assert operator(house, "POST", "/999999999/retry")[0] == 404
    assert operator(house, "GET", "?state=odd")[0] == 400
    assert operator(house, "GET", "?limit=0")[0] == 400


def test_the_upkeep_is_in_the_tree(house):
    headers = {"Authorization": f"Bearer {house.token('ravi', role='operator')}"}
    status, seen = house.request("GET", "/api/v1/supervision", None, headers)
    assert status == 200
    names = {child["name"] for child in seen["root"]["children"]}
    assert {"reconciler", "audit", "projections"} <= names

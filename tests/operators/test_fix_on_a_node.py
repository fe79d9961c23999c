"""A database broken under a running node whose own healing sleeps: ``audit --fix`` heals it, to Redis and Kafka."""

import contextlib
import json
import uuid
from collections import Counter

import pytest
import redis

from kcactors.cli import run
from tests.node.conftest import make_house  # noqa: F401 - a fixture for the tests here
from tests.node.house import new_payment
from tests.support.waiting import wait_until

NEVER = "86400"
BOUGHT = ["PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED"]


@pytest.fixture
def house(make_house):  # noqa: F811
    return make_house(
        KCACTORS_RECONCILER_INTERVAL_S=NEVER,
        KCACTORS_RECONCILER_PAYMENT_AGE_S=NEVER,
        KCACTORS_RECONCILER_ALLOCATION_AGE_S=NEVER,
        KCACTORS_AUDIT_INTERVAL_S=NEVER,
        KCACTORS_PROJECTIONS_CACHE="true",
    )


@pytest.fixture
def audit(house, monkeypatch, capsys):
    monkeypatch.setenv("KCACTORS_DATABASE_URL", house.database_url)
    monkeypatch.setenv("KCACTORS_REDIS_URL", house.redis_url)
    monkeypatch.setenv("KCACTORS_AUDIT_SETTLED_S", "0.001")
    monkeypatch.setenv("KCACTORS_AUDIT_PENDING_S", "3")

    def look(*words):
        code = run(["audit", *words, "--json"])
        out = json.loads(capsys.readouterr()[0])
        found = {(line["code"], case["subject"]) for line in out["checks"] for case in line["findings"]}
        return int(code), found, out["mended"]

    return look


@pytest.fixture
def said(house):
    """What each student's channel has said since, by the ids of the events."""
    with contextlib.closing(redis.Redis.from_url(house.redis_url)) as client, client.pubsub() as listener:
        listener.psubscribe("student:*")
        wait_until(lambda: (listener.get_message(timeout=1) or {}).get("type") == "psubscribe")
        texts: list[str] = []

        def so_far():
            while (message := listener.get_message(ignore_subscribe_messages=True)) is not None:
                texts.append(message["data"].decode())
            return [json.loads(text)["id"] for text in texts]

        yield so_far


def rows(house, table, student):
    return house.rows(f"select * from {table} where student_id = %s order by 1", (student,))


def buy(house, number):
    """A student with a purchase whose plan and echo have come back from Kafka."""
    student = str(uuid.uuid4())
    payment = new_payment(student, house.courses[number % 3], provider="kc")
    status, answer = house.webhook(payment)
    assert (status, answer["outcome"]) == (200, "created")
    known = "select count(*) from consumer_lane where student_id = %s and last_seq = 4"
    wait_until(lambda: house.rows(known, (student,)) == [(3,)], 60, what="all three projections")
    return student, answer["purchase_id"], payment


def on_kafka(house):
    """How often each event stands on the topic, by its id."""
    return Counter(dict(record.headers)["ce_id"].decode() for record in house.published())


def take_away(house, purchase, *tables):
    house.run(
        "update trainer t set load = load - 1 from allocation a"
        " where a.purchase_id = %s and t.trainer_id = a.trainer_id and a.status = 'allocated'",
        (purchase,),
    )
    for table in tables:
        house.run(f"delete from {table} where purchase_id = %s", (purchase,))


def test_what_is_mended_reaches_redis_and_kafka(house, audit, said):
    captured, marked, unallocated, untold, unheard = (buy(house, number) for number in range(5))
    wait_until(lambda: house.count("outbox") == 0, 60)
    wait_until(lambda: audit()[:2] == (0, set()), 60, what="a healthy system")

    for student, purchase, payment in (captured, marked):
        take_away(house, purchase, "event", "allocation", "purchase")
        house.run("update lane set seq = 0 where student_id = %s", (student,))
        house.run("delete from consumer_lane where student_id = %s", (student,))
        if payment is marked[2]:
            house.run("delete from payment where payment_id = %s", (payment["payment_id"],))
            house.run(
                "update inbox set payload = %s where payment_id = %s",
                (json.dumps(payment), payment["payment_id"]),
            )
    take_away(house, unallocated[1], "allocation")
    house.run("delete from event where purchase_id = %s and type = 'COURSE_ACCESS_GRANTED'", (untold[1],))
    house.run("update consumer_lane set last_seq = 2 where student_id = %s", (unheard[0],))
    house.run("update consumer_member set started_at = started_at - interval '1 hour'")
    trainer = house.rows("select min(trainer_id::text) from trainer")[0][0]
    house.run("update trainer set load = load + 1 where trainer_id = %s", (trainer,))
    broken = {
        ("A1", f"kc:{captured[2]['payment_id']}"),
        ("A2", unallocated[1]),
        ("A4", f"kc:{marked[2]['event_id']}"),
        ("A5", untold[1]),
        ("A6", untold[0]),
        ("A7", unheard[0]),
        ("A14", trainer),
    }
    wait_until(lambda: audit()[1] == broken, 60, what="all that is broken, and nothing else")

    said()
    before = len(said())
    published = on_kafka(house)
    code, left, mended = audit("--fix")
    assert (left, mended >= len(broken) - 1) == (set(), True), left
    assert code == 0
    for mended_one in (captured, marked, unallocated, untold):
        student, purchase, _ = mended_one
        told = house.rows(
            "select type from event where student_id = %s and purchase_id = %s order by seq",
            (student, purchase),
        )
        assert [kind for (kind,) in told if kind != "SESSIONS_PLANNED"] == [
            *BOUGHT,
            # a new allocation is a new grant
            *([BOUGHT[-1]] if mended_one is unallocated else []),
        ]
    wait_until(lambda: house.count("outbox") == 0, 60, what="everything on Kafka")
    sent = on_kafka(house) - published
    resent = {
        row[0]
        for row in house.rows(
            "select event_id::text from event where student_id = %s and seq > 2", (unheard[0],)
        )
    }
    wait_until(lambda: set(said()[before:]) >= set(sent) >= resent, 60, what="the same events on both")

    wait_until(lambda: audit()[:2] == (0, set()), 60, what="a healthy system again")
    stood = {table: house.count(table) for table in ("purchase", "allocation", "event", "operator_action")}
    heard = len(said())
    assert audit("--fix") == (0, set(), 0)
    assert {table: house.count(table) for table in stood} == stood
    assert len(said()) == heard

"""The main job from outside: one purchase and one allocation each, events on every sink, the course on the screen."""

import json
import threading
from typing import Any
from uuid import uuid4

import pytest
import redis

from actors.protocol.events import SINKS
from actors.store.catalog import import_catalog
from tests.node.conftest import MakeHouse
from tests.node.house import House, new_payment
from tests.support.waiting import wait_until

BOUGHT = ("PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED")


def refund(payment: dict[str, Any], amount: int) -> dict[str, Any]:
    number = uuid4().hex[:12]
    kept = {k: payment[k] for k in ("provider", "payment_id", "student_id", "currency", "occurred_at")}
    return kept | {
        "event_id": f"evt_{number}",
        "type": "PAYMENT_REFUNDED",
        "refund_id": f"ref_{number}",
        "amount": amount,
    }


def test_a_payment_is_on_the_open_screen_and_the_refetch_has_the_course(house: House) -> None:
    student = str(uuid4())
    with house.screen(student) as screen:
        assert screen.connected["head"] == 0
        payment = new_payment(student, house.courses[0])
        status, answer = house.webhook(payment)
        assert (status, answer["outcome"]) == (200, "created")
        events = screen.sees(*BOUGHT)
    assert [e["seq"] for e in events] == [1, 2, 3]
    assert {e["correlation_id"] for e in events} == {payment["payment_id"]}
    view = house.get(student, f"learning?min_seq={events[-1]['seq']}")
    assert view["as_of_seq"] >= 3
    (course,) = view["courses"]
    assert course["course_id"] == house.courses[0]
    assert course["status"] == "active"
    assert course["trainer"]["name"] == events[2]["data"]["trainer_name"]
    assert course["purchases"][0]["purchase_id"] == answer["purchase_id"]


def test_the_learning_page_is_served_with_its_client(house: House) -> None:
    status, _ = house.request("GET", f"/students/{uuid4()}")
    assert status == 200


def test_every_event_reaches_every_declared_sink(make_house: MakeHouse) -> None:
    """The original failure: events went to one sink and not to the other. Every type, every sink, the same facts."""
    student = str(uuid4())
    course = str(uuid4())
    asha = {"trainer_id": str(uuid4()), "name": "Asha", "capacity": 1, "courses": [course]}
    house = make_house(catalog={"courses": [{"course_id": course, "title": "Crowded"}], "trainers": [asha]})
    listener = redis.Redis.from_url(house.redis_url, protocol=2).pubsub()
    listener.subscribe(f"student:{student}")
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    on_redis: list[str] = []

    def everything_rang(most: int) -> bool:
        while (message := listener.get_message(ignore_subscribe_messages=True)) is not None:
            on_redis.append(message["data"].decode())
        return len(on_redis) >= most

    with house.screen(student) as screen:
        first, second = new_payment(student, course), new_payment(student, course)
        assert house.webhook(first)[1]["outcome"] == "created"
        wait_until(lambda: len(screen.bought) >= 3, what="the first purchase")
        bought = house.webhook(second)[1]
        assert bought["outcome"] == "created"
        wait_until(lambda: len(screen.bought) >= 5, what="the second purchase, waitlisted")
        assert house.webhook(refund(first, first["amount"]))[1]["outcome"] == "refunded"
        wait_until(
            lambda: "COURSE_ACCESS_GRANTED" in [e["event"] for e in screen.bought[6:]], what="the freed place"
        )
        # the last of all: the first purchase may have been planned or given back before anybody planned
        wait_until(
            lambda: [
                e
                for e in screen.events
                if e["event"] == "SESSIONS_PLANNED" and e["data"]["purchase_id"] == bought["purchase_id"]
            ],
            60,
            what="the plan of sessions",
        )
        head = house.rows("select seq from lane where student_id = %s", (student,))[0][0]
        wait_until(lambda: len(screen.events) >= head, what="the whole log on the screen")
        wait_until(lambda: everything_rang(head), what="the whole log on Redis")
        wait_until(lambda: house.count("outbox") == 0, 20, what="Kafka has everything")
        texts = screen.texts
    listener.close()
    assert texts == on_redis
    logged = house.rows(
        "select seq, type, event_id::text, data from event where student_id = %s order by seq", (student,)
    )
    on_kafka = [r for r in house.published() if r.key == student.encode()]
    assert [json.loads(t)["seq"] for t in texts] == [row[0] for row in logged] == list(range(1, head + 1))
    for (seq, kind, event_id, data), text, record in zip(logged, texts, on_kafka, strict=True):
        frame, headers = json.loads(text), dict(record.headers)
        assert (frame["event"], frame["id"], frame["data"]) == (kind, event_id, data)
        assert (headers["ce_type"], headers["ce_id"]) == (kind.encode(), event_id.encode())
        assert headers["ce_sequence"] == b"%020d" % seq
        assert headers["ce_source"] == f"/kcactors/student/{student}".encode()
        assert json.loads(record.value) == data
    shown = {kind for _, kind, _, _ in logged}
    assert shown >= {k for k, sinks in SINKS.items() if sinks}


def test_one_payment_two_hundred_times_at_once(house: House) -> None:
    student = str(uuid4())
    payment = new_payment(student, house.courses[0])
    other = payment | {"event_id": f"evt_{uuid4().hex}"}
    outcomes: list[str] = []

    def deliver(body: dict[str, Any]) -> None:
        outcomes.append(house.webhook(body)[1]["outcome"])

    with house.screen(student) as screen:
        threads = [threading.Thread(target=deliver, args=((payment, other)[n % 2],)) for n in range(40)]
        for thread in threads:
            thread.start()
        house.produce(*[(payment, other)[n % 2] for n in range(160)])
        for thread in threads:
            thread.join(timeout=30)
        screen.sees(*BOUGHT)
        wait_until(lambda: "created" in outcomes or house.purchases(student) == 1)
        # a payment after the storm: when it is through, the storm before it on the same lane is over
        last = new_payment(student, house.courses[1])
        house.produce(last)
        wait_until(lambda: len(screen.bought) >= 6, what="the last payment")
        seqs = [e["seq"] for e in screen.events]
        assert seqs == list(range(1, len(seqs) + 1))
        assert [e["event"] for e in screen.bought] == [*BOUGHT, *BOUGHT]
    assert len(outcomes) == 40
    assert set(outcomes) <= {"created", "exists"}
    assert outcomes.count("created") <= 1
    assert house.purchases(student) == 2
    house.is_sound()


@pytest.mark.parametrize("by", ["kafka", "webhook"])
def test_marked_as_processed_but_never_bought_is_recovered(house: House, by: str) -> None:
    """The failure that this service was made for: the mark is there, the purchase is not, the event comes again."""
    student = str(uuid4())
    payment = new_payment(student, house.courses[0])
    house.run(
        "insert into inbox (provider, event_id, payment_id, outcome) values ('kc', %s, %s, 'created')",
        (payment["event_id"], payment["payment_id"]),
    )
    with house.screen(student) as screen:
        if by == "kafka":
            house.produce(payment)
        else:
            assert house.webhook(payment)[1]["outcome"] == "recovered"
        screen.sees(*BOUGHT)
    house.is_sound()
    assert house.rows("select outcome from inbox where event_id = %s", (payment["event_id"],)) == [
        ("recovered",)
    ]


def test_an_allocation_that_was_marked_and_never_made_is_recovered(house: House) -> None:
    student = str(uuid4())
    payment = new_payment(student, house.courses[0])
    purchase = str(uuid4())
    house.run(
        "insert into purchase"
        " (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency, created_at)"
        " values (%s, 'kc', %s, %s, %s, 30, 499900, 'INR', now() + interval '1 hour')",
        (purchase, payment["payment_id"], student, payment["course_id"]),
    )
    house.run(
        "insert into inbox (provider, event_id, payment_id, outcome) values ('kc', %s, %s, 'created')",
        (payment["event_id"], payment["payment_id"]),
    )
    with house.screen(student) as screen:
        status, answer = house.webhook(payment)
        assert (status, answer["outcome"], answer["purchase_id"]) == (200, "recovered", purchase)
        screen.sees(*BOUGHT)
    house.is_sound()


def test_the_reconciler_heals_the_original_case_without_anyone(house: House) -> None:
    student = str(uuid4())
    with house.screen(student) as screen:
        house.run(
            "insert into payment"
            " (provider, payment_id, state, student_id, course_id, tier, amount, currency, updated_at)"
            " values ('kc', 'pay_lost', 'captured', %s, %s, 30, 100, 'INR', now() - interval '1 day')",
            (student, house.courses[0]),
        )
        house.run(
            "insert into inbox (provider, event_id, payment_id, outcome)"
            " values ('kc', 'evt_lost', 'pay_lost', 'created')"
        )
        screen.sees(*BOUGHT, timeout_s=20)
    house.is_sound()


def test_the_same_payment_with_other_facts_is_a_conflict_and_the_first_stands(house: House) -> None:
    student = str(uuid4())
    payment = new_payment(student, house.courses[0])
    assert house.webhook(payment)[1]["outcome"] == "created"
    for field, value in (("amount", 1), ("course_id", house.courses[1]), ("student_id", str(uuid4()))):
        answer = house.webhook(payment | {field: value, "event_id": f"evt_{uuid4().hex}"})
        assert answer[0] == 200
        assert answer[1]["outcome"] == "conflict", field
    subject = f"kc:{payment['payment_id']}"
    assert house.rows("select amount from purchase where student_id = %s", (student,)) == [
        (payment["amount"],)
    ]
    assert house.rows("select kind, state from finding where subject = %s", (subject,)) == [
        ("conflict", "open")
    ]
    assert house.rows(
        "select count(*) from parked where state = 'open' and payment_id = %s", (payment["payment_id"],)
    ) == [(3,)]
    house.is_sound()


def test_what_cannot_be_decoded_is_parked_with_its_bytes_and_the_partition_goes_on(house: House) -> None:
    student = str(uuid4())
    good = new_payment(student, house.courses[0])
    broken: dict[str, bytes] = {
        "body": b"\xff\xfe no json",
        "tier": json.dumps(new_payment(student, house.courses[0]) | {"tier": "thirty"}).encode(),
        "amount": json.dumps(
            {k: v for k, v in new_payment(student, house.courses[0]).items() if k != "amount"}
        ).encode(),
        "type": json.dumps(new_payment(student, house.courses[0]) | {"type": "PAYMENT_IMAGINED"}).encode(),
        "payment_id": json.dumps(new_payment(student, house.courses[0]) | {"payment_id": "a\x00b"}).encode(),
        "order_id": json.dumps(new_payment(student, house.courses[0]) | {"order_id": "\ud800"}).encode(),
    }
    deep = (
        json.dumps(new_payment(student, house.courses[0]))[:-1].encode()
        + b',"x":'
        + b"[" * 50_000
        + b"]" * 50_000
        + b"}"
    )
    house.produce(*broken.values(), deep, good)
    wait_until(lambda: house.purchases(student) == 1, what="the good one behind the bad ones")
    wait_until(lambda: len(house.rows("select 1 from parked where stage = 'decode'")) == len(broken) + 1)
    kept = {
        row[0]: row[1]
        for row in house.rows(
            "select field, payload from parked where stage = 'decode' and length(payload) < 10000"
        )
    }
    assert kept == broken
    assert house.rows("select distinct state from parked where stage = 'decode'") == [("open",)]
    status, answer = house.webhook(broken["tier"])
    assert (status, answer["outcome"]) == (200, "parked")
    assert "tier" in json.dumps(answer)


def test_an_unknown_course_is_parked_until_the_catalogue_has_it(house: House) -> None:
    student, course = str(uuid4()), str(uuid4())
    payment = new_payment(student, course)
    assert house.webhook(payment)[1]["outcome"] == "parked"
    ((parked_id, payload),) = house.rows(
        "select id, payload from parked where state = 'open' and student_id = %s", (student,)
    )
    import_catalog(house.database_url, {"courses": [{"course_id": course, "title": "New"}], "trainers": []})
    assert house.webhook(bytes(payload))[1]["outcome"] == "created"
    assert parked_id > 0
    wait_until(
        lambda: (
            house.rows("select status from allocation where student_id = %s", (student,)) == [("waitlisted",)]
        )
    )


def test_a_renewal_keeps_its_trainer_and_a_full_course_waits(make_house: MakeHouse) -> None:
    course, asha, ravi = (str(uuid4()) for _ in range(3))
    house = make_house(
        catalog={
            "courses": [{"course_id": course, "title": "Chess"}],
            "trainers": [
                {"trainer_id": asha, "name": "Asha", "capacity": 2, "courses": [course]},
                {"trainer_id": ravi, "name": "Ravi", "capacity": 1, "courses": [course]},
            ],
        }
    )
    first, second, third = (str(uuid4()) for _ in range(3))
    house.webhook(new_payment(first, course))
    wait_until(lambda: len(house.rows("select 1 from allocation where status = 'allocated'")) == 1)
    trainer = house.rows("select trainer_id from allocation")[0][0]
    house.webhook(new_payment(second, course))
    wait_until(lambda: len(house.rows("select 1 from allocation where status = 'allocated'")) == 2)
    assert len(house.rows("select distinct trainer_id from allocation")) == 2, "the least loaded came second"
    renewed = new_payment(first, course) if str(trainer) == asha else new_payment(second, course)
    house.webhook(renewed)
    wait_until(lambda: len(house.rows("select 1 from allocation where status = 'allocated'")) == 3)
    assert house.rows(
        "select count(*) from allocation where trainer_id = %s and student_id = %s",
        (asha, renewed["student_id"]),
    ) == [(2,)]
    with house.screen(third) as screen:
        house.webhook(new_payment(third, course))
        screen.sees("PURCHASE_CREATED", "COURSE_PURCHASED", "ALLOCATION_WAITLISTED")
        house.run("update trainer set capacity = 2 where trainer_id = %s", (ravi,))
        wait_until(lambda: screen.bought[-1]["event"] == "COURSE_ACCESS_GRANTED", 20, what="room is noticed")
    house.is_sound()

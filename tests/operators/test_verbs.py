"""The operators' verbs: what they change, what they say, how they end. No node runs beside them."""

import json
import uuid

import pytest
import redis

from kcactors.cli import run
from tests.operators.breaking import break_a1, break_a2, break_a3, mark, park, payment
from tests.operators.conftest import COURSE, EMPTY_COURSE, PAID_AT
from tests.operators.test_audit import everything
from tests.support.waiting import wait_until


@pytest.fixture
def command(monkeypatch, capsys, database_url, redis_url):
    monkeypatch.setenv("KCACTORS_DATABASE_URL", database_url)
    monkeypatch.setenv("KCACTORS_REDIS_URL", redis_url)

    def call(*words):
        code = run([str(word) for word in words])
        out, err = capsys.readouterr()
        return int(code), json.loads(out) if "--json" in words else out, err

    return call


@pytest.fixture
def heard(redis_url):
    """Everything that is said on Redis from now on."""
    client = redis.Redis.from_url(redis_url)
    listener = client.pubsub()
    listener.psubscribe("*")
    wait_until(lambda: (listener.get_message(timeout=1) or {}).get("type") == "psubscribe")
    texts = []

    def so_far():
        while (message := listener.get_message(ignore_subscribe_messages=True)) is not None:
            texts.append(json.loads(message["data"]))
        return texts

    yield so_far
    listener.close()
    client.close()


def actions(world):
    return world.database.execute(
        "select who, command, arguments, dry_run from operator_action order by id"
    ).fetchall()


def test_an_audit_names_what_stands_and_fix_mends_it(world, command, heard):
    code, out, _ = command("audit", "--json")
    assert (code, out["ok"], out["open"]) == (0, True, 0)
    assert len(out["checks"]) == 15
    subject = break_a1(world)
    code, out, _ = command("audit", "--json")
    assert (code, out["ok"], out["open"]) == (1, False, 1)
    (line,) = [line for line in out["checks"] if line["open"]]
    assert (line["code"], line["findings"][0]["subject"]) == ("A1", subject)
    code, text, _ = command("audit")
    assert code == 1
    assert subject in text
    code, out, _ = command("audit", "--fix", "--who", "mira", "--json")
    assert (code, out["open"]) == (0, 0)
    assert out["mended"] >= 1
    wait_until(lambda: len(heard()) == 3)
    said = heard()
    assert [each["event"] for each in said] == [
        "PURCHASE_CREATED",
        "COURSE_PURCHASED",
        "ALLOCATION_WAITLISTED",
    ]
    assert {each["student_id"] for each in said} == {str(world.waiting)}
    healed = everything(world.database)
    code, out, _ = command("audit", "--fix", "--json")
    assert (code, out["mended"]) == (0, 0)
    assert everything(world.database) == healed
    assert [row[:2] for row in actions(world)] == [("mira", "audit --fix")]


def test_an_audit_reads_a_providers_statement(world, command, tmp_path):
    file = tmp_path / "statement.json"
    item = {"id": "pay_1", "entity": "payment", "status": "captured", "amount": 50000, "currency": "INR"}
    answer = {
        "from": 1_760_000_000,
        "to": 1_760_086_400,
        "entity": "collection",
        "count": 2,
        "items": [
            {**item, "created_at": 1_760_000_100},
            {**item, "id": "pay_2", "status": "failed", "created_at": 1_760_000_200},
        ],
    }
    file.write_text(json.dumps(answer))
    code, out, _ = command("audit", "--statement", file, "--json")
    (line,) = [line for line in out["checks"] if line["open"]]
    assert (code, line["code"]) == (1, "A11")
    assert [(c["subject"], c["detail"]["bucket"]) for c in line["findings"]] == [
        ("razorpay:pay_1", "missing_here")
    ]
    assert command("audit", "--statement", file, "--provider", "nobody")[0] == 2
    file.write_text('{"items": 3}')
    code, _, err = command("audit", "--statement", file)
    assert code == 2
    assert "items" in err


def check_repair(world, command, *words):
    before = everything(world.database)
    dry = command("repair", *words, "--json")
    assert everything(world.database) == before
    assert (dry[0], dry[1]["ok"], dry[1]["dry_run"], dry[1]["changed"]) == (1, False, True, True)
    done = command("repair", *words, "--apply", "--reason", "ticket 7", "--who", "mira", "--json")
    assert (done[0], done[1]["ok"], done[1]["changed"]) == (0, True, True)
    after = everything(world.database)
    assert after != before
    again = command("repair", *words, "--apply", "--json")
    assert (again[0], again[1]["changed"]) == (0, False)
    assert command("repair", *words)[0] == 0
    assert everything(world.database) == after
    first, second = actions(world)[:2]
    assert first[3] is True
    assert (second[0], second[2]["reason"], second[3]) == ("mira", "ticket 7", False)
    return done[1]


def test_repair_purchase_of_a_payment(world, command, heard):
    break_a1(world)
    done = check_repair(world, command, "purchase", "--payment-id", "p3")
    assert (done["outcome"], done["purchase_id"]) == ("recovered", str(world.purchases["p3"]))
    assert wait_until(lambda: len(heard()) == 3)


def test_repair_purchase_from_what_a_mark_carries(world, command):
    payload = {
        "event_id": "e-lost",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": "lost",
        "student_id": str(uuid.uuid4()),
        "course_id": str(COURSE),
        "tier": 4,
        "amount": 1000,
        "currency": "INR",
        "occurred_at": PAID_AT.isoformat(),
    }
    mark(world, "lost", json.dumps(payload))
    done = check_repair(world, command, "purchase", "--payment-id", "lost")
    assert done["outcome"] == "recovered"


@pytest.mark.parametrize(
    ("payment_id", "code", "word"),
    [("nobody", 2, "no payment"), ("half", 1, "who bought what"), ("failed", 1, "failed")],
)
def test_repair_purchase_needs_something_to_rest_on(world, command, payment_id, code, word):
    mark(world, "half")
    payment(world, "failed", state="failed")
    before = everything(world.database)
    found, out, err = command("repair", "purchase", "--payment-id", payment_id, "--apply")
    assert (found, out) == (code, "")
    assert word in err
    assert everything(world.database) == before


def test_repair_allocation_without_a_row(world, command):
    break_a2(world)
    done = check_repair(world, command, "allocation", "--purchase-id", world.purchases["p1"])
    assert done["allocation"] == "allocated"


def test_repair_allocation_of_one_that_waits(world, command):
    world.database.execute(
        "insert into trainer_course select trainer_id, %s from trainer limit 1", (EMPTY_COURSE,)
    )
    check_repair(world, command, "allocation", "--purchase-id", world.purchases["p3"])


def test_repair_allocation_that_may_not_be(world, command):
    assert command("repair", "allocation", "--purchase-id", world.purchases["p4"])[0] == 1
    assert command("repair", "allocation", "--purchase-id", uuid.uuid4())[0] == 2
    assert command("repair", "allocation", "--purchase-id", "x")[0] == 2


def test_repair_events_that_were_never_told(world, command, heard):
    world.database.execute(
        "delete from event where student_id = %s and type = 'ALLOCATION_WAITLISTED'", (world.waiting,)
    )
    done = check_repair(world, command, "events", "--student-id", world.waiting)
    assert [(each["seq"], each["type"]) for each in done["restored"]] == [(3, "ALLOCATION_WAITLISTED")]
    assert [seq for seq, _ in world.types(world.waiting)] == [1, 2, 3]


def test_repair_events_gives_a_lane_its_right_number(world, command):
    world.database.execute("update lane set seq = seq + 4 where student_id = %s", (world.waiting,))
    done = check_repair(world, command, "events", "--student-id", world.waiting)
    assert [(each["from"], each["to"]) for each in done["renumbered"]] == [(7, 3)]


def test_resent_events_are_the_stored_ones(world, command, heard):
    words = ("repair", "events", "--student-id", world.plain, "--resend", "--from", 2)
    code, out, _ = command(*words, "--json")
    stored = world.database.execute(
        "select event_id::text, seq from event where student_id = %s and seq >= 2 order by seq",
        (world.plain,),
    ).fetchall()
    assert (code, out["resent"]) == (1, len(stored))
    assert world.database.execute("select count(*) from outbox").fetchone() == (0,)
    code, out, _ = command(*words, "--apply", "--json")
    assert (code, out["resent"]) == (0, len(stored))
    wait_until(lambda: len(heard()) == len(stored))
    said = heard()
    assert [(each["id"], each["seq"]) for each in said] == stored
    rows = world.database.execute("select event_id::text, seq from outbox order by id").fetchall()
    assert rows == stored
    assert command("repair", "events", "--student-id", uuid.uuid4())[0] == 2
    assert command("repair", "events", "--student-id", world.plain, "--from", 2)[0] == 2


def test_parked_messages_from_list_to_retry(world, command, heard):
    unknown = uuid.uuid4()
    student = uuid.uuid4()
    world.pay(student, "q1", course=unknown)
    world.pay(student, "q2", course=unknown)
    park(world, "decode")
    code, out, _ = command("parked", "list", "--json")
    assert (code, len(out["parked"])) == (0, 3)
    groups = {each["group"]: each["count"] for each in out["groups"]}
    assert groups == {"payment/course_id": 2, "decode/broken": 1}
    first = min(row["id"] for row in out["parked"])
    code, out, _ = command("parked", "show", first, "--json")
    assert (code, out["payload"]["payment_id"]) == (0, "q1")
    code, out, _ = command("parked", "retry", "--group", "payment/course_id", "--json")
    assert (code, out["left"]) == (1, 2)
    assert "unknown course" in out["retried"][0]["detail"]
    attempts = "select id, attempts, state from parked where stage = 'payment' order by id"
    assert world.database.execute(attempts).fetchall() == [(first, 2, "open"), (first + 1, 2, "open")]
    world.database.execute("insert into course values (%s, 'Latin')", (unknown,))
    code, out, _ = command("parked", "retry", "--group", "payment/course_id", "--who", "mira", "--json")
    assert (code, out["left"], len(out["retried"])) == (0, 0, 2)
    rows = world.database.execute("select state, resolution, resolved_by from parked where stage = 'payment'")
    assert rows.fetchall() == [("resolved", "created", "mira")] * 2
    assert len(world.types(student)) >= 3
    assert wait_until(lambda: len(heard()) == len(world.types(student)))
    assert command("parked", "retry", first)[0] == 2
    assert {row[1] for row in actions(world)} == {"parked retry"}


def test_a_parked_message_is_corrected(world, command, tmp_path):
    row_id = park(world, "decode")
    code, out, _ = command("parked", "retry", row_id, "--json")
    assert (code, out["retried"][0]["resolved"]) == (1, False)
    file = tmp_path / "event.json"
    file.write_text('{"type": "PAYMENT_SUCCEEDED"}')
    code, _, err = command("parked", "edit", row_id, "--payload", file)
    assert code == 2
    assert "event_id" in err
    event = {
        "event_id": "e9",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": "p9",
        "student_id": str(world.plain),
        "course_id": str(COURSE),
        "tier": 4,
        "amount": 1000,
        "currency": "INR",
        "occurred_at": PAID_AT.isoformat(),
    }
    file.write_text(json.dumps(event))
    assert command("parked", "edit", row_id, "--payload", file, "--reason", "typo")[0] == 0
    code, out, _ = command("parked", "retry", row_id, "--json")
    assert (code, out["retried"][0]["outcome"]) == (0, "created")
    row = world.database.execute(
        "select result -> 'before' from operator_action where command = 'parked edit'"
    )
    assert row.fetchone() == ({"payload_text": "x"},)
    assert command("parked", "edit", row_id, "--payload", file)[0] == 2


def test_a_corrected_message_that_contradicts_goes_on_as_another(world, command, tmp_path):
    row_id = park(world, "decode")
    file = tmp_path / "event.json"
    event = {
        "event_id": "e9",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": "p1",
        "student_id": str(world.plain),
        "course_id": str(COURSE),
        "tier": 4,
        "amount": 7,
        "currency": "INR",
        "occurred_at": PAID_AT.isoformat(),
    }
    file.write_text(json.dumps(event))
    command("parked", "edit", row_id, "--payload", file)
    code, out, _ = command("parked", "retry", row_id, "--json")
    assert (code, out["retried"][0]["outcome"], out["retried"][0]["detail"]) == (1, "conflict", "amount")
    states = world.database.execute("select id, state, stage from parked order by id").fetchall()
    assert [state[1:] for state in states] == [("resolved", "decode"), ("open", "payment")]


def test_a_parked_message_is_discarded_with_a_reason(world, command):
    row_id = park(world, "decode")
    assert command("parked", "discard", row_id, "--reason", " ")[0] == 2
    assert command("parked", "discard", row_id, "--reason", "a test of the provider's")[0] == 0
    _, out, _ = command("parked", "list", "--state", "discarded", "--json")
    assert [row["resolution"] for row in out["parked"]] == ["a test of the provider's"]
    assert command("parked", "discard", row_id, "--reason", "again")[0] == 2
    assert command("parked", "show", row_id + 1)[0] == 2
    assert command("parked", "list", "--state", "odd")[0] == 2


def test_retention_takes_what_is_old_and_no_audit_misses_it(world, command):
    assert command("retention", "--json")[0] == 0
    run = world.database.execute
    run("update inbox set received_at = received_at - interval '91 days'")
    mark(world, "lost")
    run("update inbox set received_at = now() - interval '1 year' where payment_id = 'lost'")
    run(
        "update event set created_at = created_at - interval '401 days' where student_id = %s", (world.plain,)
    )
    run(
        "update purchase set created_at = created_at - interval '401 days' where student_id = %s",
        (world.plain,),
    )
    kept = {
        table: everything(world.database)[table] for table in ("payment", "purchase", "allocation", "lane")
    }
    code, out, _ = command("retention", "--json")
    assert (code, out["inbox"] > 5, out["events"]) == (1, True, len(world.types(world.plain)))
    code, out, _ = command("retention", "--apply", "--json")
    assert (code, out["events"] > 3) == (0, True)
    assert world.types(world.plain) == []
    assert {table: everything(world.database)[table] for table in kept} == kept
    assert run("select event_id from inbox").fetchall() == [("e-lost",)], "the only trace of a loss stays"
    world.settle()
    _, out, _ = command("audit", "--json")
    assert [line["code"] for line in out["checks"] if line["open"]] == ["A4"]
    code, out, _ = command("retention", "--apply", "--json")
    assert (code, out["inbox"], out["events"]) == (0, 0, 0)
    assert world.pay(world.plain, "p1").outcome == "exists"
    assert world.types(world.plain) == []
    assert world.hand.connection.rows("heal_purchases", {"age_s": 0, "back_s": None, "most": 10}) == []
    # the lane goes on where it was
    world.pay(world.plain, "later")
    assert world.types(world.plain)[0][0] > 1
    world.settle()
    _, out, _ = command("audit", "--json")
    assert [line["code"] for line in out["checks"] if line["open"]] == ["A4"]


def test_a_verb_needs_only_its_settings(world, command, monkeypatch):
    break_a3(world)
    monkeypatch.delenv("KCACTORS_REDIS_URL")
    assert command("audit")[0] == 1
    assert command("parked", "list")[0] == 0
    assert command("retention")[0] == 0
    code, _, err = command("audit", "--fix")
    assert code == 2
    assert "KCACTORS_REDIS_URL" in err
    monkeypatch.setenv("KCACTORS_DATABASE_URL", "postgresql://x@127.0.0.1:1/x")
    assert command("audit")[0] == 3


def test_redis_away_stops_no_repair(world, command, monkeypatch):
    break_a1(world)
    monkeypatch.setenv("KCACTORS_REDIS_URL", "redis://127.0.0.1:1/0")
    assert command("repair", "purchase", "--payment-id", "p3", "--apply")[0] == 0
    assert len(world.types(world.waiting)) == 3

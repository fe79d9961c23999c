"""A database broken by hand in each way: the audit names exactly that, and ``fix`` heals what is safe to heal."""

import uuid
from datetime import UTC, datetime

import msgspec
import pytest

from actors.audit.audit import audit
from actors.audit.checks import CHECKS, AuditLimits
from actors.audit.findings import open_findings
from tests.operators.conftest import ACTION, COURSE, PAID_AT, TRAINERS

STRANGER = uuid.uuid4()


def look(world, fix=None):
    return audit(world.hand, AuditLimits(), lambda: datetime.now(UTC), fix=fix)


def found(world, fix=None):
    """Check and subject of everything that the audit finds."""
    return [(line.code, case.subject) for line in look(world, fix) for case in line.findings]


def payment(world, payment_id, *, state="captured", student=STRANGER, order=None):
    world.database.execute(
        "insert into payment (provider, payment_id, state, student_id, course_id, tier, amount, currency, order_id,"
        " captured_at, updated_at) values ('kc', %s, %s, %s, %s, 4, 1000, 'INR', %s, %s, now() - interval '1 hour')",
        (payment_id, state, student, COURSE, order, PAID_AT),
    )


def mark(world, payment_id, payload=None):
    world.database.execute(
        "insert into inbox (provider, event_id, payment_id, payload, received_at)"
        " values ('kc', %s, %s, %s, now() - interval '1 hour')",
        (f"e-{payment_id}", payment_id, payload),
    )


def delete_purchase(world, name):
    """As it was: payment and mark stay, and nothing of the effect."""
    purchase = world.purchases[name]
    run = world.database.execute
    run(
        "update trainer t set load = load - 1 from allocation a where a.purchase_id = %s"
        " and a.status = 'allocated' and t.trainer_id = a.trainer_id",
        (purchase,),
    )
    run("delete from event where purchase_id = %s", (purchase,))
    run("delete from allocation where purchase_id = %s", (purchase,))
    run("delete from purchase where purchase_id = %s", (purchase,))


def break_a1(world):
    """The original failure: the payment was captured and marked as processed, and nobody made the purchase."""
    delete_purchase(world, "p3")
    world.database.execute("update lane set seq = 0 where student_id = %s", (world.waiting,))
    return "kc:p3"


def break_a2(world):
    purchase = world.purchases["p1"]
    world.database.execute(
        "update trainer t set load = load - 1 from allocation a where a.purchase_id = %s"
        " and t.trainer_id = a.trainer_id",
        (purchase,),
    )
    world.database.execute("delete from allocation where purchase_id = %s", (purchase,))
    return str(purchase)


def break_a2_undecided(world):
    purchase = world.purchases["p3"]
    world.database.execute("update allocation set status = 'requested' where purchase_id = %s", (purchase,))
    return str(purchase)


def break_a3(world):
    world.database.execute("update payment set state = 'failed' where payment_id = 'p1'")
    return str(world.purchases["p1"])


def break_a3_absent(world):
    world.database.execute("delete from payment where payment_id = 'p1'")
    return str(world.purchases["p1"])


def break_a4(world):
    payload = {
        "event_id": "e-lost",
        "type": "PAYMENT_SUCCEEDED",
        "payment_id": "lost",
        "student_id": str(STRANGER),
        "course_id": str(COURSE),
        "tier": 4,
        "amount": 1000,
        "currency": "INR",
        "occurred_at": PAID_AT.isoformat(),
    }
    mark(world, "lost", msgspec.json.encode(payload).decode())
    return "kc:e-lost"


def break_a4_without_payload(world):
    mark(world, "lost")
    return "kc:e-lost"


def break_a5(world):
    """The first of three events of a lane was never logged, and the others moved up."""
    purchase = world.purchases["p3"]
    run = world.database.execute
    run("delete from event where purchase_id = %s and type = 'ALLOCATION_WAITLISTED'", (purchase,))
    run("update lane set seq = 2 where student_id = %s", (world.waiting,))
    run("update consumer_lane set last_seq = 2 where student_id = %s", (world.waiting,))
    return str(purchase)


def break_a5_unsent(world):
    world.database.execute(
        "insert into outbox (shard, event_id, student_id, seq, created_at)"
        " select kc.shard(student_id), event_id, student_id, seq, now() - interval '1 hour'"
        " from event where student_id = %s and seq = 3",
        (world.waiting,),
    )
    return f"outbox:{world.waiting}"


def break_a6(world):
    world.database.execute("update lane set seq = seq + 1 where student_id = %s", (world.waiting,))
    return str(world.waiting)


def break_a6_behind(world):
    """The lane's number was set back: the next event would have the number of one that stands."""
    world.database.execute("update lane set seq = seq - 1 where student_id = %s", (world.waiting,))
    return str(world.waiting)


def break_a7(world):
    world.database.execute(
        "update consumer_lane set last_seq = 2 where student_id = %s and consumer = 'echo'", (world.waiting,)
    )
    return str(world.waiting)


def break_a8(world):
    world.database.execute("update purchase set refunded = 200 where payment_id = 'p5'")
    return str(world.purchases["p5"])


def break_a8_status(world):
    world.database.execute("update purchase set status = 'refunded' where payment_id = 'p5'")
    return str(world.purchases["p5"])


def break_a9(world):
    world.database.execute(
        "insert into dispute (provider, dispute_id, payment_id, status, updated_at)"
        " values ('kc', 'd1', 'p1', 'lost', now() - interval '1 hour')"
    )
    return str(world.purchases["p1"])


def break_a10(world):
    world.database.execute("update payment set order_id = 'order-p1' where payment_id = 'p2'")
    return "kc:order-p1"


def break_a11(world):
    world.database.execute(
        "insert into statement_payment (provider, payment_id, state, amount, currency, captured_at)"
        " values ('kc', 'elsewhere', 'captured', 1000, 'INR', now() - interval '1 hour')"
    )
    return "kc:elsewhere"


def break_a11_amount(world):
    world.database.execute(
        "insert into statement_payment (provider, payment_id, state, amount, currency, captured_at)"
        " values ('kc', 'p1', 'captured', 999, 'INR', %s)",
        (PAID_AT,),
    )
    return "kc:p1"


def break_a11_unknown_there(world):
    world.database.execute(
        "insert into statement_span values ('kc', %s, %s)",
        (PAID_AT, PAID_AT.replace(hour=10)),
    )
    # all but one are in the statement
    world.database.execute(
        "insert into statement_payment (provider, payment_id, state, amount, currency, captured_at)"
        " select provider, payment_id, state, amount, currency, captured_at from payment where payment_id <> 'p1'"
    )
    return "kc:p1"


def park(world, stage, student=None):
    row = world.database.execute(
        "insert into parked (stage, reason, payload, fingerprint, student_id, first_at)"
        " values (%s, 'broken', 'x', 'f', %s, now() - case when %s = 'decode' then interval '1 day'"
        " else interval '0' end) returning id",
        (stage, student, stage),
    ).fetchone()
    return row[0]


def break_a12(world):
    return f"parked:{park(world, 'decode')}"


def break_a13(world):
    park(world, "student", world.plain)
    return str(world.plain)


def break_a14(world):
    world.database.execute("update trainer set load = load + 1 where trainer_id = %s", (TRAINERS[0],))
    return str(TRAINERS[0])


def break_a14_room(world):
    world.database.execute("update trainer set capacity = 0 where trainer_id = %s", (TRAINERS[0],))
    return str(TRAINERS[0])


HEALED = [
    ("A1", break_a1),
    ("A2", break_a2),
    ("A2", break_a2_undecided),
    ("A4", break_a4),
    ("A5", break_a5),
    ("A7", break_a7),
    ("A14", break_a14),
]
FOR_PEOPLE = [
    ("A3", break_a3),
    ("A3", break_a3_absent),
    ("A4", break_a4_without_payload),
    ("A5", break_a5_unsent),
    ("A6", break_a6),
    ("A6", break_a6_behind),
    ("A8", break_a8),
    ("A8", break_a8_status),
    ("A9", break_a9),
    ("A10", break_a10),
    ("A11", break_a11),
    ("A11", break_a11_amount),
    ("A11", break_a11_unknown_there),
    ("A12", break_a12),
    ("A13", break_a13),
    ("A14", break_a14_room),
]


def name(value):
    return value.__name__ if callable(value) else value


def everything(database):
    """What stands, table by table, but for the record of marks, findings and operators' actions."""
    tables = ("payment", "purchase", "allocation", "trainer", "lane", "event", "refund", "outbox", "parked")
    return {table: sorted(map(repr, database.execute(f"select * from {table}"))) for table in tables}


def test_a_healthy_world_has_no_finding(world):
    assert world.database.execute("select count(*) from event").fetchone()[0] > 10
    assert found(world) == []
    assert found(world, ACTION) == []


def test_each_of_the_fourteen_checks_is_broken_here():
    assert {code for code, _ in HEALED + FOR_PEOPLE} == {check.code for check in CHECKS} - {"-"}


@pytest.mark.parametrize(("code", "break_it"), HEALED + FOR_PEOPLE, ids=name)
def test_exactly_what_is_broken_is_named(world, code, break_it):
    subject = break_it(world)
    assert found(world) == [(code, subject)]
    kinds = {check.code: check.kind for check in CHECKS}
    rows = world.database.execute("select kind, subject, state from finding").fetchall()
    assert rows == [(kinds[code], subject, "open")]


@pytest.mark.parametrize(("code", "break_it"), HEALED, ids=name)
def test_what_is_safe_is_healed_once(world, code, break_it):
    break_it(world)
    before = len(world.events)
    assert found(world, ACTION) == []
    if code != "A14":
        assert len(world.events) > before, "its events are announced"
    world.settle()
    healed = everything(world.database)
    assert found(world, ACTION) == []
    assert everything(world.database) == healed
    states = world.database.execute("select distinct state from finding").fetchall()
    assert states in ([], [("fixed",)])
    actions = world.database.execute("select who, result from operator_action").fetchall()
    assert len(actions) == 1
    assert actions[0][0] == "ravi"


@pytest.mark.parametrize(("code", "break_it"), FOR_PEOPLE, ids=name)
def test_what_is_for_people_is_left_alone(world, code, break_it):
    subject = break_it(world)
    before = everything(world.database)
    assert found(world, ACTION) == [(code, subject)]
    assert everything(world.database) == before
    assert world.database.execute("select count(*) from operator_action").fetchone() == (0,)


def test_the_original_case_is_made_whole(world):
    break_a1(world)
    found(world, ACTION)
    types = [kind for _, kind in world.types(world.waiting)]
    assert types == ["PURCHASE_CREATED", "COURSE_PURCHASED", "ALLOCATION_WAITLISTED"]
    assert world.database.execute("select outcome from inbox where event_id = 'audit:p3'").fetchone() == (
        "recovered",
    )


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_an_event_taken_from_the_middle_goes_back_to_its_place(world, seq):
    before = world.database.execute(
        "select event_id, seq, type, data from event where student_id = %s order by seq", (world.plain,)
    ).fetchall()
    world.database.execute("delete from event where student_id = %s and seq = %s", (world.plain, seq))
    assert {code for code, _ in found(world)} == {"A5", "A6"}
    found(world, ACTION)
    assert found(world) == []
    after = world.database.execute(
        "select event_id, seq, type, data from event where student_id = %s order by seq", (world.plain,)
    ).fetchall()
    assert after == before


def test_a_finding_that_is_over_by_itself_is_gone(world):
    break_a14(world)
    found(world)
    (left,) = open_findings(world.hand.connection)
    assert (left.kind, left.count) == ("trainer_load", 1)
    world.database.execute("update trainer set load = load - 1 where trainer_id = %s", (TRAINERS[0],))
    assert found(world) == []
    assert world.database.execute("select state from finding").fetchall() == [("gone",)]
    assert open_findings(world.hand.connection) == []


def test_a_conflict_stands_until_its_parked_message_is_dealt_with(world):
    assert world.pay(world.plain, "p1", amount=5).outcome == "conflict"
    assert found(world) == [("-", "kc:p1")]
    world.database.execute("update parked set state = 'discarded'")
    assert found(world) == []


def test_no_more_is_named_than_one_look_may_name(world):
    for number in range(4):
        payment(world, f"lost{number}")
    lines = audit(world.hand, AuditLimits(most=3), lambda: datetime.now(UTC))
    (line,) = [line for line in lines if line.findings]
    assert (line.kind, line.open) == ("payment_without_purchase", 3)
    assert found(world, ACTION) == []

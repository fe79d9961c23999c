"""A database broken by hand, in every way that the audit knows: each function breaks one thing and says its subject.

A world's own students, courses, trainers and provider keep the ways apart, so that all of them fit into one database.
"""

import msgspec

from tests.operators.conftest import PAID_AT


def _run(world, statement):
    world.database.execute(statement, (world.provider,))


def payment(world, payment_id, *, state="captured", order=None):
    world.database.execute(
        "insert into payment (provider, payment_id, state, student_id, course_id, tier, amount, currency, order_id,"
        " captured_at, updated_at) values (%s, %s, %s, %s, %s, 4, 1000, 'INR', %s, %s, now() - interval '1 hour')",
        (world.provider, payment_id, state, world.stranger, world.course, order, PAID_AT),
    )


def mark(world, payment_id, payload=None):
    world.database.execute(
        "insert into inbox (provider, event_id, payment_id, payload, received_at)"
        " values (%s, %s, %s, %s, now() - interval '1 hour')",
        (world.provider, f"e-{payment_id}", payment_id, payload),
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
    return f"{world.provider}:p3"


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
    _run(world, "update payment set state = 'failed' where provider = %s and payment_id = 'p1'")
    return str(world.purchases["p1"])


def break_a3_absent(world):
    _run(world, "delete from payment where provider = %s and payment_id = 'p1'")
    return str(world.purchases["p1"])


def break_a4(world):
    payload = {
        "event_id": "e-lost",
        "type": "PAYMENT_SUCCEEDED",
        "provider": world.provider,
        "payment_id": "lost",
        "student_id": str(world.stranger),
        "course_id": str(world.course),
        "tier": 4,
        "amount": 1000,
        "currency": "INR",
        "occurred_at": PAID_AT.isoformat(),
    }
    mark(world, "lost", msgspec.json.encode(payload).decode())
    return f"{world.provider}:e-lost"


def break_a4_without_payload(world):
    mark(world, "lost")
    return f"{world.provider}:e-lost"


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
    _run(world, "update purchase set refunded = 200 where provider = %s and payment_id = 'p5'")
    return str(world.purchases["p5"])


def break_a8_status(world):
    _run(world, "update purchase set status = 'refunded' where provider = %s and payment_id = 'p5'")
    return str(world.purchases["p5"])


def break_a9(world):
    _run(
        world,
        "insert into dispute (provider, dispute_id, payment_id, status, updated_at)"
        " values (%s, 'd1', 'p1', 'lost', now() - interval '1 hour')",
    )
    return str(world.purchases["p1"])


def break_a10(world):
    _run(world, "update payment set order_id = 'order-p1' where provider = %s and payment_id = 'p2'")
    return f"{world.provider}:order-p1"


def break_a11(world):
    _run(
        world,
        "insert into statement_payment (provider, payment_id, state, amount, currency, captured_at)"
        " values (%s, 'elsewhere', 'captured', 1000, 'INR', now() - interval '1 hour')",
    )
    return f"{world.provider}:elsewhere"


def break_a11_amount(world):
    world.database.execute(
        "insert into statement_payment (provider, payment_id, state, amount, currency, captured_at)"
        " values (%s, 'p1', 'captured', 999, 'INR', %s)",
        (world.provider, PAID_AT),
    )
    return f"{world.provider}:p1"


def break_a11_unknown_there(world):
    world.database.execute(
        "insert into statement_span values (%s, %s, %s)",
        (world.provider, PAID_AT, PAID_AT.replace(hour=10)),
    )
    # all but one are in the statement
    _run(
        world,
        "insert into statement_payment (provider, payment_id, state, amount, currency, captured_at)"
        " select provider, payment_id, state, amount, currency, captured_at from payment"
        " where provider = %s and payment_id <> 'p1'",
    )
    return f"{world.provider}:p1"


def park(world, stage, student=None):
    row = world.database.execute(
        "insert into parked (stage, reason, payload, fingerprint, student_id, first_at)"
        " values (%s, 'broken', 'x', gen_random_uuid()::text, %s, now() - case when %s = 'decode' then interval '1 day'"
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
    world.database.execute("update trainer set load = load + 1 where trainer_id = %s", (world.trainers[0],))
    return str(world.trainers[0])


def break_a14_room(world):
    world.database.execute("update trainer set capacity = 0 where trainer_id = %s", (world.trainers[0],))
    return str(world.trainers[0])


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

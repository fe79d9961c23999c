"""A database broken by hand in each way: the audit names exactly that, and ``fix`` heals what is safe to heal."""

from datetime import UTC, datetime

import pytest

from actors.audit.audit import audit
from actors.audit.checks import CHECKS, AuditLimits
from actors.audit.findings import open_findings
from tests.operators.breaking import FOR_PEOPLE, HEALED, break_a1, break_a14, payment
from tests.operators.conftest import ACTION, World


def look(world, fix=None):
    return audit(world.hand, AuditLimits(), lambda: datetime.now(UTC), fix=fix)


def found(world, fix=None):
    """Check and subject of everything that the audit finds."""
    return [(line.code, case.subject) for line in look(world, fix) for case in line.findings]


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


def test_all_of_them_in_one_database(hand, database):
    """Each is named by its kind and its subject, beside all the others, and nothing else is."""
    worlds = [(World(hand, database, f"way{n}"), way) for n, way in enumerate(HEALED + FOR_PEOPLE)]
    for world, _ in worlds:
        world.fill()
    world = worlds[0][0]
    world.age()
    broken = [(code, break_it(world)) for world, (code, break_it) in worlds]
    assert sorted(found(world)) == sorted(broken)
    before = len(world.events)
    assert sorted(found(world, ACTION)) == sorted(broken[len(HEALED) :])
    told = {event.student_id for event in world.events[before:]}
    queued = {
        str(row[0])
        for row in database.execute(
            "select student_id from outbox where created_at > now() - interval '5 minutes'"
        )
    }
    assert told == queued != set(), "what is said on Redis goes to Kafka, too"
    healed = everything(database)
    assert sorted(found(world, ACTION)) == sorted(broken[len(HEALED) :])
    assert everything(database) == healed
    assert database.execute("select count(*) from operator_action").fetchone() == (1,)


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
    world.database.execute("update trainer set load = load - 1 where trainer_id = %s", (world.trainers[0],))
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


def test_healing_one_student_does_not_read_the_purchases_of_the_others(world):
    """It holds the student's lane meanwhile: reading all tables for each kept payments waiting for a minute."""
    database = world.database
    (mine,) = database.execute("select purchase_id from purchase limit 1").fetchone()
    with database.transaction(force_rollback=True):
        # whole effects of others, each with a refund, so that no branch of the view is empty
        database.execute(
            "insert into purchase"
            " (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency, status, refunded)"
            " select gen_random_uuid(), 'kc', 'other-' || n, gen_random_uuid(), course_id, 4, 10, 'INR',"
            " 'partly_refunded', 1 from generate_series(1, 500) n, (select course_id from course limit 1) c"
        )
        database.execute(
            "insert into refund (provider, refund_id, payment_id, student_id, amount, currency, status, applied_at)"
            " select 'kc', 'refund-' || payment_id, payment_id, student_id, 1, 'INR', 'applied', now() from purchase"
            " where payment_id like 'other-%'"
        )
        database.execute("analyze purchase, refund")
        read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'purchase'"
        (before,) = database.execute(read).fetchone()
        database.execute("select kc.missing_events(array[%s]::uuid[])", (mine,))
        (after,) = database.execute(read).fetchone()
    assert after - before < 50

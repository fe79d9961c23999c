"""The projections over a real broker: each student's log is followed once, whatever comes twice, late or never."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from actors.broker import Broker
from actors.doorbell import VIEWS, DoorbellAway, DoorbellPublisher, view_key
from actors.ingest.consumer import PaymentConsumer
from actors.ingest.membership import Membership
from actors.ingest.offsets import Windows
from actors.ingest.records import Record, mark
from actors.ingest.watch import ClientCalls
from actors.projections import names
from actors.projections.actor import Projection, ProjectionLimits, telling
from actors.projections.metrics import ProjectionMetrics
from actors.projections.position import Position, furthest, shares
from actors.projections.superseded import PLACES_MAX, Passed, superseded, taking_down
from actors.protocol.ids import event_id
from actors.publisher.kafka import EventProducer
from actors.store.connection import Connection
from supervision import ChildSpec, System
from tests.support.waiting import wait_until


def record(key, **headers):
    """A record as a projection reads it."""
    head = b""
    for name, value in headers.items():
        head += mark(name) + (b"\x01" if value is None else bytes([2 * len(value)]) + value)
    return Record(None, 0, key, b"", head)


def told(key, sequence):
    return record(key, ce_id=b"x", ce_sequence=sequence)


STUDENT, OTHER = "5dad23b0-aef7-4980-a949-bebd35a54150", "5dad23b0-aef7-4980-a949-bebd35a54151"


def test_the_furthest_record_of_each_student_counts():
    records = [
        told(STUDENT.encode(), b"%020d" % 3),
        told(OTHER.upper().encode(), b"%020d" % 1),
        told(STUDENT.encode(), b"%020d" % 2),
    ]
    assert furthest(records) == [Position(STUDENT, 3), Position(OTHER, 1)]


def test_two_spellings_of_a_student_are_one():
    records = [told(STUDENT.upper().encode(), b"5"), told(STUDENT.encode(), b"2")]
    assert furthest(records) == furthest(reversed(records)) == [Position(STUDENT, 5)]


@pytest.mark.parametrize(
    ("key", "sequence"),
    [
        (b"nobody", b"1"),
        (None, b"1"),
        (STUDENT.encode(), None),
        (STUDENT.encode(), b"one"),
        (STUDENT.encode(), b"0"),
        (b"\xff", b"1"),
    ],
)
def test_a_strangers_record_is_passed_over(key, sequence):
    assert furthest([told(key, sequence)]) == []


@pytest.mark.parametrize(
    ("count", "at_once", "sizes"),
    [
        (0, 8, []),
        (5, 8, [5]),
        (20, 8, [8, 8, 4]),
        (128, 8, [8] * 16),
        (1600, 8, [100] * 16),
        (1601, 8, [101] * 15 + [86]),
        (20, 0, [20]),
        (0, 0, []),
    ],
)
def test_little_is_held_at_once_and_much_in_few_transactions(count, at_once, sizes):
    positions = [Position(f"{n:04}", 1) for n in range(count)]
    taken = list(shares(positions, at_once))
    assert [len(share) for share in taken] == sizes
    assert [each for share in taken for each in share] == positions


def apply(world, statement, *positions):
    text = json.dumps({"told": [{"student_id": str(student), "seq": seq} for student, seq in positions]})
    return world.hand.connection.rows(statement, (text,))[0][0]


def plans(world):
    rows = world.database.execute("select purchase_id, sessions_total, status from session_plan")
    return {row[0]: row[1:] for row in rows}


def test_sessions_are_planned_once_for_each_allocated_purchase(world):
    seqs = dict(world.database.execute("select student_id, seq from lane").fetchall())
    apply(world, "projection_sessions", *seqs.items())
    planned = plans(world)
    # p4 was granted and given back before anybody planned
    assert planned == {world.purchases[name]: (4, "planned") for name in ("p1", "p2", "p5")}
    types = [kind for _, kind in world.types(world.plain)]
    assert types.count("SESSIONS_PLANNED") == 2
    before = world.types(world.plain)
    apply(world, "projection_sessions", *seqs.items())
    world.database.execute("delete from consumer_lane where consumer = 'sessions'")
    apply(world, "projection_sessions", *seqs.items())
    assert (plans(world), world.types(world.plain)) == (planned, before)


LANES = """
with others as (
    insert into lane (student_id, seq) select gen_random_uuid(), 1 from generate_series(1, 2000) returning student_id
)
insert into consumer_lane (consumer, student_id, last_seq) select 'sessions', student_id, 0 from others
"""
READ = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'consumer_lane_pkey'"


def test_a_student_is_looked_up_by_itself_even_where_nothing_is_known_of_the_tables(world):
    def read():
        world.hand.connection.rows("projection_sessions", ('{"told": []}',))
        world.database.execute("select pg_stat_force_next_flush()")
        return world.database.execute(READ).fetchone()[0]

    world.database.execute(LANES)
    students = [row[0] for row in world.database.execute("select student_id from lane limit 16")]
    before = read()
    apply(world, "projection_sessions", *((student, 1) for student in students))
    # two looks and an insert for each; all 2,000 were read where a plan took them for one
    wait_until(lambda: before < read() < before + 100, what="a few entries were read")


PLACE = "select last_seq from consumer_lane where consumer = 'sessions' and student_id = %s"


def test_a_lane_is_held_only_for_news_that_concern_a_plan(world):
    """A payment under way holds its lane; news that concern no plan come meanwhile and do not wait for it."""
    head = dict(world.database.execute("select student_id, seq from lane").fetchall())[world.plain]
    apply(world, "projection_sessions", (world.plain, head))
    own = world.types(world.plain)[-1]
    assert own[1] == "SESSIONS_PLANNED"
    world.database.execute(
        "update consumer_lane set last_seq = last_seq - 1 where consumer = 'sessions' and student_id = %s",
        (world.plain,),
    )
    with world.database.transaction():
        world.database.execute("select from lane where student_id = %s for update", (world.plain,))
        apply(world, "projection_sessions", (world.plain, own[0]))
    assert world.database.execute(PLACE, (world.plain,)).fetchone() == (own[0],)


def test_of_a_lane_that_was_held_all_is_known(world):
    """The first grant is told alone: what the log holds after it is planned with it, and our own news are none."""
    first = next(seq for seq, kind in world.types(world.plain) if kind == "COURSE_ACCESS_GRANTED")
    apply(world, "projection_sessions", (world.plain, first))
    assert set(plans(world)) == {world.purchases["p1"], world.purchases["p2"]}
    head = world.types(world.plain)[-1]
    assert head[1] == "SESSIONS_PLANNED"
    assert world.database.execute(PLACE, (world.plain,)).fetchone() == (head[0],)
    log = world.types(world.plain)
    apply(world, "projection_sessions", (world.plain, head[0]))
    assert world.types(world.plain) == log


NAMES = "select event_id = kc.event_id(purchase_id, type, turn) from event where type = 'SESSIONS_PLANNED'"


@pytest.mark.parametrize("named", [["p1", "p2", "p5"], ["p2"], []])
def test_an_event_is_called_the_same_wherever_its_name_was_computed(world, named):
    purchases = [str(world.purchases[name]) for name in named]
    called = {purchase: event_id(purchase, "SESSIONS_PLANNED") for purchase in purchases}
    heads = world.database.execute("select student_id, seq from lane").fetchall()
    told = [{"student_id": str(student), "seq": seq} for student, seq in heads]
    batch = {"told": told, "names": called} if called else told  # as a node of the release before says it
    world.hand.connection.rows("projection_sessions", (json.dumps(batch),))
    assert world.database.execute(NAMES).fetchall() == [(True,)] * 3


def test_plans_are_named_for_what_was_granted():
    def event(key, kind, subject):
        return record(key, ce_type=kind, ce_subject=subject, x=None)

    granted, key = b"COURSE_ACCESS_GRANTED", STUDENT.upper().encode()
    records = [
        event(key, granted, OTHER.upper().encode()),
        event(key, granted, OTHER.encode()),
        event(key, b"COURSE_ACCESS_REVOKED", STUDENT.encode()),
        event(key, None, STUDENT.encode()),
        event(None, granted, STUDENT.encode()),
        event(key, granted, None),
        event(b"\xff", granted, STUDENT.encode()),
        event(key, granted, b"nobody"),
        Record(None, 0, key, b""),
    ]
    assert names.plans(records) == {STUDENT: {OTHER: event_id(OTHER, "SESSIONS_PLANNED")}}
    assert names.no_names(records) == {}


def test_what_no_record_told_is_read_from_the_log(world):
    """Only the last record of the lane comes: what was before it is planned all the same."""
    last = world.types(world.plain)[-1][0]
    apply(world, "projection_sessions", (world.plain, last))
    assert set(plans(world)) == {world.purchases["p1"], world.purchases["p2"]}


def test_a_plan_is_taken_back_with_the_access(world):
    apply(world, "projection_sessions", (world.plain, 99))
    world.refund(world.plain, "p1", 1000)
    apply(world, "projection_sessions", (world.plain, 999))
    assert plans(world)[world.purchases["p1"]] == (4, "cancelled")
    assert plans(world)[world.purchases["p2"]] == (4, "planned")


def passed(world, *positions):
    answer = json.loads(apply(world, "projection_cache", *positions))
    assert answer["epoch"] == world.database.execute("select epoch from service").fetchone()[0]
    return answer["students"]


def test_the_cache_goes_on_with_each_log_once_whatever_comes_twice_late_or_never(world):
    heads = dict(world.database.execute("select student_id, seq from lane").fetchall())
    plain, head = str(world.plain), heads[world.plain]
    assert passed(world, (plain, 2), (plain, 3), (STUDENT, 7)) == [[plain, 0, 3]]
    assert passed(world, (plain, 3)) == passed(world, (plain, 1)) == []
    # beyond the log: a record of before a restore
    assert passed(world, (plain, head + 50)) == [[plain, 3, head]]
    assert passed(world, (plain, head)) == []


def test_only_views_that_are_out_of_date_are_taken_down(redis_url):
    doorbell = DoorbellPublisher(redis_url)
    shelf = redis.Redis.from_url(redis_url, decode_responses=True)
    for view in VIEWS:
        for epoch, seq in (("e1", 3), ("e1", 4), ("e1", 5), ("e0", 4)):
            shelf.set(view_key(view, STUDENT, epoch, seq), "a view")
        shelf.set(view_key(view, OTHER, "e1", 4), "another's")
    answered = taking_down(doorbell.take_down)
    answered(json.dumps({"epoch": "e1", "students": [[STUDENT, 3, 5]]}))
    left = set(shelf.keys("kcactors:view:*"))
    kept = ((STUDENT, "e1", 5), (STUDENT, "e0", 4), (OTHER, "e1", 4))
    assert left == {view_key(view, *place) for view in VIEWS for place in kept}
    doorbell.close()
    shelf.close()


def test_views_expire_by_themselves_where_redis_is_away():
    doorbell = DoorbellPublisher("redis://127.0.0.1:1/0", timeout_s=0.2)
    taking_down(doorbell.take_down)(json.dumps({"epoch": "e1", "students": [[STUDENT, 0, 5]]}))
    with pytest.raises(DoorbellAway):
        doorbell.take_down(["a"])
    doorbell.close()


def test_a_long_way_is_looked_after_as_far_as_anything_may_be_left():
    keys = superseded(Passed("e", [(STUDENT, 0, 1_000_000), (OTHER, 7, 9)]))
    assert len(keys) == len(VIEWS) * (PLACES_MAX + 2)
    assert view_key("home", STUDENT, "e", 999_999) in keys
    assert view_key("home", STUDENT, "e", 1_000_000) not in keys


@pytest.fixture
def projection(database_url, redis_url, kafka_bootstrap, kafka_api_version, business_topic):
    system = System("test")
    broker = Broker(bootstrap=kafka_bootstrap, api_version=kafka_api_version)
    announced: list[Any] = []
    doorbells: list[DoorbellPublisher] = []

    def start(name):
        member = Membership(
            topic=business_topic,
            group_id=f"{business_topic}-{name}",
            client_id="n1",
            drain_s=1.0,
            fetch_wait_ms=10,
            session_timeout_ms=6_000,
        )
        now = system.clock.monotonic

        doorbell = DoorbellPublisher(redis_url)
        doorbells.append(doorbell)
        answered = taking_down(doorbell.take_down) if name == "cache" else telling(announced.extend)

        def make():
            return Projection(
                name,
                f"projection_{name}",
                "n1",
                Connection(database_url, name),
                lambda: PaymentConsumer(broker, member, Windows(), now, ClientCalls(now)),
                answered,
                ProjectionLimits(poll_s=0.02, commit_interval_s=0.1, drain_s=1.0),
                ProjectionMetrics(CollectorRegistry()),
                names.plans if name == "sessions" else names.no_names,
            )

        return system.start_child(None, ChildSpec(name, make, drain=False))

    producer = EventProducer(broker, business_topic, "test")
    yield SimpleNamespace(start=start, announced=announced, producer=producer)
    producer.close()
    assert system.stop(20)
    for doorbell in doorbells:
        doorbell.close()


def test_events_on_kafka_are_echoed_and_planned(world, projection, database):
    database.execute("delete from consumer_lane")
    projection.producer.send(world.events)
    projection.start("echo")
    projection.start("sessions")
    projection.start("cache")
    heads = dict(database.execute("select student_id, seq from lane").fetchall())

    def echoed():
        rows = database.execute("select student_id, last_seq from consumer_lane where consumer = 'echo'")
        return dict(rows.fetchall()) == heads

    wait_until(echoed, 60, what="the echo of every lane")
    cached = "select student_id, last_seq from consumer_lane where consumer = 'cache'"
    wait_until(
        lambda: dict(database.execute(cached).fetchall()) == heads, 60, what="the place of every cache"
    )
    wait_until(lambda: len(plans(world)) == 3, 60, what="the plans")
    wait_until(lambda: len(projection.announced) == 3, 10)
    assert {event.type for event in projection.announced} == {"SESSIONS_PLANNED"}
    seen = "select count(*) from consumer_member where caught_up_at is not null and member = 'n1'"
    assert wait_until(lambda: database.execute(seen).fetchone()[0], 60)

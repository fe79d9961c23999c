"""The account reads the tables as they are: every kind of damage made by hand is counted."""

import uuid

import pytest

from actors.store.account import Account, Allocations, Lane, Progress

COURSE, TRAINER = uuid.uuid4(), uuid.uuid4()
STUDENT, OTHER = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture
def account(database_url):
    with Account(database_url) as opened:
        yield opened


@pytest.fixture
def purchase(database):
    """Writes a whole purchase of STUDENT with its allocation and one event, and returns its id."""
    database.execute("insert into course values (%s, 'Algebra')", (COURSE,))
    database.execute("insert into trainer values (%s, 'Asha', 5, 0)", (TRAINER,))
    database.execute("insert into lane values (%s, 0)", (STUDENT,))

    def write(payment_id, status="allocated"):
        id_ = uuid.uuid4()
        database.execute(
            "insert into purchase (purchase_id, provider, payment_id, student_id, course_id, tier, amount, currency)"
            " values (%s, 'kc', %s, %s, %s, 4, 100, 'INR')",
            (id_, payment_id, STUDENT, COURSE),
        )
        trainer = TRAINER if status == "allocated" else None
        database.execute(
            "insert into allocation (allocation_id, purchase_id, student_id, course_id, trainer_id, status)"
            " values (%s, %s, %s, %s, %s, %s)",
            (uuid.uuid4(), id_, STUDENT, COURSE, trainer, status),
        )
        database.execute("update trainer set load = load + 1 where trainer_id = %s", (trainer,))
        database.execute("update lane set seq = seq + 1 where student_id = %s", (STUDENT,))
        database.execute(
            "insert into event (event_id, student_id, seq, type, purchase_id, correlation_id, data)"
            " select %s, student_id, seq, 'PURCHASE_CREATED', %s, %s, '{}' from lane where student_id = %s",
            (uuid.uuid4(), id_, payment_id, STUDENT),
        )
        return id_

    return write


def test_a_whole_account(account, purchase):
    purchase("p1")
    purchase("p2", "waitlisted")
    assert account.purchases([STUDENT, OTHER]) == [("p1", "paid"), ("p2", "paid")]
    assert account.purchases([OTHER]) == []
    assert account.allocations([STUDENT]) == Allocations(allocated=1, waitlisted=1, doubled=0, missing=0)
    assert account.lanes([STUDENT]) == [Lane(STUDENT, events=2, highest=2, seq=2, doubled=0)]
    assert account.lanes([STUDENT])[0].whole
    assert account.progress([STUDENT]) == Progress(purchases=2, requested=0, unpublished=0, events=2)
    assert account.visible("kc", ["p1", "p3"]) == ["p1"]
    assert account.wrong_trainers() == 0


@pytest.mark.parametrize("damage", ["delete from event where seq = 1", "update lane set seq = 3"])
def test_a_hole_in_the_numbers(account, purchase, database, damage):
    purchase("p1")
    purchase("p2")
    database.execute(damage)
    assert not account.lanes([STUDENT])[0].whole


def test_a_student_with_an_empty_lane_is_whole(account, purchase):
    assert account.lanes([STUDENT]) == [Lane(STUDENT, 0, 0, 0, 0)]


def test_a_missing_allocation(account, purchase, database):
    purchase("p1")
    database.execute("delete from allocation")
    assert account.allocations([STUDENT]).missing == 1


def test_an_event_that_says_it_twice(account, purchase, database):
    id_ = purchase("p1")
    purchase("p2")
    database.execute("update event set purchase_id = %s", (id_,))
    assert account.lanes([STUDENT])[0].doubled == 1


@pytest.mark.parametrize("damage", ["load = 2", "load = 0", "capacity = 0"])
def test_a_trainer_whose_load_is_wrong(account, purchase, database, damage):
    purchase("p1")
    database.execute(f"update trainer set {damage}")
    assert account.wrong_trainers() == 1


def test_work_on_its_way(account, purchase, database):
    purchase("p1", "requested")
    database.execute(
        "insert into outbox (shard, event_id, student_id, seq) select 0, event_id, student_id, seq from event"
    )
    progress = account.progress([STUDENT])
    assert (progress.requested, progress.unpublished) == (1, 1)


def test_a_planted_mark_is_what_was_once_found(account, database):
    account.plant_mark("kc", "evt-1", "p1")
    account.plant_mark("kc", "evt-1", "p1")
    assert database.execute("select provider, event_id, payment_id, outcome from inbox").fetchall() == [
        ("kc", "evt-1", "p1", None)
    ]
    assert account.refunds([STUDENT]) == 0

"""The plan of a load: the same seed makes the same plan, and every count is as ordered."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.protocol.payments import PaymentSucceeded, decode_payment
from kcactors.load.catalogue import course_ids, document
from kcactors.load.extras import extras
from kcactors.load.pace import due_s, latency
from kcactors.load.plan import Pattern, Shape, Via, deliveries, payments

AT = datetime(2026, 11, 23, tzinfo=UTC)
SHAPES = st.builds(
    Shape,
    run=st.just("r"),
    payments=st.integers(1, 60),
    students=st.integers(1, 20),
    pattern=st.sampled_from(Pattern),
    zipf=st.floats(0, 2),
    webhook_share=st.floats(0, 1),
    seed=st.integers(),
)


def planned(shape, duplicates):
    return deliveries(shape, payments(shape, course_ids(3), AT), duplicates)


@given(SHAPES, st.integers(0, 150))
def test_counts_are_as_ordered_and_the_first_delivery_comes_first(shape, duplicates):
    sent = planned(shape, duplicates)
    assert len(sent) == shape.payments + duplicates
    assert sum(each.first for each in sent) == shape.payments
    seen = set()
    for each in sent:
        assert each.first == (each.payment_id not in seen)
        seen.add(each.payment_id)


@given(SHAPES, st.integers(0, 60))
def test_the_same_seed_makes_the_same_plan(shape, duplicates):
    assert planned(shape, duplicates) == planned(shape, duplicates)


@given(SHAPES)
def test_a_duplicate_says_the_same_about_the_payment(shape):
    facts: dict[str, tuple[object, ...]] = {}
    for each in planned(shape, 2 * shape.payments):
        event = decode_payment(each.body)
        assert isinstance(event, PaymentSucceeded)
        said = (event.student_id, event.course_id, event.amount, event.tier)
        assert facts.setdefault(event.payment_id, said) == said
        assert each.student_id == str(event.student_id)


def test_duplicates_come_under_the_same_and_under_other_event_ids():
    events = [decode_payment(each.body) for each in planned(Shape(run="r", payments=50, students=5), 50)]
    ids = Counter(
        event.payment_id for event in {(each.payment_id, each.event_id): each for each in events}.values()
    )
    assert set(ids.values()) == {1, 2}


def test_late_duplicates_come_after_every_payment():
    sent = planned(Shape(run="r", payments=30, students=5, pattern=Pattern.LATE), 30)
    assert all(each.first for each in sent[:30])


def test_a_storm_is_one_payment():
    sent = planned(Shape(run="r", payments=30, students=5, pattern=Pattern.STORM), 300)
    assert len({each.payment_id for each in sent if not each.first}) == 1


def test_zipf_gives_few_students_most():
    even = Shape(run="r", payments=2000, students=100, zipf=0.0)
    steep = Shape(run="r", payments=2000, students=100, zipf=1.5)
    most = [
        Counter(each.student_id for each in payments(shape, course_ids(3), AT)).most_common(1)[0][1]
        for shape in (even, steep)
    ]
    assert most[1] > 5 * most[0]


@pytest.mark.parametrize(("share", "ways"), [(0.0, {Via.KAFKA}), (1.0, {Via.WEBHOOK}), (0.5, set(Via))])
def test_the_share_of_webhooks(share, ways):
    sent = planned(Shape(run="r", payments=100, students=5, webhook_share=share), 0)
    assert {each.via for each in sent} == ways


def test_extras_count_their_refunds_and_marks():
    hard = extras("r", 3, course_ids(2), 1, AT)
    sent = [decode_payment(each.body) for stage in hard.stages for each in stage]
    refunds = {event.refund_id for event in sent if hasattr(event, "refund_id")}
    assert (hard.payments, hard.refunds, len(hard.marks), len(refunds)) == (12, 12, 3, 12)


def test_a_catalogue_serves_every_course():
    made = document(courses=8, trainers=20, capacity=5, scarce=1)
    served = Counter(course for trainer in made["trainers"] for course in trainer["courses"])
    assert set(served) == {course["course_id"] for course in made["courses"]}
    assert {trainer["capacity"] for trainer in made["trainers"]} == {1, 5}


def test_pacing_is_open_loop():
    assert [due_s(index, 200) for index in (0, 1, 200)] == [0, 0.005, 1]
    assert due_s(7, None) == 0


def test_percentiles_are_of_the_nearest_rank():
    found = latency([0.001 * number for number in range(1, 101)])
    assert (found.samples, found.p50, found.p99, found.worst) == (100, 50.0, 99.0, 100.0)
    assert latency([]).p99 == 0

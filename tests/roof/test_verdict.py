"""The verdict of a load: whatever is broken is counted, and only that."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.store.account import Allocations, Lane
from kcactors.load.pace import Speed
from kcactors.load.plan import Via
from kcactors.load.published import Published
from kcactors.load.report import Counts, Result
from kcactors.load.sequence import Sequence
from kcactors.load.verify import Stands, judge

WHOLE = Stands(
    purchases=[("p1", "paid"), ("p2", "paid")],
    allocations=Allocations(allocated=1, waitlisted=1, doubled=0, missing=0),
    lanes=[Lane("s1", 3, 3, 3, 0), Lane("s2", 2, 2, 2, 0)],
    wrong_trainers=0,
)
SEEN: dict[str, Any] = {
    "expected": ["p1", "p2"],
    "published": 5,
    "published_holes": 0,
    "watched": ["s1"],
    "seen": 3,
    "repeated": 0,
}


def changed(**fields):
    return msgspec.structs.replace(WHOLE, **fields)


def test_a_kept_promise():
    verdict = judge(WHOLE, **SEEN)
    assert verdict.kept
    assert verdict.broken() == []


@pytest.mark.parametrize(
    ("stands", "seen", "wrong"),
    [
        (changed(purchases=[("p1", "paid")]), {}, {"lost": 1}),
        (changed(purchases=[*WHOLE.purchases, ("p2", "paid")]), {}, {"doubled": 1}),
        (changed(purchases=[*WHOLE.purchases, ("p3", "paid")]), {}, {"doubled": 1}),
        (changed(allocations=Allocations(1, 0, 0, 1)), {}, {"lost": 1}),
        (changed(allocations=Allocations(2, 1, 1, 0)), {}, {"doubled": 1}),
        (changed(lanes=[Lane("s1", 3, 4, 4, 0), WHOLE.lanes[1]]), {}, {"sequence_holes": 1}),
        (changed(lanes=[Lane("s1", 3, 3, 4, 0), WHOLE.lanes[1]]), {}, {"sequence_holes": 1}),
        (changed(lanes=[Lane("s1", 3, 3, 3, 1), WHOLE.lanes[1]]), {}, {"doubled": 1}),
        (changed(wrong_trainers=2), {}, {"wrong_trainers": 2}),
        (WHOLE, {"published": 4}, {"unpublished": 1}),
        (WHOLE, {"published_holes": 1}, {"published_holes": 1}),
        (WHOLE, {"seen": 2}, {"missed_on_screens": 1}),
        (WHOLE, {"repeated": 1}, {"repeated_on_screens": 1}),
    ],
)
def test_each_break_is_counted_by_its_name_and_no_other(stands, seen, wrong):
    verdict = judge(stands, **{**SEEN, **seen})
    assert {name: count for name, count in msgspec.structs.asdict(verdict).items() if count} == wrong
    assert len(verdict.broken()) == 1


@given(st.permutations(range(1, 8)))
def test_a_sequence_sees_everything_once_in_order_or_says_so(numbers):
    sequence = Sequence()
    fresh = [number for number in numbers if sequence.see(number)]
    assert (fresh == list(numbers)) == (sequence.holes == 0 and sequence.repeated == 0)


def test_kafka_may_repeat_but_not_disorder():
    def record(seq):
        return {"ce_source": b"/kcactors/student/s1", "ce_sequence": b"%020d" % seq, "ce_id": b"e%d" % seq}

    published = Published(["s1"])
    for seq in (1, 2, 1, 2, 3):
        published.take(record(seq), b"{}")
    assert (published.events, published.holes, published.repeated) == (3, 0, 2)
    published.take(record(5), b"{}")
    assert published.holes == 1
    published.take({"ce_source": b"/kcactors/student/other", "ce_sequence": b"9"}, b"{}")
    assert published.events == 4


def test_the_document_has_the_contract_s_fields_and_a_broken_promise_is_not_ok():
    counts = Counts(2, 1, 1, 5, 5, 0, 3, 3, {}, 0)
    result = Result(
        payments=2,
        deliveries=4,
        counts=counts,
        verdict=judge(WHOLE, **SEEN),
        throughput_payments_per_s=100.0,
        speeds={Via.KAFKA: Speed([0.003], [0.004]), Via.WEBHOOK: Speed([0.001], [])},
    )
    document = result.document()
    assert set(document) == {
        "payments", "deliveries", "purchases", "allocations", "waitlisted", "duplicates_absorbed", "doubled", "lost",
        "refunds", "recovered", "events_published", "events_of_watched_students", "events_seen_by_sessions",
        "throughput_payments_per_s", "latency_ms", "ok",
    }  # fmt: skip
    assert document["ok"] is True
    assert document["duplicates_absorbed"] == 2
    assert document["latency_ms"] == {
        "payment_to_commit": {"p50": 1.0, "p99": 3.0},
        "payment_to_screen": {"p50": 4.0, "p99": 4.0},
    }
    assert msgspec.structs.replace(result, trouble=["one refund is missing"]).document()["ok"] is False
    late = msgspec.structs.replace(result, counts=msgspec.structs.replace(counts, not_consumed=1))
    assert late.document()["ok"] is False

"""The messages that providers are translated to: what makes them the same, whose they are, who may send them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from actors.messages import effect_key
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import (
    PaymentDisputed,
    PaymentEvent,
    PaymentNoticed,
    PaymentUnnamed,
    RefundReported,
    decode_kept,
    decode_payment,
    lane_key,
    payment_key,
)
from actors.protocol.undecodable import Undecodable
from actors.student.memory import Memory

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)


def refund(**changes: Any) -> RefundReported:
    facts: dict[str, Any] = {"payment_id": "pi_1", "refund_id": "re_1", "amount": 30} | changes
    return RefundReported(event_id=uuid4().hex, provider="stripe", currency="INR", occurred_at=AT, **facts)


def dispute(**changes: Any) -> PaymentDisputed:
    facts: dict[str, Any] = {"payment_id": "pi_1", "dispute_id": "dp_1", "status": "open"} | changes
    return PaymentDisputed(
        event_id=uuid4().hex, provider="stripe", amount=30, currency="INR", occurred_at=AT, **facts
    )


def notice(**changes: Any) -> PaymentNoticed:
    return PaymentNoticed(event_id=uuid4().hex, provider="stripe", name="a.type", **changes)


def unnamed(**changes: Any) -> PaymentUnnamed:
    facts: dict[str, Any] = {"payment_id": "pi_1", "field": "notes.tier", "reason": "is missing"} | changes
    return PaymentUnnamed(event_id=uuid4().hex, provider="stripe", body=b"\xff{}", **facts)


KINDS = [
    refund(),
    refund(refund_id=None),
    dispute(),
    notice(),
    notice(payment_id="pi_1", state="failed"),
    unnamed(),
]


@pytest.mark.parametrize("event", KINDS)
def test_they_are_kept_and_read_again_but_never_taken_from_outside(event: PaymentEvent) -> None:
    raw = msgspec.json.encode(event)
    assert decode_kept(raw) == event
    with pytest.raises(Undecodable):
        decode_payment(raw)


@pytest.mark.parametrize("event", KINDS)
def test_who_names_no_student_goes_to_an_actor_of_its_payment(event: PaymentEvent) -> None:
    assert UUID(lane_key(event)).version == 5
    student = uuid4()
    assert lane_key(msgspec.structs.replace(event, student_id=student)) == str(student)


def test_all_that_names_a_payment_and_no_student_goes_to_the_same_actor() -> None:
    about_one: list[PaymentEvent] = [
        refund(),
        refund(refund_id=None, amount=80),
        dispute(),
        notice(payment_id="pi_1"),
        unnamed(),
    ]
    assert len({lane_key(event) for event in about_one}) == 1
    assert len({payment_key(event) for event in about_one}) == 1
    assert lane_key(refund(payment_id="pi_2")) != lane_key(refund())
    assert payment_key(notice()) != payment_key(notice())


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (refund(), refund(), True),
        (refund(), refund(refund_id="re_2"), False),
        (refund(), refund(amount=31), False),
        (refund(refund_id=None), refund(refund_id=None), True),
        (refund(refund_id=None), refund(refund_id=None, amount=31), False),
        (refund(), refund(refund_id=None), False),
        (dispute(), dispute(), True),
        (dispute(), dispute(status="lost"), False),
        (dispute(), dispute(dispute_id="dp_2"), False),
        (unnamed(), unnamed(field="notes"), True),
        (unnamed(), unnamed(payment_id="pi_2"), False),
    ],
)
def test_a_student_remembers_what_is_the_same_and_asks_about_the_rest(
    first: PaymentEvent, second: PaymentEvent, *, same: bool
) -> None:
    memory = Memory(8)
    memory.learn(first, Settled(Outcome.EXISTS, uuid4()))
    assert (memory.recall(second) is not None) is same


def test_what_is_only_kept_is_not_remembered() -> None:
    """`pending` and `ignored` are no effects: the database has to be asked again."""
    memory = Memory(8)
    for event, outcome in ((refund(), Outcome.PENDING), (notice(), Outcome.IGNORED)):
        memory.learn(event, Settled(outcome))
        assert memory.recall(event) is None


def test_no_two_kinds_share_a_name_for_what_may_happen_once() -> None:
    events: list[PaymentEvent] = [
        refund(refund_id="x"),
        dispute(dispute_id="x"),
        refund(refund_id=None),
        notice(),
        unnamed(payment_id="x"),
    ]
    assert len({effect_key(event) for event in events}) == len(events)

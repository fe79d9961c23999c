"""What each provider's events mean here: their tables, and the refusal of what cannot be read."""

import json
from typing import Any
from uuid import uuid4

import pytest

from actors.protocol.payments import (
    PaymentDisputed,
    PaymentEvent,
    PaymentNoticed,
    PaymentSucceeded,
    PaymentUnnamed,
    RefundReported,
    decode_payment,
    lane_key,
    payment_key,
)
from actors.protocol.undecodable import Undecodable
from gateway.webhooks import razorpay, stripe, translation
from tests.money import messages

STUDENT, COURSE = str(uuid4()), str(uuid4())
NAMES = {"student_id": STUDENT, "course_id": COURSE, "tier": "12"}
RAZORPAY = razorpay.RazorpayProvider(["s"])
STRIPE = stripe.StripeProvider(["s"])


def razorpay_says(name: str, **entities: dict[str, Any]) -> PaymentEvent:
    return RAZORPAY.translate({"x-razorpay-event-id": "ev_1"}, messages.razorpay(name, **entities))


def stripe_says(name: str, **members: Any) -> PaymentEvent:
    return STRIPE.translate({}, messages.stripe(name, **members))


def test_captured_and_paid_are_one_payment() -> None:
    payment = messages.razorpay_payment(NAMES, order_id="order_1")
    order = {"id": "order_1", "amount": 500, "amount_paid": 500, "amount_due": 0, "notes": []}
    captured = razorpay_says("payment.captured", payment=payment)
    paid = razorpay_says("order.paid", payment=payment, order=order)
    assert isinstance(captured, PaymentSucceeded)
    assert captured == paid
    assert (str(captured.student_id), captured.tier, captured.amount) == (STUDENT, 12, 500)
    assert (captured.provider, captured.payment_id, captured.order_id) == ("razorpay", "pay_1", "order_1")


def test_the_orders_notes_speak_where_the_payments_do_not() -> None:
    payment = messages.razorpay_payment([])
    first = razorpay_says("payment.captured", payment=payment)
    assert isinstance(first, PaymentUnnamed)
    assert (first.payment_id, first.amount) == ("pay_1", 500)
    assert first.body == messages.razorpay("payment.captured", payment=payment)
    halves: list[Any] = [[], {"student_id": STUDENT}]
    for half in halves:
        payment = messages.razorpay_payment(half)
        order = {"id": "o", "amount_paid": 500, "notes": NAMES}
        assert isinstance(razorpay_says("order.paid", payment=payment, order=order), PaymentSucceeded)


def test_parts_wait_for_the_order() -> None:
    names = NAMES | {"partial_payment": "true"}
    part = messages.razorpay_payment(names, amount=200)
    noticed = razorpay_says("payment.captured", payment=part)
    assert isinstance(noticed, PaymentNoticed)
    assert noticed.state == "partial"
    due = razorpay_says(
        "payment.captured", payment=messages.razorpay_payment(NAMES), order={"id": "o", "amount_due": 1}
    )
    assert isinstance(due, PaymentNoticed)
    paid = razorpay_says("order.paid", payment=part, order={"id": "o", "amount_paid": 500, "amount_due": 0})
    assert isinstance(paid, PaymentSucceeded)
    assert paid.amount == 500


@pytest.mark.parametrize(
    ("name", "state"), [("payment.authorized", "authorized"), ("payment.failed", "failed")]
)
def test_attempts_are_states(name: str, state: str) -> None:
    event = razorpay_says(name, payment=messages.razorpay_payment(NAMES))
    assert isinstance(event, PaymentNoticed)
    assert (event.name, event.payment_id, event.state) == (name, "pay_1", state)


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("refund.created", "pending", PaymentNoticed),
        ("refund.created", "processed", RefundReported),
        ("refund.processed", "processed", RefundReported),
        ("refund.speed_changed", "processed", RefundReported),
        ("refund.failed", "failed", PaymentNoticed),
    ],
)
def test_razorpays_refunds(name: str, status: str, kind: type[PaymentEvent]) -> None:
    refund = {"id": "rfnd_1", "payment_id": "pay_1", "amount": 100, "currency": "INR", "status": status}
    event = razorpay_says(name, payment=messages.razorpay_payment(NAMES), refund=refund)
    assert isinstance(event, kind)
    assert event.payment_id == "pay_1"
    assert str(event.student_id) == STUDENT
    if isinstance(event, RefundReported):
        assert (event.refund_id, event.amount) == ("rfnd_1", 100)
    if name == "refund.failed":
        assert isinstance(event, PaymentNoticed)
        assert event.failed_refund_id == "rfnd_1"


def test_what_was_never_captured_is_only_returned() -> None:
    refund = {"id": "rfnd_1", "payment_id": "pay_1", "amount": 500, "currency": "INR", "status": "processed"}
    payment = messages.razorpay_payment(NAMES, captured=False)
    event = razorpay_says("refund.processed", payment=payment, refund=refund)
    assert isinstance(event, PaymentNoticed)
    assert (event.state, event.failed_refund_id) == ("returned", None)
    event = stripe_says(
        "charge.refunded",
        id="ch_1",
        payment_intent="pi_1",
        captured=False,
        amount_refunded=500,
        currency="inr",
    )
    assert isinstance(event, PaymentNoticed)
    assert (event.state, event.payment_id) == ("returned", "pi_1")


@pytest.mark.parametrize(
    ("end", "phase", "status"),
    [
        ("created", "chargeback", "open"),
        ("under_review", "chargeback", "open"),
        ("action_required", "pre_arbitration", "open"),
        ("won", "chargeback", "won"),
        ("closed", "chargeback", "won"),
        ("lost", "arbitration", "lost"),
        ("created", "retrieval", None),
        ("closed", "fraud", None),
    ],
)
def test_razorpays_disputes(end: str, phase: str, status: str | None) -> None:
    dispute = {"id": "disp_1", "payment_id": "pay_1", "amount": 500, "currency": "INR", "phase": phase}
    event = razorpay_says(f"payment.dispute.{end}", payment=messages.razorpay_payment(NAMES), dispute=dispute)
    if status is None:
        assert isinstance(event, PaymentNoticed)
        assert event.state is None
    else:
        assert isinstance(event, PaymentDisputed)
        assert (event.dispute_id, event.status, str(event.student_id)) == ("disp_1", status, STUDENT)


def test_an_intent_and_its_session_are_one_payment() -> None:
    intent = stripe_says("payment_intent.succeeded", **messages.intent(NAMES))
    session = stripe_says("checkout.session.completed", **messages.session(NAMES))
    assert isinstance(intent, PaymentSucceeded)
    assert isinstance(session, PaymentSucceeded)
    assert payment_key(intent) == payment_key(session) == ("stripe", "pi_1")
    assert (intent.amount, intent.currency, intent.tier) == (session.amount, session.currency, session.tier)
    assert intent.currency == "INR"


def test_an_intent_that_names_nobody_is_unnamed_until_its_session_names_it() -> None:
    event = stripe_says("payment_intent.succeeded", **messages.intent({"cart": "7"}))
    assert isinstance(event, PaymentUnnamed)
    assert (event.payment_id, event.field) == ("pi_1", "data.object.metadata.student_id")


@pytest.mark.parametrize(
    "changes",
    [
        {"payment_status": "unpaid"},
        {"mode": "subscription"},
        {"payment_status": "no_payment_required", "payment_intent": None},
    ],
)
def test_a_session_that_took_no_money_buys_nothing(changes: dict[str, Any]) -> None:
    event = stripe_says("checkout.session.completed", **messages.session(NAMES) | changes)
    assert isinstance(event, PaymentNoticed)
    assert event.state is None


def test_stripes_refunds_are_totals_and_single_ones() -> None:
    total = stripe_says(
        "charge.refunded",
        id="ch_1",
        payment_intent="pi_1",
        captured=True,
        amount_refunded=300,
        currency="inr",
        metadata=NAMES,
    )
    assert isinstance(total, RefundReported)
    assert (total.refund_id, total.amount, total.payment_id, str(total.student_id)) == (
        None,
        300,
        "pi_1",
        STUDENT,
    )
    single = stripe_says(
        "refund.created",
        id="re_1",
        payment_intent="pi_1",
        charge="ch_1",
        amount=100,
        currency="inr",
        status="succeeded",
    )
    assert isinstance(single, RefundReported)
    assert (single.refund_id, single.amount, single.payment_id, single.student_id) == (
        "re_1",
        100,
        "pi_1",
        None,
    )
    assert lane_key(single) != lane_key(total) == STUDENT


@pytest.mark.parametrize(
    ("status", "failed"),
    [("pending", None), ("requires_action", None), ("failed", "re_1"), ("canceled", "re_1")],
)
def test_a_refund_that_is_not_through_is_a_notice(status: str, failed: str | None) -> None:
    event = stripe_says(
        "charge.refund.updated", id="re_1", payment_intent="pi_1", amount=100, currency="inr", status=status
    )
    assert isinstance(event, PaymentNoticed)
    assert event.failed_refund_id == failed


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        ("needs_response", "open"),
        ("under_review", "open"),
        ("won", "won"),
        ("lost", "lost"),
        ("warning_needs_response", None),
        ("warning_under_review", None),
        ("warning_closed", None),
        ("prevented", None),
    ],
)
@pytest.mark.parametrize("end", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
def test_stripes_disputes_are_their_status(end: str, status: str, ours: str | None) -> None:
    event = stripe_says(
        f"charge.dispute.{end}", id="dp_1", payment_intent="pi_1", amount=500, currency="inr", status=status
    )
    if ours is None:
        assert isinstance(event, PaymentNoticed)
    else:
        assert isinstance(event, PaymentDisputed)
        assert (event.dispute_id, event.payment_id, event.status) == ("dp_1", "pi_1", ours)


@pytest.mark.parametrize("name", ["settlement.processed", "a", "payment.captured.again"])
def test_a_type_that_is_in_no_table_is_noticed_whatever_its_body(name: str) -> None:
    event = RAZORPAY.translate({}, json.dumps({"event": name, "payload": 7}).encode())
    assert isinstance(event, PaymentNoticed)
    assert (event.name, event.payment_id) == (name, None)
    event = STRIPE.translate(
        {}, json.dumps({"id": "evt_1", "type": name, "created": 1, "data": {"object": []}}).encode()
    )
    assert isinstance(event, PaymentNoticed)
    assert event.event_id == "evt_1"


def test_the_same_bytes_without_an_id_are_the_same_event() -> None:
    body = messages.razorpay("payment.captured", payment=messages.razorpay_payment(NAMES))
    assert RAZORPAY.event_id({}, body) == RAZORPAY.event_id({"x-razorpay-event-id": "x" * 300}, body)
    assert RAZORPAY.event_id({"x-razorpay-event-id": "ev_1"}, body) == "ev_1"


@pytest.mark.parametrize(
    ("notes", "field"),
    [
        ({"student_id": STUDENT, "course_id": COURSE}, "tier"),
        (NAMES | {"tier": "many"}, "tier"),
        (NAMES | {"tier": "0"}, "tier"),
        (NAMES | {"course_id": "algebra"}, "course_id"),
        ({"course_id": COURSE, "tier": 1}, "student_id"),
    ],
)
def test_names_that_do_not_name_are_told_by_their_place(notes: dict[str, Any], field: str) -> None:
    event = razorpay_says("payment.captured", payment=messages.razorpay_payment(notes))
    assert isinstance(event, PaymentUnnamed)
    assert event.field == f"payload.payment.entity.notes.{field}"
    order = {"id": "o", "amount_paid": 500, "notes": notes}
    event = razorpay_says("order.paid", payment=messages.razorpay_payment([]), order=order)
    assert isinstance(event, PaymentUnnamed)
    assert event.field == f"payload.order.entity.notes.{field}"
    event = stripe_says("payment_intent.succeeded", **messages.intent(notes))
    assert isinstance(event, PaymentUnnamed)
    assert event.field == f"data.object.metadata.{field}"
    assert (event.student_id is not None) is ("student_id" in notes)


def test_what_else_is_wrong_with_a_capture_is_undecodable() -> None:
    with pytest.raises(Undecodable, match="currency"):
        razorpay_says("payment.captured", payment=messages.razorpay_payment(NAMES, currency="rupees"))
    with pytest.raises(Undecodable, match="payment_intent"):
        stripe_says("checkout.session.completed", **messages.session({}, payment_intent=None))


def test_text_that_the_database_cannot_hold_is_told_by_its_place() -> None:
    with pytest.raises(Undecodable, match=r"^headers\.id: holds a NUL"):
        translation.event(PaymentSucceeded, {"event_id": "headers.id"}, event_id="e\x00", payment_id="p")
    ours = {"type": "PAYMENT_SUCCEEDED", "event_id": "e", "tier": 1, "amount": 1, "currency": "INR"}
    ours |= {"student_id": STUDENT, "course_id": COURSE, "occurred_at": "2026-11-23T10:00:00Z"}
    with pytest.raises(Undecodable, match="payment_id: holds a NUL"):
        decode_payment(json.dumps(ours | {"payment_id": "a\x00b"}).encode())


@pytest.mark.parametrize("provider", [RAZORPAY, STRIPE])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"event":7,"type":7}',
        b"[" * 5000,
        b'{"event":"\xff"}',
        b'{"event":"payment.captured","created_at":1,"payload":{}}',
        b'{"id":"e","type":"payment_intent.succeeded","created":1,"data":{"object":{}}}',
    ],
)
def test_what_cannot_be_read_says_so(provider: Any, body: bytes) -> None:
    with pytest.raises(Undecodable):
        provider.translate({}, body)


@pytest.mark.parametrize("created", [10**18, -(10**18)])
def test_a_time_out_of_every_calendar_is_refused(created: int) -> None:
    with pytest.raises(Undecodable, match="created_at"):
        STRIPE.translate(
            {}, messages.stripe("payment_intent.succeeded", created=created, **messages.intent(NAMES))
        )

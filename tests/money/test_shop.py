"""Razorpay and Stripe from outside: signed deliveries to a node, and what becomes of them."""

import threading
from typing import Any
from uuid import uuid4

from tests.money import messages
from tests.money.shop import Course, Shop
from tests.support.waiting import wait_until

BOUGHT = ["PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED"]


def names(student: str, course: Course, tier: str = "12") -> dict[str, str]:
    return {"student_id": student, "course_id": course.id, "tier": tier}


def new_intent(student: str, course: Course) -> dict[str, Any]:
    return messages.intent(names(student, course), id=f"pi_{uuid4().hex[:12]}")


def wait_told(shop: Shop, student: str, *types: str) -> None:
    wait_until(lambda: shop.told(student) == list(types), 40, what=f"{types} told")


def test_razorpays_capture_and_its_order_are_one_purchase(shop: Shop) -> None:
    student, course = str(uuid4()), shop.course()
    payment = messages.razorpay_payment(
        names(student, course), id=f"pay_{uuid4().hex[:10]}", order_id="order_1"
    )
    order = {"id": "order_1", "amount_paid": 500, "amount_due": 0, "notes": []}
    assert shop.razorpay("payment.authorized", payment=payment)["outcome"] == "ignored"
    first = shop.razorpay("payment.captured", payment=payment)
    second = shop.razorpay("order.paid", payment=payment, order=order)
    assert (first["outcome"], second["outcome"]) == ("created", "exists")
    assert first["purchase_id"] == second["purchase_id"]
    wait_told(shop, student, *BOUGHT)
    (bought,) = shop.get(student, "learning")["courses"]
    assert (bought["status"], bought["sessions_total"]) == ("active", 12)


def test_a_late_capture_after_a_failure_is_a_purchase(shop: Shop) -> None:
    student, course = str(uuid4()), shop.course()
    payment = messages.razorpay_payment(names(student, course), id=f"pay_{uuid4().hex[:10]}")
    assert shop.razorpay("payment.failed", payment=payment)["outcome"] == "ignored"
    assert shop.razorpay("payment.captured", payment=payment)["outcome"] == "created"


def test_what_was_authorized_and_given_back_buys_nothing(shop: Shop) -> None:
    student, course = str(uuid4()), shop.course()
    payment = messages.razorpay_payment(names(student, course), id=f"pay_{uuid4().hex[:10]}", captured=False)
    refund = {
        "id": "rfnd_x",
        "payment_id": payment["id"],
        "amount": 500,
        "currency": "INR",
        "status": "processed",
    }
    assert shop.razorpay("payment.authorized", payment=payment)["outcome"] == "ignored"
    assert shop.razorpay("refund.processed", payment=payment, refund=refund)["outcome"] == "ignored"
    assert shop.told(student) == []
    assert shop.rows("select 1 from refund where payment_id = %s", (payment["id"],)) == []


def test_stripes_intent_and_session_are_one_purchase_and_its_refunds_come_both_ways(shop: Shop) -> None:
    student, course = str(uuid4()), shop.course()
    intent = new_intent(student, course)
    session = messages.session(names(student, course), payment_intent=intent["id"])
    assert shop.stripe("payment_intent.succeeded", **intent)["outcome"] == "created"
    assert shop.stripe("checkout.session.completed", **session)["outcome"] == "exists"
    wait_told(shop, student, *BOUGHT)
    charge = {"id": "ch_1", "payment_intent": intent["id"], "captured": True, "currency": "inr"}
    refund = {"charge": "ch_1", "payment_intent": intent["id"], "currency": "inr", "status": "succeeded"}
    answers = [
        shop.stripe("charge.refunded", **charge, amount_refunded=200),
        shop.stripe("refund.created", **refund, id="re_1" + intent["id"], amount=200),
        shop.stripe("refund.created", **refund, id="re_2" + intent["id"], amount=300),
        shop.stripe("charge.refunded", **charge, amount_refunded=500),
    ]
    assert [answer["outcome"] for answer in answers] == ["refunded", "exists", "refunded", "exists"]
    wait_told(shop, student, *BOUGHT, "PURCHASE_REFUNDED", "PURCHASE_REFUNDED", "COURSE_ACCESS_REVOKED")
    (course_view,) = shop.get(student, "learning")["courses"]
    assert (course_view["status"], course_view["trainer"]) == ("refunded", None)


def test_an_intent_that_names_nobody_is_bought_by_its_session(shop: Shop) -> None:
    student, course = str(uuid4()), shop.course()
    intent = new_intent(student, course) | {"metadata": {}}
    answer = shop.stripe("payment_intent.succeeded", **intent)
    assert (answer["outcome"], answer["detail"]) == ("parked", "data.object.metadata.student_id: is missing")
    session = messages.session(names(student, course), payment_intent=intent["id"])
    assert shop.stripe("checkout.session.completed", **session)["outcome"] == "created"
    assert shop.parked(intent["id"]) == [("resolved", "created")]
    assert shop.stripe("payment_intent.succeeded", **intent)["outcome"] == "exists"


def test_an_order_paid_in_parts_is_one_purchase(shop: Shop) -> None:
    """The names stand in the order's notes only: no part looks like the whole."""
    student, course = str(uuid4()), shop.course()
    order_id = f"order_{uuid4().hex[:10]}"
    one, two = (
        messages.razorpay_payment([], id=f"pay_{uuid4().hex[:10]}", order_id=order_id, amount=amount)
        for amount in (200, 300)
    )
    answer = shop.razorpay("payment.captured", payment=one)
    assert (answer["outcome"], answer["detail"]) == (
        "parked",
        "payload.payment.entity.notes.student_id: is missing",
    )
    order = {"id": order_id, "amount": 500, "amount_paid": 500, "amount_due": 0}
    paid = shop.razorpay("order.paid", payment=two, order=order | {"notes": names(student, course)})
    assert paid["outcome"] == "created"
    assert shop.razorpay("payment.captured", payment=two)["outcome"] == "exists"
    assert shop.parked(one["id"]) == [("resolved", f"a part of {two['id']}")]
    wait_told(shop, student, *BOUGHT)
    assert shop.rows("select amount from purchase where student_id = %s", (student,)) == [(500,)]


def test_a_refund_that_names_nobody_before_its_payment(shop: Shop) -> None:
    student, course = str(uuid4()), shop.course()
    intent = new_intent(student, course)
    refund = {"id": "re_" + intent["id"], "payment_intent": intent["id"], "amount": 500, "currency": "inr"}
    assert shop.stripe("refund.created", **refund, status="succeeded")["outcome"] == "pending"
    assert shop.stripe("payment_intent.succeeded", **intent)["outcome"] == "created"
    wait_told(shop, student, "PURCHASE_CREATED", "PURCHASE_REFUNDED")


def test_a_lost_dispute_gives_its_place_to_who_waits(shop: Shop) -> None:
    course = shop.course(capacity=1)
    first, second = str(uuid4()), str(uuid4())
    intent = new_intent(first, course)
    assert shop.stripe("payment_intent.succeeded", **intent)["outcome"] == "created"
    wait_told(shop, first, *BOUGHT)
    assert shop.stripe("payment_intent.succeeded", **new_intent(second, course))["outcome"] == "created"
    wait_told(shop, second, *BOUGHT[:2], "ALLOCATION_WAITLISTED")
    dispute = {"id": "dp_" + intent["id"], "payment_intent": intent["id"], "amount": 500, "currency": "inr"}
    held = shop.stripe("charge.dispute.created", **dispute, status="needs_response")
    assert (held["outcome"], held["detail"]) == ("exists", "dispute open")
    (view,) = shop.get(first, "learning")["courses"]
    assert [p["status"] for p in view["purchases"]] == ["on_hold"]
    with shop.screen(second, {"epoch": "x", "seq": 0}) as screen:
        assert shop.stripe("charge.dispute.closed", **dispute, status="lost")["detail"] == "dispute lost"
        wait_until(
            lambda: "COURSE_ACCESS_GRANTED" in [e["event"] for e in screen.events], 40, what="the place"
        )
    wait_told(shop, first, *BOUGHT, "COURSE_ACCESS_REVOKED")


def test_an_inquiry_takes_nothing(shop: Shop) -> None:
    student, course = str(uuid4()), shop.course()
    intent = new_intent(student, course)
    shop.stripe("payment_intent.succeeded", **intent)
    dispute = {"id": "dp_q" + intent["id"], "payment_intent": intent["id"], "amount": 500, "currency": "inr"}
    assert (
        shop.stripe("charge.dispute.created", **dispute, status="warning_needs_response")["outcome"]
        == "ignored"
    )
    assert shop.rows("select status from purchase where payment_id = %s", (intent["id"],)) == [("paid",)]


def test_a_type_that_nobody_acts_on_is_ignored_with_a_row(shop: Shop) -> None:
    event = f"evt_{uuid4().hex}"
    assert shop.stripe("customer.created", event_id=event, id="cus_1") == {"outcome": "ignored"}
    assert shop.inbox("stripe", event) == [("customer.created", "ignored")]
    assert shop.razorpay("settlement.processed", event_id=event)["outcome"] == "ignored"
    assert shop.inbox("razorpay", event) == [("settlement.processed", "ignored")]


def test_what_names_half_a_purchase_is_parked_with_the_field(shop: Shop) -> None:
    answer = shop.stripe(
        "payment_intent.succeeded", **new_intent(str(uuid4()), shop.course()) | {"metadata": {"tier": 1}}
    )
    assert answer["outcome"] == "parked"
    assert "data.object.metadata.student_id" in answer["detail"]


def test_a_forged_delivery_is_refused(shop: Shop) -> None:
    body = messages.stripe("payment_intent.succeeded", **messages.intent({}))
    for provider, header in (("stripe", "Stripe-Signature"), ("razorpay", "X-Razorpay-Signature")):
        status, answer = shop.request("POST", f"/api/v1/webhooks/{provider}", body, {header: "t=1,v1=00"})
        assert (status, answer["code"]) == (400, "bad_signature")


def test_everything_about_one_payment_at_the_same_moment(shop: Shop) -> None:
    """The intent, its session, three refunds of both kinds and a dispute: some name the student, some do not."""
    course = shop.course(capacity=3)
    students = [str(uuid4()) for _ in range(8)]
    answers: list[dict[str, Any]] = []

    def deliver(kind: str, members: dict[str, Any]) -> None:
        answers.append(shop.stripe(kind, **members))

    threads = []
    for student in students:
        intent = new_intent(student, course)
        about = {"payment_intent": intent["id"], "currency": "inr"}
        deliveries: list[tuple[str, dict[str, Any]]] = [
            ("payment_intent.succeeded", intent),
            (
                "checkout.session.completed",
                messages.session(names(student, course), payment_intent=intent["id"]),
            ),
            ("refund.created", about | {"id": f"re_1{intent['id']}", "amount": 100, "status": "succeeded"}),
            ("refund.created", about | {"id": f"re_2{intent['id']}", "amount": 150, "status": "succeeded"}),
            ("charge.refunded", about | {"id": "ch", "captured": True, "amount_refunded": 250}),
            (
                "charge.dispute.created",
                about | {"id": f"dp_{intent['id']}", "amount": 500, "status": "needs_response"},
            ),
        ]
        threads += [threading.Thread(target=deliver, args=delivery) for delivery in deliveries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(answers) == len(threads)
    assert sum(answer["outcome"] == "created" for answer in answers) == len(students)
    found = shop.rows("select status, refunded from purchase where course_id = %s", (course.id,))
    assert found == [("on_hold", 250)] * len(students)
    shop.is_sound()


def test_capacity_in_the_catalogue_frees_and_blocks_the_waitlist(shop: Shop) -> None:
    course = shop.course(capacity=0)
    first, second, third = (str(uuid4()) for _ in range(3))
    for student in (first, second):
        shop.stripe("payment_intent.succeeded", **new_intent(student, course))
        wait_told(shop, student, *BOUGHT[:2], "ALLOCATION_WAITLISTED")
    course.has_room_for(1)
    wait_told(shop, first, *BOUGHT[:2], "ALLOCATION_WAITLISTED", "COURSE_ACCESS_GRANTED")
    assert shop.told(second)[-1] == "ALLOCATION_WAITLISTED"
    course.has_room_for(2)
    wait_told(shop, second, *BOUGHT[:2], "ALLOCATION_WAITLISTED", "COURSE_ACCESS_GRANTED")
    course.has_room_for(0)
    shop.stripe("payment_intent.succeeded", **new_intent(third, course))
    wait_told(shop, third, *BOUGHT[:2], "ALLOCATION_WAITLISTED")
    assert shop.told(first)[-1] == "COURSE_ACCESS_GRANTED", "who has a place keeps it"

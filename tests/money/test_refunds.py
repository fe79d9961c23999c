"""Money back: one by one, as a running total, before its payment, more than there was."""

import threading
from typing import Any

import psycopg
import pytest
from psycopg.errors import SerializationFailure

from actors.protocol.payments import PaymentRefunded, decode_kept
from tests.actors.transaction import apply, outcomes
from tests.money.ledgerbook import AMOUNT, PROVIDER, Book
from tests.support.waiting import wait_until

BOUGHT = ["PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED"]


@pytest.fixture
def bought(book: Book) -> Book:
    """Ann has bought the course and has a place."""
    assert book.take(book.paid("p")) == ["created"]
    book.allocate()
    assert book.told() == BOUGHT
    return book


def test_a_part_keeps_access_and_the_rest_ends_it(bought: Book) -> None:
    assert bought.take(bought.back("p", "r1", 40, "ann")) == ["refunded"]
    assert (bought.status("p"), bought.refunded("p")) == ("partly_refunded", 40)
    assert bought.allocation("p") == "allocated"
    assert bought.take(bought.back("p", "r2", 60, "ann")) == ["refunded"]
    assert (bought.status("p"), bought.allocation("p"), bought.load()) == ("refunded", "released", 0)
    assert bought.told() == [*BOUGHT, "PURCHASE_REFUNDED", "PURCHASE_REFUNDED", "COURSE_ACCESS_REVOKED"]
    bought.is_sound()


def test_two_running_totals_are_two_refunds_and_each_again_is_none(bought: Book) -> None:
    first, second = bought.back("p", None, 30), bought.back("p", None, 80)
    assert bought.take(first) == ["refunded"]
    assert bought.take(second) == ["refunded"]
    assert bought.take(bought.back("p", None, 30)) == ["exists"]
    assert bought.take(bought.back("p", None, 80)) == ["exists"]
    assert bought.refunded("p") == 80
    bought.is_sound()


@pytest.mark.parametrize("order", ["total first", "refund first"])
def test_a_refund_told_both_ways_counts_once(bought: Book, order: str) -> None:
    both = [bought.back("p", None, 30), bought.back("p", "r1", 30)]
    if order == "refund first":
        both.reverse()
    assert [bought.take(event)[0] for event in both] == ["refunded", "exists"]
    assert bought.take(bought.back("p", "r1", 30)) == ["exists"]
    assert bought.refunded("p") == 30
    assert bought.told().count("PURCHASE_REFUNDED") == 1
    bought.is_sound()


def test_a_total_that_came_first_has_the_refunds_in_it(bought: Book) -> None:
    assert bought.take(bought.back("p", None, 80)) == ["refunded"]
    assert bought.take(bought.back("p", "r1", 30)) == ["exists"]
    assert bought.take(bought.back("p", "r2", 50)) == ["exists"]
    assert bought.told().count("PURCHASE_REFUNDED") == 1
    assert bought.take(bought.back("p", "r3", 20)) == ["refunded"]
    assert bought.refunded("p") == AMOUNT
    bought.is_sound()


def test_refunds_and_totals_in_any_order_end_at_the_same_sum(bought: Book) -> None:
    """r1 is 30, r2 is 50: the first total has only r1 in it, and r2 is told before r1."""
    steps = [bought.back("p", None, 30), bought.back("p", "r2", 50), bought.back("p", "r1", 30)]
    assert [bought.take(event)[0] for event in steps] == ["refunded", "refunded", "refunded"]
    assert bought.take(bought.back("p", None, 80)) == ["exists"]
    assert bought.refunded("p") == 80
    bought.is_sound()


def test_a_purchase_whose_refund_came_first_is_born_refunded(book: Book) -> None:
    assert book.take(book.back("p", "r1", 60, "ann"), book.back("q", None, AMOUNT)) == ["pending", "pending"]
    assert book.take(book.back("p", None, AMOUNT)) == ["pending"]
    assert book.take(book.back("p", None, AMOUNT)) == ["exists"]
    assert book.take(book.paid("p"), book.paid("q")) == ["created", "created"]
    book.allocate()
    for name in ("p", "q"):
        assert (book.status(name), book.allocation(name)) == ("refunded", None)
    assert book.told() == [
        "PURCHASE_CREATED",
        "PURCHASE_CREATED",
        "PURCHASE_REFUNDED",
        "PURCHASE_REFUNDED",
        "PURCHASE_REFUNDED",
    ]
    assert book.load() == 0
    book.is_sound()


def test_a_purchase_of_which_a_part_came_back_first_has_access(book: Book) -> None:
    assert book.take(book.back("p", "r1", 60)) == ["pending"]
    assert book.take(book.paid("p")) == ["created"]
    book.allocate()
    assert (book.status("p"), book.allocation("p")) == ("partly_refunded", "allocated")
    assert book.told() == [
        "PURCHASE_CREATED",
        "COURSE_PURCHASED",
        "PURCHASE_REFUNDED",
        "COURSE_ACCESS_GRANTED",
    ]


def test_what_waited_and_does_not_fit_is_parked_and_the_rest_stands(book: Book) -> None:
    book.take(book.back("p", "r1", AMOUNT))
    book.take(book.back("p", "r2", 50))
    assert book.take(book.paid("p")) == ["created"]
    assert book.refunded("p") == AMOUNT
    assert book.allocation("p") is None
    assert book.findings() == [("conflict", f"{PROVIDER}:{book.id('r2')}")]
    (kept,) = book.parked()
    again = decode_kept(kept)
    assert again.payment_id == book.id("p")
    book.is_sound()


def test_more_than_was_paid_is_a_conflict_in_both_forms(bought: Book) -> None:
    assert bought.take(bought.back("p", "r1", AMOUNT + 1)) == ["conflict"]
    assert bought.take(bought.back("p", None, AMOUNT + 1)) == ["conflict"]
    assert bought.take(bought.back("p", "r2", 30)) == ["refunded"]
    assert bought.refunded("p") == 30
    assert len(bought.parked()) == 2
    for kept in bought.parked():
        decode_kept(kept)
    bought.is_sound()


def test_a_known_refund_with_another_sum_exists_and_is_reported(bought: Book) -> None:
    """The contract's word for an id that was seen before; that its sum was told otherwise is not swallowed."""
    assert bought.take(bought.back("p", "r1", 30)) == ["refunded"]
    (verdict,) = bought.apply(bought.back("p", "r1", 40)).verdicts
    assert (verdict.outcome, verdict.detail) == ("exists", "amount")
    assert bought.refunded("p") == 30
    assert bought.findings() == [("conflict", f"{PROVIDER}:{bought.id('r1')}")]
    (kept,) = bought.parked()
    decode_kept(kept)
    assert bought.take(bought.back("p", "r1", 30)) == ["exists"]
    assert len(bought.parked()) == 1
    bought.is_sound()


@pytest.mark.parametrize("fitting", [False, True])
def test_a_refund_that_waits_keeps_the_sum_that_it_came_with(book: Book, *, fitting: bool) -> None:
    assert book.take(book.back("p", "r1", 30)) == ["pending"]
    (verdict,) = book.apply(book.back("p", "r1", 20 if fitting else AMOUNT + 1)).verdicts
    assert (verdict.outcome, verdict.detail) == ("exists", "amount")
    assert book.take(book.paid("p")) == ["created"]
    assert book.refunded("p") == 30
    book.is_sound()


def test_another_students_refund_is_a_conflict(bought: Book) -> None:
    assert bought.take(bought.back("p", "r1", 30, "eve")) == ["conflict"]
    assert bought.told("eve") == []
    assert bought.refunded("p") == 0


def test_a_place_that_comes_free_goes_to_the_longest_waiting(make_book: Any) -> None:
    book = make_book(1)
    for name, student in (("p", "ann"), ("q", "bob"), ("r", "eve")):
        book.take(book.paid(name, student))
        book.allocate()
    assert [book.allocation(name) for name in "pqr"] == ["allocated", "waitlisted", "waitlisted"]
    book.take(book.back("p", "r1", AMOUNT))
    book.serve()
    assert [book.allocation(name) for name in "pqr"] == ["released", "allocated", "waitlisted"]
    assert book.told("bob")[-2:] == ["ALLOCATION_WAITLISTED", "COURSE_ACCESS_GRANTED"]
    book.is_sound()


def test_who_is_refunded_while_waiting_leaves_the_line(make_book: Any) -> None:
    book = make_book(0)
    book.take(book.paid("p"))
    book.allocate()
    book.take(book.back("p", None, AMOUNT))
    assert book.allocation("p") == "released"
    book.set_capacity(0, 1)
    book.serve()
    assert book.told() == [
        "PURCHASE_CREATED",
        "COURSE_PURCHASED",
        "ALLOCATION_WAITLISTED",
        "PURCHASE_REFUNDED",
    ]
    book.is_sound()


def test_a_refund_that_failed_after_all_is_for_a_person(bought: Book) -> None:
    assert bought.take(bought.noticed("p", failed_refund="r0")) == ["ignored"]
    bought.take(bought.back("p", "r1", 30))
    assert bought.take(bought.noticed("p", failed_refund="r1")) == ["conflict"]
    assert bought.take(bought.noticed("p", failed_refund="r2")) == ["ignored"]
    bought.take(bought.back("p", None, 50))
    assert bought.take(bought.noticed("p", failed_refund="r2")) == ["conflict"]
    assert bought.refunded("p") == 50
    assert len(bought.parked()) == 2


def test_a_refund_without_a_student_waits_for_a_payment_on_its_way(database_url: str, book: Book) -> None:
    """It cannot lock the student's lane, since nobody has said whose it is: the payment's row has to do."""
    with psycopg.connect(database_url, autocommit=True) as other, psycopg.connect(database_url) as first:
        apply(first, book.paid("p"))
        troubles: list[Exception] = []

        def refund() -> None:
            try:
                apply(other, book.back("p", "r1", 40))
            except SerializationFailure as error:
                troubles.append(error)

        thread = threading.Thread(target=refund)
        thread.start()
        waits = (
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        wait_until(lambda: book.rows(waits), 30, what="the refund waits")
        first.commit()
        thread.join(timeout=40)
        assert len(troubles) == 1, "the whole batch looks again"
        assert outcomes(apply(other, book.back("p", "r1", 40))) == ["refunded"]
    book.allocate()
    book.is_sound()


def test_a_payment_waits_for_a_refund_without_a_student_on_its_way(database_url: str, book: Book) -> None:
    with psycopg.connect(database_url, autocommit=True) as other, psycopg.connect(database_url) as first:
        apply(first, book.back("p", "r1", AMOUNT))
        troubles: list[Exception] = []

        def pay() -> None:
            try:
                apply(other, book.paid("p"))
            except SerializationFailure as error:
                troubles.append(error)

        thread = threading.Thread(target=pay)
        thread.start()
        waits = (
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        wait_until(lambda: book.rows(waits), 30, what="the payment waits")
        first.commit()
        thread.join(timeout=40)
        assert len(troubles) == 1, "it was fresh when it was looked at: the whole batch looks again"
        assert outcomes(apply(other, book.paid("p"))) == ["created"]
    assert book.told() == ["PURCHASE_CREATED", "PURCHASE_REFUNDED"]
    assert book.status("p") == "refunded"
    book.is_sound()


def test_a_refund_in_the_contracts_own_words_meets_one_in_the_providers(bought: Book) -> None:
    reported = bought.back("p", "r1", 30)
    ours = PaymentRefunded(
        event_id="evt_ours",
        provider=PROVIDER,
        payment_id=bought.id("p"),
        refund_id=bought.id("r1"),
        student_id=bought.student("ann"),
        amount=30,
        currency="INR",
        occurred_at=reported.occurred_at,
    )
    assert bought.take(ours) == ["refunded"]
    assert bought.take(reported) == ["exists"]
    assert bought.inbox(reported) == "exists"

"""What no purchase follows from: kept as a mark, with the payment's state going forward only."""

import pytest

from actors.protocol.payments import PaymentNoticed
from tests.money.ledgerbook import PROVIDER, Book


def state(book: Book, name: str = "p") -> str | None:
    rows = book.rows(
        "select state from payment where provider = %s and payment_id = %s", PROVIDER, book.id(name)
    )
    return str(rows[0][0]) if rows else None


def test_a_type_that_nobody_acts_on_is_ignored_and_stands(book: Book) -> None:
    event = PaymentNoticed(event_id="evt_1", provider=PROVIDER, name="customer.created")
    assert book.take(event) == ["ignored"]
    assert book.take(event) == ["ignored"]
    assert book.rows("select type, outcome, payment_id from inbox") == [("customer.created", "ignored", None)]


def test_two_notices_about_no_payment_fit_into_one_transaction(book: Book) -> None:
    events = [PaymentNoticed(event_id=f"evt_{n}", provider=PROVIDER, name="a.type") for n in range(3)]
    assert book.take(*events) == ["ignored"] * 3


@pytest.mark.parametrize(
    ("came", "stands"),
    [
        (["failed", "authorized"], "authorized"),
        (["authorized", "failed"], "authorized"),
        (["authorized", "returned"], "returned"),
        ([None, "failed"], "failed"),
    ],
)
def test_states_go_forward_only_and_make_no_purchase(book: Book, came: list[str | None], stands: str) -> None:
    for word in came:
        assert book.take(book.noticed("p", word)) == ["ignored"]
    assert state(book) == stands
    assert book.status("p") is None


@pytest.mark.parametrize("before", ["failed", "authorized", "returned", "partial"])
def test_a_capture_after_any_of_them_is_a_purchase_like_any_other(book: Book, before: str) -> None:
    """Late authorization, a part and then the whole order."""
    book.take(book.noticed("p", before))
    assert book.take(book.paid("p")) == ["created"]
    assert state(book) == "captured"
    assert book.take(book.noticed("p", before)) == ["ignored"]
    assert state(book) == "captured"
    book.allocate()
    assert book.told() == ["PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED"]
    book.is_sound()


def test_a_payment_that_was_captured_with_its_facts_and_never_bought_is_recovered(book: Book) -> None:
    book.take(book.paid("p"))
    book.rows("delete from outbox returning 1")
    for table in ("event", "allocation", "purchase"):
        book.rows(f"delete from {table} returning 1")
    book.rows("update lane set seq = 0 returning 1")
    assert book.take(book.paid("p")) == ["recovered"]


def test_a_notice_is_no_mark_that_promises_a_purchase(book: Book) -> None:
    notice = book.noticed("p", "authorized")
    book.take(notice)
    assert book.rows(
        "select kc.promises_purchase(type, outcome) from inbox where event_id = %s", notice.event_id
    ) == [(False,)]

"""Captures whose events do not say who bought what: parked, until another event about the same payment says so."""

import contextlib
import threading
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.errors import DeadlockDetected, SerializationFailure

from actors.audit.audit import audit
from actors.audit.checks import AuditLimits
from actors.hand import Hand
from actors.protocol.payments import PaymentEvent
from actors.store.connection import Connection
from tests.actors.transaction import apply
from tests.money.ledgerbook import AMOUNT, PROVIDER, Book


def parked(book: Book) -> list[tuple[Any, ...]]:
    return book.rows(
        "select payment_id, state, resolution from parked where provider = %s order by id", PROVIDER
    )


def state(book: Book, name: str) -> str:
    ((found,),) = book.rows("select state from payment where payment_id = %s", book.id(name))
    return str(found)


def test_it_is_parked_once_however_often_it_comes(book: Book) -> None:
    first = book.unnamed("p")
    (verdict,) = book.apply(first).verdicts
    assert (verdict.outcome, verdict.detail) == ("parked", "metadata.student_id: is missing")
    assert book.take(book.unnamed("p")) == ["parked"]
    assert parked(book) == [(book.id("p"), "open", None)]
    assert book.rows("select attempts, stage, field, payload from parked") == [
        (2, "unnamed", "metadata.student_id", b"as the provider wrote it")
    ]
    assert book.inbox(first) == "parked"
    assert book.status("p") is None


def test_the_event_that_names_it_resolves_it(book: Book) -> None:
    book.take(book.unnamed("p"))
    assert book.take(book.paid("p")) == ["created"]
    assert parked(book) == [(book.id("p"), "resolved", "created")]
    assert state(book, "p") == "captured"
    book.allocate()
    book.is_sound()


def test_once_it_is_named_it_is_a_duplicate(book: Book) -> None:
    (bought,) = book.apply(book.paid("p")).verdicts
    (verdict,) = book.apply(book.unnamed("p")).verdicts
    assert (verdict.outcome, verdict.purchase_id, verdict.detail) == ("exists", bought.purchase_id, None)
    assert parked(book) == []
    assert state(book, "p") == "captured"


def test_a_name_that_is_refused_leaves_it_parked(book: Book) -> None:
    book.take(book.unnamed("p"))
    assert book.take(book.paid("p", course_id=book.student("no course"))) == ["parked"]
    assert [row[1] for row in parked(book)] == ["open", "open"]


def test_nobody_is_alarmed_while_it_waits(book: Book, database_url: str) -> None:
    book.take(book.unnamed("p"))
    book.take(book.unnamed("q"), book.paid("r"))
    book.take(book.paid("q"))
    book.allocate()
    book.rows("update payment set updated_at = updated_at - interval '30 minutes' returning 1")
    with Connection(database_url, "test") as connection:
        lines = audit(Hand(connection, lambda _: None), AuditLimits(), lambda: datetime.now(UTC))
        assert [line.kind for line in lines if line.open] == []
        book.rows("update parked set first_at = first_at - interval '2 hours' returning 1")
        lines = audit(Hand(connection, lambda _: None), AuditLimits(), lambda: datetime.now(UTC))
        assert [(line.code, line.open) for line in lines if line.open] == [("A12", 1)]


@pytest.mark.parametrize("order_first", [False, True], ids=["parts first", "order first"])
def test_parts_of_an_order_are_one_purchase_without_any_note(book: Book, *, order_first: bool) -> None:
    """The order's event comes with the last part and what was paid in all."""
    first, last = book.unnamed("one", 30, "o"), book.unnamed("two", AMOUNT - 30, "o")
    paid = book.paid("two", order_id=book.id("o"))
    if order_first:
        assert book.take(paid) == ["created"]
        assert book.take(first) == ["ignored"]
        assert book.take(last) == ["exists"]
        assert parked(book) == []
    else:
        assert book.take(first, last) == ["parked", "parked"]
        assert book.take(paid) == ["created"]
        assert parked(book) == [
            (book.id("one"), "resolved", f"a part of {book.id('two')}"),
            (book.id("two"), "resolved", "created"),
        ]
    assert (state(book, "one"), state(book, "two")) == ("partial", "captured")
    assert book.take(first) == ["ignored"]
    book.allocate()
    book.is_sound()


def test_a_part_is_known_as_one_before_the_last_was_told_of(book: Book) -> None:
    book.take(book.unnamed("one", 30, "o"))
    assert book.take(book.paid("two", order_id=book.id("o"))) == ["created"]
    assert [row[1] for row in parked(book)] == ["resolved"]


@pytest.mark.parametrize("order_first", [False, True], ids=["both first", "order first"])
def test_an_order_that_was_paid_twice_stays_parked(book: Book, *, order_first: bool) -> None:
    events: list[PaymentEvent] = [book.unnamed("again", AMOUNT, "o"), book.paid("p", order_id=book.id("o"))]
    for event in reversed(events) if order_first else events:
        book.take(event)
    assert parked(book) == [(book.id("again"), "open", None)]


def until_through(connection: "psycopg.Connection[Any]", event: PaymentEvent) -> None:
    """A lost race is run again, as the ledger does."""
    for _ in range(10):
        with contextlib.suppress(SerializationFailure, DeadlockDetected):
            apply(connection, event)
            return
    raise AssertionError("ten races lost in a row")


def test_which_of_the_two_comes_first_makes_no_difference(book: Book, database_url: str) -> None:
    """At the same moment: none of the two may miss the other."""
    with psycopg.connect(database_url, autocommit=True) as other:
        for number in range(40):
            name = f"p{number}"
            told = [(book.database, book.unnamed(name)), (other, book.paid(name))]
            threads = [
                threading.Thread(target=until_through, args=each) for each in told[:: 1 if number % 2 else -1]
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=30)
            assert book.status(name) == "paid"
    assert [row for row in parked(book) if row[1] == "open"] == []

"""A payment in dispute: held while it is open, restored when it is won, ended when it is lost."""

from typing import Any

import pytest

from actors.protocol.payments import decode_kept
from tests.money.ledgerbook import AMOUNT, PROVIDER, Book

BOUGHT = ["PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED"]


@pytest.fixture
def bought(book: Book) -> Book:
    book.take(book.paid("p"))
    book.allocate()
    return book


def test_an_open_dispute_holds_and_a_won_one_restores(bought: Book) -> None:
    event = bought.disputed("p", "d", "open")
    (verdict,) = bought.apply(event).verdicts
    assert (verdict.outcome, verdict.detail) == ("exists", "dispute open")
    assert verdict.settled().absorbed_by is None
    assert (bought.status("p"), bought.allocation("p")) == ("on_hold", "allocated")
    assert bought.inbox(event) == "exists"
    bought.take(bought.disputed("p", "d", "won"))
    assert (bought.status("p"), bought.allocation("p")) == ("paid", "allocated")
    assert bought.told() == BOUGHT
    bought.is_sound()


def test_a_lost_dispute_revokes_and_its_place_goes_to_the_longest_waiting(make_book: Any) -> None:
    book = make_book(1)
    book.take(book.paid("p"))
    book.allocate()
    book.take(book.paid("q", "bob"))
    book.allocate()
    applied = book.apply(book.disputed("p", "d", "lost"))
    assert [event.type for event in applied.events] == ["COURSE_ACCESS_REVOKED"]
    assert (book.status("p"), book.allocation("p"), book.load()) == ("revoked", "released", 0)
    book.serve()
    assert book.allocation("q") == "allocated"
    assert book.told() == [*BOUGHT, "COURSE_ACCESS_REVOKED"]
    book.is_sound()


def test_the_same_word_again_changes_nothing_and_is_a_duplicate(bought: Book) -> None:
    for status in ("open", "lost"):
        bought.take(bought.disputed("p", "d", status))
        (verdict,) = bought.apply(bought.disputed("p", "d", status)).verdicts
        assert (verdict.outcome, verdict.detail) == ("exists", None)
        assert verdict.settled().absorbed_by == "effect"
    assert bought.told().count("COURSE_ACCESS_REVOKED") == 1


def test_it_only_goes_forward(bought: Book) -> None:
    bought.take(bought.disputed("p", "d", "won"))
    assert bought.take(bought.disputed("p", "d", "open")) == ["exists"]
    assert bought.status("p") == "paid"
    assert bought.take(bought.disputed("p", "d", "lost")) == ["exists"]
    assert bought.status("p") == "revoked"
    assert bought.take(bought.disputed("p", "d", "won")) == ["conflict"]
    assert bought.status("p") == "revoked"
    assert bought.findings() == [("conflict", f"{PROVIDER}:{bought.id('d')}")]
    (kept,) = bought.parked()
    assert decode_kept(kept).payment_id == bought.id("p")
    bought.is_sound()


def test_one_of_two_disputes_is_enough_to_hold(bought: Book) -> None:
    bought.take(bought.disputed("p", "d1", "open"))
    bought.take(bought.disputed("p", "d2", "open"))
    bought.take(bought.disputed("p", "d1", "won"))
    assert bought.status("p") == "on_hold"
    bought.take(bought.disputed("p", "d2", "won"))
    assert bought.status("p") == "paid"


@pytest.mark.parametrize(
    ("status", "stands", "allocation", "told"),
    [
        ("open", "on_hold", "allocated", BOUGHT),
        ("won", "paid", "allocated", BOUGHT),
        ("lost", "revoked", None, ["PURCHASE_CREATED"]),
    ],
)
def test_a_dispute_before_its_payment_waits_for_it(
    book: Book, status: Any, stands: str, allocation: str | None, told: list[str]
) -> None:
    assert book.take(book.disputed("p", "d", status)) == ["pending"]
    assert book.take(book.paid("p")) == ["created"]
    book.allocate()
    assert (book.status("p"), book.allocation("p")) == (stands, allocation)
    assert book.told() == told
    book.is_sound()


def test_refunds_and_disputes_of_one_payment_keep_their_own_books(bought: Book) -> None:
    bought.take(bought.disputed("p", "d", "open", "ann"))
    assert bought.take(bought.back("p", "r1", 40)) == ["refunded"]
    assert (bought.status("p"), bought.refunded("p")) == ("on_hold", 40)
    bought.take(bought.disputed("p", "d", "won", "ann"))
    assert bought.status("p") == "partly_refunded"
    bought.take(bought.disputed("p", "d", "lost", "ann"))
    assert bought.take(bought.back("p", "r2", AMOUNT - 40)) == ["refunded"]
    assert (bought.status("p"), bought.refunded("p")) == ("revoked", AMOUNT)
    bought.is_sound()


def test_somebody_elses_dispute_is_a_conflict(bought: Book) -> None:
    assert bought.take(bought.disputed("p", "d", "lost", "eve")) == ["conflict"]
    assert bought.status("p") == "paid"
    bought.take(bought.paid("q", "bob"))
    bought.take(bought.disputed("p", "d", "open"))
    assert bought.take(bought.disputed("q", "d", "lost")) == ["conflict"]
    assert bought.status("q") == "paid"

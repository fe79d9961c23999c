"""Captures, named or not, duplicates, refunds of both kinds, disputes, notices, changes of capacity.

In any order the books agree after every step.
"""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.ledger.batch import split
from actors.messages import Deliver, Write
from actors.protocol.payments import PaymentEvent, payment_key
from tests.money.conftest import MakeBook
from tests.money.ledgerbook import AMOUNT, Book

PAYMENTS = st.sampled_from([("p0", "ann"), ("p1", "ann"), ("p2", "bob")])
REFUNDS = st.sampled_from([("r0", 20), ("r1", 30), ("r2", 50), ("r2", 60)])
TOTALS = st.sampled_from([20, 50, 70, AMOUNT, AMOUNT + 1])
STATES = st.sampled_from([None, "failed", "authorized", "returned", "partial"])

EVENT = st.one_of(
    st.tuples(st.just("paid"), PAYMENTS),
    st.tuples(st.just("back"), PAYMENTS, REFUNDS, st.booleans()),
    st.tuples(st.just("back"), PAYMENTS, REFUNDS, st.booleans()),
    st.tuples(st.just("total"), PAYMENTS, TOTALS, st.booleans()),
    st.tuples(
        st.just("disputed"),
        PAYMENTS,
        st.sampled_from(["d0", "d1"]),
        st.sampled_from(["open", "won", "lost"]),
        st.booleans(),
    ),
    st.tuples(st.just("noticed"), PAYMENTS, STATES),
    st.tuples(st.just("unnamed"), PAYMENTS),
)
STEP = st.one_of(
    st.lists(EVENT, min_size=1, max_size=4),
    EVENT.map(lambda event: [event]),
    EVENT.map(lambda event: [event]),
    st.tuples(st.just("capacity"), st.integers(0, 1), st.integers(0, 3)),
    st.just("allocate"),
    st.just("serve"),
)


def _event(book: Book, step: Any) -> PaymentEvent:
    kind, (name, student), *rest = step
    if kind == "paid":
        return book.paid(name, student)
    if kind == "unnamed":
        return book.unnamed(name)
    if kind == "noticed":
        return book.noticed(name, *rest)
    named = student if rest.pop() else None
    if kind == "back":
        refund, amount = rest[0]
        return book.back(name, f"{refund}_{name}", amount, named)
    if kind == "total":
        return book.back(name, None, rest[0], named)
    dispute, status = rest
    return book.disputed(name, f"{dispute}_{name}", status, named)


class Expected:
    """What has gone back of each payment, said in one line: the most that either kind of statement proves."""

    def __init__(self) -> None:
        self.named: dict[str, dict[str, int]] = {}
        self.totals: dict[str, int] = {}
        self.disputed_facts: set[str] = set()

    def note(self, step: Any, outcome: str) -> None:
        kind, (name, _), *rest = step
        if outcome == "conflict":
            self.disputed_facts.add(name)
        elif kind == "back":
            # an id that is known stands with the sum that it came with first
            self.named.setdefault(name, {}).setdefault(*rest[0])
        elif kind == "total":
            self.totals[name] = max(self.totals.get(name, 0), rest[0])

    def back(self, name: str) -> int | None:
        total = max(sum(self.named.get(name, {}).values()), self.totals.get(name, 0))
        return None if name in self.disputed_facts or total > AMOUNT else total


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    capacities=st.tuples(st.integers(0, 2), st.integers(0, 2)), steps=st.lists(STEP, min_size=12, max_size=30)
)
def test_whatever_comes_in_whatever_order_the_books_agree(
    make_book: MakeBook, capacities: tuple[int, int], steps: list[Any]
) -> None:
    book = make_book(*capacities)
    expected = Expected()
    for step in steps:
        if step == "allocate":
            book.allocate()
        elif step == "serve":
            book.serve()
        elif step[0] == "capacity":
            book.set_capacity(*step[1:])
        else:
            _apply(book, expected, step)
        book.is_sound()
    book.allocate()
    book.is_sound()
    for name in ("p0", "p1", "p2"):
        if book.status(name) is not None and expected.back(name) is not None:
            assert book.refunded(name) == expected.back(name)
        if book.status(name) in {"paid", "partly_refunded", "on_hold"}:
            assert book.allocation(name) in {"allocated", "waitlisted"}
    assert book.rows("select * from kc.next_waiting(10)") == []
    book.close()


def _apply(book: Book, expected: Expected, steps: list[Any]) -> None:
    """As a ledger does it: one transaction holds each payment once, the rest goes into the next."""
    events = [_event(book, step) for step in steps]
    left: list[Any] = [Write(Deliver(event, _Nowhere(), "test", 0.0), None) for event in events]  # type: ignore[arg-type]
    by_id = {event.event_id: step for event, step in zip(events, steps, strict=True)}
    while left:
        now, left = split(left)
        batch = [write.deliver.event for write in now if isinstance(write, Write)]
        assert len({payment_key(event) for event in batch}) == len(batch)
        for event, outcome in zip(batch, book.take(*batch), strict=True):
            expected.note(by_id[event.event_id], outcome)


class _Nowhere:
    def settle(self, settled: object) -> None:
        pass

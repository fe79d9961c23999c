"""Ledgers of several nodes and an allocator at the same rows at once: nobody dies of it, and the books agree."""

import random
import threading
from collections.abc import Callable
from functools import partial

from actors.allocation.transaction import allocate
from actors.ledger.batch import Message, encode, split
from actors.messages import Deliver, Write
from actors.protocol.payments import PaymentEvent
from actors.store.connection import Connection
from actors.store.errors import Contended
from tests.money.conftest import MakeBook
from tests.money.ledgerbook import Book

PAYMENTS = [(f"p{n}", f"student{n % 4}") for n in range(12)]
ROUNDS = 25


class Nowhere:
    def settle(self, settled: object) -> None:
        pass


def everything(book: Book) -> list[PaymentEvent]:
    """All that is ever said: 80 goes back of each of the first eight payments, four of the twelve are disputed."""
    events: list[PaymentEvent] = []
    for number, (name, student) in enumerate(PAYMENTS):
        events += [book.unnamed(name), book.paid(name, student), book.noticed(name, "authorized")]
        if number < 8:
            events += [
                book.back(name, f"a{name}", 30, student),
                book.back(name, f"b{name}", 50),
                book.back(name, None, 80),
                book.back(name, None, 30, student),
            ]
        if number % 3 == 0:
            events += [
                book.disputed(name, f"d{name}", "open"),
                book.disputed(name, f"d{name}", "lost" if number % 2 else "won", student),
            ]
    return events


class Workers:
    """Threads with a connection each, and what went wrong in them."""

    def __init__(self, url: str, events: list[PaymentEvent]) -> None:
        self.troubles: list[BaseException] = []
        self._url, self._events = url, events
        self._done = threading.Event()

    def run(self, ledgers: int) -> None:
        """Until the ledgers have written all their rounds."""
        allocator = threading.Thread(target=self._guarded, args=("allocator", self._allocate))
        writers = [
            threading.Thread(target=self._guarded, args=(f"ledger-{n}", self._write)) for n in range(ledgers)
        ]
        for thread in [allocator, *writers]:
            thread.start()
        for thread in writers:
            thread.join(timeout=70)
        self._done.set()
        allocator.join(timeout=20)

    def _guarded(self, name: str, work: Callable[[str, Connection], None]) -> None:
        try:
            with Connection(self._url, name) as connection:
                work(name, connection)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            self.troubles.append(error)

    def _write(self, name: str, connection: Connection) -> None:
        rng = random.Random(name)
        for _ in range(ROUNDS):
            chosen = rng.sample(self._events, k=20)
            left: list[Message] = [Write(Deliver(event, Nowhere(), "test", 0.0), None) for event in chosen]  # type: ignore[arg-type]
            while left:
                now, left = split(left)
                until_through(partial(connection.text, "apply", encode(now)))

    def _allocate(self, _: str, connection: Connection) -> None:
        while not self._done.is_set():
            found = connection.rows("heal_allocations", (0, 100)) + connection.rows("next_waiting", (10,))
            if found:
                until_through(partial(allocate, connection, [row[0] for row in found]))


def until_through(work: Callable[[], object]) -> None:
    """A lost race is run again, as the ledger does; whoever is never through has a deadlock that always comes back."""
    for _ in range(50):
        try:
            work()
        except Contended:
            continue
        return
    raise AssertionError("50 races lost in a row")


def test_several_ledgers_and_an_allocator_at_once(make_book: MakeBook, database_url: str) -> None:
    book = make_book(2, 1)
    events = everything(book)
    workers = Workers(database_url, events)
    workers.run(ledgers=3)
    assert workers.troubles == []
    for event in events:
        book.take(event)
    book.allocate()
    book.is_sound()
    for number, (name, _) in enumerate(PAYMENTS):
        assert book.refunded(name) == (80 if number < 8 else 0)
        lost = number % 3 == 0 and number % 2 == 1
        assert book.status(name) == ("revoked" if lost else "partly_refunded" if number < 8 else "paid")
    assert book.load() == 3
    assert book.findings() == [], "nothing of it was a contradiction"
    assert book.rows("select payment_id from parked where state = 'open'") == [], "all of them were named"

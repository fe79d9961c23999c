"""A till: customers come and go, one thread writes the book in batches, and a bad coin stops nobody.

Each customer is a virtual actor; the book is pinned, because writing blocks, and gets all that queued while it wrote.
"""

from __future__ import annotations

from typing import Any, ClassVar

from supervision import (
    Actor,
    ActorRef,
    ChildSpec,
    Failure,
    PoisonMessage,
    PoisonPolicy,
    Router,
    System,
    supervisor,
)


class Book(Actor):
    """Writes what customers paid; `pages` stands for the database."""

    dispatcher: ClassVar[str] = "pinned"
    batch_max: ClassVar[int] = 256
    mailbox_limit: ClassVar[int | None] = 10_000

    def __init__(self, pages: list[tuple[str, int]]) -> None:
        super().__init__()
        self._pages = pages

    def on_batch(self, messages: list[Any]) -> list[Any] | None:
        self._pages.extend((name, cents) for name, cents, _ in messages)
        for _, cents, customer in messages:
            customer.tell(("written", cents))
        return None


class Customer(Actor):
    """Pays in order, and knows what has been written."""

    def __init__(self, name: str, book: ActorRef[Any]) -> None:
        super().__init__()
        self._name = name
        self._book = book
        self._unwritten = 0
        self._written = 0

    def on_receive(self, message: tuple[str, int]) -> int:
        match message:
            case ("pay", cents) if cents > 0:
                self._unwritten += 1
                self._book.tell((self._name, cents, self.actor_ref))
            case ("written", cents):
                self._unwritten -= 1
                self._written += cents
            case ("sum", _):
                return self._written
            case _:
                raise PoisonMessage(f"no such coin: {message}")
        return 0

    def is_idle(self) -> bool:
        return self._unwritten == 0


def main() -> dict[str, Any]:
    """Run the till for a while; returns what an owner would count in the evening."""
    pages: list[tuple[str, int]] = []
    bad_coins: list[tuple[str, Any]] = []

    def keep(name: str, message: Any, _: Failure) -> None:
        bad_coins.append((name, message))

    with System("till") as system:
        core = supervisor("core", [ChildSpec("book", lambda: Book(pages))], strategy="rest_for_one")
        above = system.start_child(None, core)
        book = system.ref("core/book")
        assert book is not None  # noqa: S101 - it was started a line before
        router = Router(lambda name: Customer(name, book), idle_s=60.0, poison=PoisonPolicy(park=keep))
        system.start_child(above, router.spec())
        for number in range(1000):
            router.tell(f"customer-{number % 10}", ("pay", -5 if number == 500 else 100))
    account = system.account()
    return {
        "pages": len(pages),
        "cents": sum(cents for _, cents in pages),
        "bad": bad_coins,
        "error": account.error,
    }

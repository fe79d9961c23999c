"""The ref: what others hold of an actor. It stays good through restarts, and for a virtual actor for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pykka

from supervision.cell import Cell
from supervision.errors import ActorDeadError
from supervision.future import Future
from supervision.lane import ActorStop

A = TypeVar("A", bound=pykka.Actor)


class ActorRef(pykka.ActorRef[A]):
    """A `pykka.ActorRef` to a cell: `tell`, `ask`, `stop`, `is_alive`, `proxy` as Pykka documents.

    `tell` and `ask` raise `MailboxFull` when the actor's mailbox is bounded and full. Nothing here ever
    blocks except an `ask` or `stop` that is told to.
    """

    __slots__ = ("cell",)

    cell: Cell

    def __init__(self, cell: Cell) -> None:
        # Not calling super: Pykka's attributes are read from the cell, where they cost nothing per actor.
        self.cell = cell

    @property
    def actor_class(self) -> Any:  # type: ignore[override]
        return self.cell.actor_class

    @property
    def actor_urn(self) -> str:  # type: ignore[override]
        return self.cell.urn

    @property
    def actor_inbox(self) -> Cell:  # type: ignore[override]
        return self.cell

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]
        return self.cell.stopped_event

    @property
    def _actor_weakref(self) -> Callable[[], Any]:  # type: ignore[override]
        cell = self.cell
        return lambda: cell.behaviour

    @property
    def path(self) -> str:
        """Where the actor stands in its tree, "core/ledger-0"."""
        return self.cell.path

    def __str__(self) -> str:
        return str(self.cell)

    def is_alive(self) -> bool:
        """Whether messages are still taken. True between a failure and the restart."""
        return not self.cell.closed

    def tell(self, message: Any) -> None:
        if not self.cell.offer(message) and not self.cell.forward(message, None):
            raise ActorDeadError(f"{self} not found")

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        future: Future[Any] = Future()
        future.target = self.cell
        # A stop must get in even when the mailbox is full, or a full actor could not be stopped.
        put = self.cell.offer_last if isinstance(message, ActorStop) else self.cell.offer
        if not put(message, future) and not self.cell.forward(message, future):
            future.fail(ActorDeadError(f"{self} not found"))
        return future.get(timeout=timeout) if block else future

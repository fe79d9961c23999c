"""One student. Its mailbox is the order in which payments and allocations of this student happen.

It never blocks: it tells the ledger and goes on. What comes for a payment that is still being written waits for that
answer, so that a transaction never holds two messages about one payment.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from actors.messages import Allocate, Allocated, Deliver, Write, Written
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import payment_key
from actors.student.memory import Memory
from supervision import Actor, ActorRef, MailboxFull

logger = logging.getLogger(__name__)


class Measure(Protocol):
    """What a student's actor reports."""

    def settled(self, deliver: Deliver, settled: Settled, seconds: float) -> None:
        """One payment event has its answer from the database, or is refused, ``seconds`` after it came in."""

    def absorbed(self, deliver: Deliver) -> None:
        """One payment event was a duplicate of what the student knows."""


class Student(Actor):
    """See the module. A virtual actor: it starts with its first message and is put away when idle.

    Args:
        ledger: says where a write goes; asked when none is on its way, so that a student's writes keep their order.
        allocator: where allocations are decided.
        generation: tells which life of the database connection answers now; memories of an earlier one are dropped.
        remembered_max: effects kept.
        measure: told of every answer.
    """

    def __init__(
        self,
        ledger: Callable[[], ActorRef[Any]],
        allocator: ActorRef[Any],
        generation: Callable[[], int],
        remembered_max: int,
        measure: Measure,
    ) -> None:
        super().__init__()
        self._measure = measure
        self._choose_ledger = ledger
        self._ledger = ledger()
        self._allocator = allocator
        self._generation = generation
        self._known_generation = generation()
        self._memory = Memory(remembered_max)
        self._waiting: dict[tuple[str, str], deque[Deliver]] = {}
        self._allocating: dict[UUID, None] = {}

    def on_receive(self, message: object) -> None:
        """Take one message: a delivery, or an answer from the ledger or the allocator."""
        if isinstance(message, Deliver):
            self._take(message)
        elif isinstance(message, Written):
            self._written(message)
        elif isinstance(message, Allocated):
            self._decided(message)
        else:
            logger.warning("a student was told %s", type(message).__name__)

    def is_idle(self) -> bool:
        """Whether nothing is under way, so that the actor may be put away."""
        return not self._waiting and not self._allocating

    def _take(self, deliver: Deliver) -> None:
        if self._waiting and (queue := self._waiting.get(payment_key(deliver.event))) is not None:
            queue.append(deliver)
        elif not self._answer_from_memory(deliver):
            self._write(deliver)

    def _answer_from_memory(self, deliver: Deliver) -> bool:
        generation = self._generation()
        if generation != self._known_generation or deliver.insist:
            self._known_generation = generation
            self._memory.forget()
            return False
        settled = self._memory.recall(deliver.event)
        if settled is None:
            return False
        self._measure.absorbed(deliver)
        deliver.source.settle(settled)
        return True

    def _write(self, deliver: Deliver) -> None:
        if not self._waiting:
            self._ledger = self._choose_ledger()
        try:
            self._ledger.tell(Write(deliver, self.actor_ref))
        except MailboxFull:
            self._settle(deliver, Settled(Outcome.REFUSED, detail="ledger full"))
        else:
            self._waiting.setdefault(payment_key(deliver.event), deque())

    def _written(self, written: Written) -> None:
        deliver, settled = written.deliver, written.settled
        self._memory.learn(deliver.event, settled)
        self._settle(deliver, settled)
        if written.allocate and settled.purchase_id is not None:
            self._allocate(settled.purchase_id)
        queue = self._waiting.pop(payment_key(deliver.event), None)
        while queue:
            following = queue.popleft()
            if self._answer_from_memory(following):
                continue
            self._write(following)
            waiting = self._waiting.get(payment_key(following.event))
            if waiting is not None:
                waiting.extend(queue)
                return

    def _settle(self, deliver: Deliver, settled: Settled) -> None:
        self._measure.settled(deliver, settled, self.context.clock.monotonic() - deliver.received_s)
        deliver.source.settle(settled)

    def _allocate(self, purchase_id: UUID) -> None:
        if purchase_id in self._allocating:
            return
        self._allocating[purchase_id] = None
        try:
            self._allocator.tell(Allocate(purchase_id, self.actor_ref))
        except MailboxFull:
            # the row stays `requested`: the reconciler finds it
            del self._allocating[purchase_id]

    def _decided(self, message: Allocated) -> None:
        self._allocating.pop(message.purchase_id, None)

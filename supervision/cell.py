"""The cell: mailbox, ref, counters and place in the tree, around a behaviour that can be replaced.

This layer is its turns; `lifecycle` is how the behaviour comes and goes, `lane` what becomes of failing
messages, `cellstate` what there is to know, `mailbox` the queue and its lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pykka
from pykka import messages

from supervision.cellstate import Pill
from supervision.dispatcher import Worker
from supervision.future import Future
from supervision.lane import ActorStop
from supervision.lifecycle import Lifecycle
from supervision.mailbox import Item
from supervision.vitals import Book

logger = logging.getLogger(__name__)

_SPECIAL: frozenset[type] = frozenset(
    {ActorStop, messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr, Pill}
)


class Cell(Lifecycle):
    """One actor, for as long as its ref is good."""

    __slots__ = ()

    def forward(self, message: Any, reply_to: pykka.Future[Any] | None) -> bool:
        """Take a message although the mailbox is closed; only virtual actors can, by starting anew."""
        return False

    def turn(self, worker: Worker) -> None:
        """Control messages, then a bounded number of user messages."""
        if self.control:
            self._run_control()
        if self.is_open and self.queue and worker.cell is self:
            started_s = worker.started_s
            wait_s = started_s - self.queue[0][2]
            before = self.handled
            actor_class = self.actor_class
            if self.batch_max == 1:
                self._handle_some(worker, started_s + worker.turn_s)
            else:
                self._handle_batch(worker)
            if worker.cell is not self:
                # Usurped while stuck: somebody else owns the cell now.
                return
            book = worker.books.get(actor_class)
            if book is None:
                book = worker.books[actor_class] = Book()
            self.active_s = ended_s = worker.now()
            book.turns += 1
            book.handled += self.handled - before
            book.turn.add(ended_s - started_s)
            book.wait.add(wait_s)
            if self.trouble is not None:
                self._follow_up(self.handled > before)
        if self.end_turn(worker):
            # Behind all others that are ready: that is what makes turns fair.
            self.runtime.noticed[self] = None
            self.dispatcher.schedule(self)

    def _follow_up(self, got_on: bool) -> None:  # noqa: FBT001 - the one thing it asks
        """What only actors with a past need after a turn."""
        trouble = self.troubled()
        if trouble.away and got_on:
            trouble.away = False
            self.note("dependency_back")
        if trouble.held:
            self.go_if_idle()

    def _run_control(self) -> None:
        while self.control:
            action, _ = self.control.popleft()
            try:
                action()
            except BaseException as error:
                logger.exception("a control message failed in %s", self)
                self.note("failed", f"control: {error!r}")
        with self.lock:
            if not self.control:
                # An empty deque is half a kilobyte; of a million idle actors none needs it.
                self.control = None

    def _handle_some(self, worker: Worker, deadline_s: float) -> None:
        queue = self.queue
        receive = self.behaviour.on_receive
        now = worker.now
        left = worker.turn_messages
        while True:
            item = queue.popleft()
            self.current = item
            message, reply_to, _ = item
            try:
                result = self._special(message, reply_to) if type(message) in _SPECIAL else receive(message)
            except BaseException as error:  # noqa: BLE001 - supervision sees every failure, and none may stop another actor
                if worker.cell is not self:
                    return
                self.message_failed(item, error)
            else:
                # Not so when the message was stashed, or is a stop that answers for itself, or the cell was usurped.
                if self.current is item:
                    # Counted before the answer leaves, so that whoever has the answer also finds it counted.
                    self.handled += 1
                    if reply_to is not None:
                        _answer(reply_to, result)
                elif worker.cell is not self:
                    return
            left -= 1
            if not queue or not self.is_open or left <= 0 or self.control or now() > deadline_s:
                break
        self.current = None

    def _special(self, message: Any, reply_to: pykka.Future[Any] | None) -> Any:
        if isinstance(message, Pill):
            # Counted first: the action may close the cell, and its books with it.
            self.current = None
            self.handled += 1
            message.action()
            return None
        if isinstance(message, ActorStop):
            # The answer waits until the cell is closed: then is_alive() is false for whoever gets it.
            self.current = None
            self.handled += 1
            if reply_to is not None:
                self.stopping_replies = [*(self.stopping_replies or ()), reply_to]
            self.exit_normally()
            return None
        return self.behaviour._handle_receive(message)  # noqa: SLF001 - Pykka's dispatch of proxy calls

    def _handle_batch(self, worker: Worker) -> None:
        trouble = self.trouble
        singles = trouble is not None and trouble.singles > 0
        if type(self.queue[0][0]) in _SPECIAL:
            self._handle_alone(self.queue.popleft(), worker)
            return
        items = self._take_batch(1 if singles else self.batch_max)
        # The first stands for the batch; it must not be stashed.
        self.current = items[0]
        try:
            results = self.behaviour.on_batch([message for message, _, _ in items])
        except BaseException as error:  # noqa: BLE001
            if worker.cell is not self:
                return
            self.batch_failed(items, error)
        else:
            if worker.cell is not self:
                return
            if singles and trouble is not None:
                trouble.singles -= 1
            self.handled += len(items)
            for position, (_, reply_to, _) in enumerate(items):
                if reply_to is not None:
                    _answer(reply_to, results[position] if results is not None else None)
        self.current = None

    def _take_batch(self, count_max: int) -> list[Item]:
        queue = self.queue
        items = [queue.popleft()]
        while queue and len(items) < count_max and type(queue[0][0]) not in _SPECIAL:
            items.append(queue.popleft())
        return items

    def _handle_alone(self, item: Item, worker: Worker) -> None:
        self.current = item
        message, reply_to, _ = item
        try:
            result = self._special(message, reply_to)
        except BaseException as error:  # noqa: BLE001
            if worker.cell is self:
                self.message_failed(item, error)
        else:
            if self.current is item:
                self.handled += 1
                if reply_to is not None:
                    _answer(reply_to, result)
        self.current = None

    # Control from outside, always through `post`.

    def suspend(self) -> None:
        """Handle no user message until `resume`; control messages go on."""
        self.suspended = True
        self.reopen()
        self.note("suspended")

    def resume(self) -> None:
        """End a suspension, and the pause before a retry."""
        self.suspended = False
        self.lane_waits = False
        self.reopen()
        self.note("resumed")

    def rest(self, seconds: float) -> None:
        """Handle no user message for so long, from the end of this turn on; control messages go on.

        Not while it drains: what takes it down waits behind its messages.
        """
        if self.trouble is not None and self.trouble.drain is not None:
            return
        self.rests = True
        self.set_open(False)

        def go_on() -> None:
            self.rests = False
            self.reopen()

        self.runtime.timers.call_after(seconds, lambda: self.post(go_on))

    def inspect(self, look: Callable[[Any], Any], reply: Future[Any]) -> None:
        """Answer `reply` with `look(behaviour)`, between two messages."""
        try:
            reply.set(look(self.behaviour))
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever looks
            reply.fail(error)


def _answer(reply_to: pykka.Future[Any], value: Any) -> None:
    try:
        reply_to.set(value)
    except Exception:
        logger.exception("a reply was set twice")

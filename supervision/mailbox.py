"""The mailbox: what waits for an actor, and the one lock under which it is put, counted, scheduled and closed."""

from __future__ import annotations

import sys
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pykka

from supervision.errors import MailboxFull

Item = tuple[Any, pykka.Future[Any] | None, float]
"""A queued message: the message, the future of an ask, the monotonic second in which it was put."""
Command = tuple[Callable[[], None], Callable[[], None] | None]
"""A control message: what to do in the actor's turn, and what to do instead when the mailbox closes first."""
UNBOUNDED = sys.maxsize


class Mailbox:
    """User messages behind control messages.

    Invariants, all under `lock`: `scheduled` is true from the moment the mailbox is handed to the dispatcher
    until a turn ends with nothing to do; once `closed` is true nothing is ever added, so whoever closes can
    empty it and strand nothing. `is_open` says whether user messages may be handled now; control messages
    always may.
    """

    __slots__ = (
        "accepted",
        "closed",
        "control",
        "emptied",
        "is_open",
        "limit",
        "lock",
        "now",
        "queue",
        "refused",
        "scheduled",
    )

    def __init__(self, now: Callable[[], float], limit: int | None) -> None:
        self.lock = threading.Lock()
        self.queue: deque[Item] = deque()
        self.control: deque[Command] | None = None
        self.limit = UNBOUNDED if limit is None else limit
        self.now = now
        self.closed = False
        self.emptied = False
        self.scheduled = False
        self.is_open = False
        self.accepted = 0
        self.refused = 0

    @abstractmethod
    def schedule(self) -> None:
        """Hand this mailbox to its dispatcher: it has something to do."""

    def offer(self, message: Any, reply_to: pykka.Future[Any] | None = None) -> bool:
        """Queue a message. False when the mailbox is closed.

        Raises:
            MailboxFull: the bound is reached; nothing was taken.
        """
        with self.lock:
            if self.closed:
                return False
            queue = self.queue
            if len(queue) >= self.limit:
                self.refused += 1
                raise MailboxFull(f"{self} holds {self.limit} messages")
            queue.append((message, reply_to, self.now()))
            self.accepted += 1
            if self.scheduled or not self.is_open:
                return True
            self.scheduled = True
        self.schedule()
        return True

    def offer_all(self, messages: Sequence[Any]) -> int | None:
        """Queue messages in their order, as many as the bound lets in: how many. None when the mailbox is closed.

        One lock and one look at the clock for all of them: a third of the cost of a message where ten come.
        """
        with self.lock:
            if self.closed:
                return None
            queue, now_s = self.queue, self.now()
            taken = min(len(messages), max(0, self.limit - len(queue)))
            queue.extend([(message, None, now_s) for message in messages[:taken]])
            self.accepted += taken
            self.refused += len(messages) - taken
            if self.scheduled or not self.is_open or not taken:
                return taken
            self.scheduled = True
        self.schedule()
        return taken

    def offer_last(self, message: Any, reply_to: pykka.Future[Any] | None = None) -> bool:
        """As `offer`, but beyond the bound: a stop must not wait behind a full mailbox. False when closed."""
        with self.lock:
            if self.closed:
                return False
            self.queue.append((message, reply_to, self.now()))
            self.accepted += 1
            if self.scheduled or not self.is_open:
                return True
            self.scheduled = True
        self.schedule()
        return True

    def post(self, action: Callable[[], None], instead: Callable[[], None] | None = None) -> bool:
        """Queue a control message, ahead of every user message. False, and nothing called, when closed."""
        with self.lock:
            if self.closed:
                return False
            if self.control is None:
                self.control = deque()
            self.control.append((action, instead))
            if self.scheduled:
                return True
            self.scheduled = True
        self.schedule()
        return True

    def close(self) -> tuple[list[Item], list[Command]] | None:
        """Close for ever and hand over what was left; None when somebody else has done so."""
        with self.lock:
            if self.emptied:
                return None
            self.closed = self.emptied = True
            self.is_open = False
            items, self.queue = list(self.queue), deque()
            commands, self.control = list(self.control or ()), None
        return items, commands

    def close_if_empty(self) -> bool:
        """Close only when nothing at all waits; True when closed. The second phase of passivation."""
        with self.lock:
            if self.queue or self.control:
                return False
            self.closed = True
            return True

    def set_open(self, is_open: bool) -> None:  # noqa: FBT001 - the one thing it sets
        """Allow or stop the handling of user messages."""
        with self.lock:
            if self.closed:
                return
            self.is_open = is_open
            if not is_open or self.scheduled or not self.queue:
                return
            self.scheduled = True
        self.schedule()

    def end_turn(self, worker: Any) -> bool:
        """Decide, under the lock, whether the dispatcher must come back; no put can slip in between."""
        with self.lock:
            if worker.cell is not self:
                return False
            if self.control or (self.is_open and self.queue):
                return True
            self.scheduled = False
            return False

    def release_turn(self) -> None:
        """Forget the turn that was taken away; the next control message schedules anew."""
        with self.lock:
            self.scheduled = False

    @property
    def depth(self) -> int:
        return len(self.queue)

    def oldest_s(self) -> float:
        """Age in seconds of the oldest queued message; 0.0 when none."""
        try:
            return max(0.0, self.now() - self.queue[0][2])
        except IndexError:
            return 0.0

    # The three methods that Pykka asks of an inbox. Its own refs use `put`; ours use `offer`.

    def put(self, envelope: Any, /) -> None:
        if not self.offer(envelope.message, envelope.reply_to) and envelope.reply_to is not None:
            envelope.reply_to.set_exception(
                (pykka.ActorDeadError, pykka.ActorDeadError(f"{self} is dead"), None)
            )

    def get(self) -> Any:
        raise NotImplementedError("a dispatcher reads this mailbox, no thread waits on it")

    def empty(self) -> bool:
        return not self.queue

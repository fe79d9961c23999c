"""The lane: what becomes of a message whose handler failed.

It is retried, parked, or a dead letter; never just gone.
"""

from __future__ import annotations

import logging
from collections import deque

import pykka
from pykka import messages

from supervision.cellstate import CellState, Pill
from supervision.errors import ActorDeadError, PoisonMessage
from supervision.failure import Failure, FailureKind, PoisonPolicy
from supervision.mailbox import Item

logger = logging.getLogger(__name__)

ActorStop: type = messages._ActorStop  # noqa: SLF001 - Pykka's own stop, which its refs send


class Lane(CellState):
    """Failure of messages. Everything here runs in the cell's own turn."""

    __slots__ = ()

    def kind_of(self, error: BaseException) -> FailureKind:
        try:
            return self.spec.classify(error)
        except Exception:
            logger.exception("classify of %s failed", self)
            return FailureKind.BUG

    def message_failed(self, item: Item, error: BaseException) -> None:
        """The handler of one message raised."""
        message, reply_to, _ = item
        kind = self.kind_of(error)
        trouble = self.troubled()
        trouble.failures += 1
        if reply_to is not None:
            # The asker has the failure; nothing of the message is left to retry.
            self.handled += 1
            logger.info("exception returned from %s to the asker", self, exc_info=error)
            self.note("failed", f"ask: {error!r}", error)
            refuse(reply_to, error)
            if self.parent is not None and kind is FailureKind.BUG:
                self.crash(Failure(kind, error, "receive", self.now(), message))
            return
        trouble.attempts = trouble.attempts + 1 if trouble.head is item else 1
        trouble.head = item
        failure = Failure(kind, error, "receive", self.now(), message, trouble.attempts)
        logger.error("unhandled exception in %s (%s)", self, kind, exc_info=error)
        self.note_failure(kind, f"{kind}: {error!r}", error)
        if self._may_retry(kind, trouble.attempts):
            self.queue.appendleft(item)
            if kind is FailureKind.DEPENDENCY:
                self.wait_lane(trouble.attempts)
        else:
            self.dispose(item, failure)
        if kind is FailureKind.BUG:
            self.crash(failure)

    def batch_failed(self, items: list[Item], error: BaseException) -> None:
        """`on_batch` raised. Whose fault it was shows when its messages come one by one."""
        trouble = self.troubled()
        if len(items) == 1:
            trouble.singles = max(0, trouble.singles - 1)
            self.message_failed(items[0], error)
            return
        kind = self.kind_of(error)
        trouble.failures += 1
        logger.error("unhandled exception in %s (%s, batch of %d)", self, kind, len(items), exc_info=error)
        self.note_failure(kind, f"{kind}: batch of {len(items)}: {error!r}", error)
        self.queue.extendleft(reversed(items))
        if kind is FailureKind.DEPENDENCY:
            trouble.attempts = trouble.attempts + 1 if trouble.head is items[0] else 1
            trouble.head = items[0]
            self.wait_lane(trouble.attempts)
            return
        trouble.singles = len(items)
        if kind is FailureKind.BUG:
            self.crash(Failure(kind, error, "receive", self.now()))

    def note_failure(self, kind: FailureKind, detail: str, error: BaseException) -> None:
        """Each failure is an incident; that a dependency is away is one for all the tries until it is back."""
        trouble = self.troubled()
        if kind is not FailureKind.DEPENDENCY:
            self.note("failed", detail, error)
        elif trouble.away:
            self.runtime.vitals.count(self.actor_class.__name__, "retried")
        else:
            trouble.away = True
            self.note("dependency_lost", detail, error)

    def _may_retry(self, kind: FailureKind, attempts: int) -> bool:
        policy: PoisonPolicy = self.spec.poison
        if kind is FailureKind.BUG:
            # A temporary actor does not live to see a second attempt.
            return self.spec.restart != "temporary" and attempts <= policy.retries
        if kind is FailureKind.DEPENDENCY:
            return policy.dependency_retries is None or attempts <= policy.dependency_retries
        return False

    def dispose(self, item: Item, failure: Failure) -> None:
        """Hand a message to the owner's `park`, or to the dead letters."""
        trouble = self.troubled()
        trouble.head, trouble.attempts = None, 0
        park = self.spec.poison.park
        if park is not None:
            try:
                park(self.name, item[0], failure)
            except BaseException as error:
                # Not lost even now: the dead letters have it.
                logger.exception("parking a message of %s failed", self)
                self.note("failed", f"park: {error!r}")
            else:
                trouble.parked += 1
                self.note("parked", repr(failure.error))
                return
        trouble.dead += 1
        self.runtime.dead_letters.record(self.path, item[0], "failed", failure.error)

    def skip_head(self, reason: str) -> None:
        """Take the next message out of the lane as poison, on an operator's word: parked, or a dead letter."""
        if not self.queue or isinstance(self.queue[0][0], Pill | ActorStop):
            return
        item = self.queue.popleft()
        error = PoisonMessage(reason)
        if item[1] is not None:
            self.handled += 1
            refuse(item[1], error)
        else:
            failure = Failure(FailureKind.POISON, error, "receive", self.now(), item[0])
            self.dispose(item, failure)
        self.note("skipped", reason)
        self.lane_waits = False
        self.reopen()

    def wait_lane(self, attempts: int) -> None:
        """Handle no user message until the pause before the next attempt is over."""
        self.lane_waits = True
        self.set_open(False)

        def go_on() -> None:
            self.lane_waits = False
            self.reopen()

        delay_s = self.spec.poison.backoff.delay_s(attempts, self.runtime.rng)
        self.runtime.timers.call_after(delay_s, lambda: self.post(go_on))

    def bury(self, item: Item, cause: str, failure: Failure | None) -> None:
        """Account for a message that waited in a mailbox that closes."""
        message, reply_to, _ = item
        if isinstance(message, Pill | ActorStop):
            self.handled += 1
            if reply_to is not None:
                reply_to.set(None)
            return
        if reply_to is not None:
            self.troubled().dead += 1
            refuse(reply_to, ActorDeadError(f"{self} stopped before handling the message"))
            self.runtime.dead_letters.record(self.path, message, cause)
        elif failure is not None:
            self.dispose(item, failure)
        else:
            self.troubled().dead += 1
            self.runtime.dead_letters.record(self.path, message, cause)

    def stash_current(self) -> None:
        """Put the message that is being handled aside; see `Context.stash`."""
        item = self.current
        if item is None:
            raise RuntimeError(
                "stash() works only while a message is handled, once per message, and not in on_batch"
            )
        trouble = self.troubled()
        if trouble.stash is None:
            trouble.stash = deque()
        trouble.stash.append(item)
        self.current = None

    def unstash_all(self) -> None:
        """Put everything stashed back to the front, in its order."""
        trouble = self.trouble
        if trouble is None or not trouble.stash:
            return
        stash, trouble.stash = trouble.stash, None
        with self.lock:
            self.queue.extendleft(reversed(stash))


def refuse(reply_to: pykka.Future[object], error: BaseException) -> None:
    """Answer with an error, unless there is an answer already."""
    try:
        reply_to.set_exception((type(error), error, error.__traceback__))
    except Exception:
        logger.exception("a reply was set twice")

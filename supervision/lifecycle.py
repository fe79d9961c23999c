"""How a behaviour comes and goes inside its cell.

    NEW ---> STARTING ---> RUNNING ---> STOPPING ---> STOPPED
                |  ^          |            |
                v  |          v            v
              FAILED  <-------+          HALTED ---> STARTING ...
                 (rebuild: a fresh behaviour, the same mailbox and ref)

User messages are handled only while RUNNING, not suspended, and the lane is not waiting for a retry. All of
it runs in the cell's own turns, so it needs no lock beside the mailbox's; others ask for it with `post`. The
exceptions are `shut` and `usurp`, by which a supervisor takes a cell away from a turn that does not end.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pykka

from supervision.cellstate import Pill, State
from supervision.errors import ActorDeadError
from supervision.failure import Failure, FailureKind
from supervision.lane import Lane, refuse
from supervision.mailbox import UNBOUNDED

logger = logging.getLogger(__name__)


class _Construction(threading.local):
    cell: Any = None


construction = _Construction()
"""Per thread: the cell whose behaviour is being built, so that `Actor.__init__` finds its ref and context."""


class Lifecycle(Lane):
    """Start, restart and stop of a cell's behaviour."""

    __slots__ = ()

    # Coming.

    def make(self) -> pykka.Actor:
        """A fresh behaviour."""
        return self.spec.factory()

    def construct(self) -> Any:
        """Make a behaviour that knows this cell. Raises whatever the factory raises."""
        outer, construction.cell = construction.cell, self
        try:
            behaviour: Any = self.make()
        finally:
            construction.cell = outer
        adopt = getattr(behaviour, "_adopt", None)
        if adopt is None:
            raise TypeError(
                f"the factory of {self.name!r} made a {type(behaviour).__name__}, not a supervision.Actor"
            )
        adopt(self)
        self.actor_class = type(behaviour)
        self.batch_max = behaviour.batch_max
        limit = self.spec.mailbox_limit if self.spec.mailbox_limit is not None else behaviour.mailbox_limit
        self.limit = UNBOUNDED if limit is None else limit
        return behaviour

    def build(self) -> None:
        """Make a fresh behaviour and start it; tells the parent how it went."""
        if self.closed or self.state in (State.RUNNING, State.STARTING):
            return
        self.state = State.STARTING
        try:
            self.behaviour = self.construct()
            at_home = self.settle()
        except BaseException as error:  # noqa: BLE001 - supervision sees every failure, and none may stop another actor
            self._start_failed(error, "init")
            return
        if at_home:
            self.begin()
        else:
            self.post(self.begin)

    def settle(self) -> bool:
        """Move to the dispatcher that the class wants; False when the next turn will be in another thread.

        Only called in a turn or before the first one: while the mailbox counts as scheduled nobody else schedules it.
        """
        kind = self.spec.dispatcher or self.behaviour.dispatcher
        if self.dispatcher_kind == kind:
            return True
        self.runtime.retire(self.dispatcher)
        self.dispatcher_kind = kind
        self.dispatcher = self.runtime.dispatcher(kind, self.name)
        return False

    def begin(self) -> None:
        """Run `on_start` of the behaviour that was built, then start its declared children."""
        self.state = State.STARTING
        try:
            self.behaviour.on_start()
            if self.family is None:
                self.family = self.behaviour.make_family()
        except BaseException as error:  # noqa: BLE001
            self._start_failed(error, "on_start")
            return
        if self.family is None or self.family.begin():
            self.started()

    def started(self) -> None:
        """`on_start` is done and every declared child is up."""
        self.state = State.RUNNING
        self.reopen()
        self.report_started()

    def report_started(self) -> None:
        """Tell the supervisor, and whoever looks on: of a restart they know already."""
        if self.parent is not None and self.restarts == 0:
            self.announce("started")
        order = self.obeyed
        self.report(lambda family: family.child_started(self, order))

    def rebuild(self) -> None:
        """Build again after a failure: what is left of its children goes down first."""
        if self.closed:
            return
        self.state = State.HALTED
        self.behaviour = None
        self.suspended = self.lane_waits = False
        self.troubled().restarts += 1
        self.note("restarted")
        self._after_children(self.build, close=False)

    def swap(self, factory: Callable[[], pykka.Actor]) -> None:
        """Use another factory from the next start on."""
        self.spec = replace(self.spec, factory=factory)
        self.note("swapped")

    # Failing.

    def _start_failed(self, error: BaseException, phase: str) -> None:
        logger.error("%s failed in %s", self, phase, exc_info=error)
        self.troubled().failures += 1
        self.note("failed", f"{phase}: {error!r}", error)
        self._crashed(Failure(self.kind_of(error), error, phase, self.now()))

    def crash(self, failure: Failure) -> None:
        """Drop the behaviour after its `on_failure`, and let the supervisor decide."""
        self.set_open(False)
        behaviour = self.behaviour
        if self.parent is None:
            # As in Pykka: a lone actor counts as stopped by the time its on_failure runs.
            self._crashed(failure)
        error = failure.error
        if behaviour is not None:
            try:
                behaviour.on_failure(type(error), error, error.__traceback__)
            except BaseException as second:
                logger.exception("on_failure of %s failed", self)
                self.note("failed", f"on_failure: {second!r}")
        if self.parent is not None:
            self._crashed(failure)

    def _crashed(self, failure: Failure) -> None:
        self.state = State.FAILED
        self.behaviour = None
        self.set_open(False)
        self.troubled().failure = failure
        if self.parent is not None and self.parent.family is not None:
            order = self.obeyed
            self.report(lambda family: family.child_failed(self, order, failure))
        elif self.spec.restart == "temporary":
            self.discard()
        else:
            self.runtime.escalate(failure)

    # Going.

    def halt(self) -> None:
        """Stop the behaviour but keep the mailbox, so that a rebuild goes on where this one ended."""

        def halted() -> None:
            self.run_on_stop()
            self.behaviour = None
            self.state = State.HALTED
            self.suspended = self.lane_waits = False
            order = self.obeyed
            self.report(lambda family: family.child_halted(self, order))

        if self.closed:
            return
        self.leave()
        self._after_children(halted, close=False)

    def stop(self, reason: str = "normal") -> None:
        """Stop for ever, now: `on_stop`, then whatever still waits becomes dead letters."""
        if self.closed:
            return
        self.leave()

        def finish() -> None:
            self.run_on_stop()
            self.shut(reason)

        self._after_children(finish, close=True)

    def exit_normally(self) -> None:
        """The actor asked to stop, or was asked through its ref. A permanent child comes back, as in OTP."""
        if self.spec.restart != "permanent" or self.parent is None:
            self.stop()
            return

        def halted() -> None:
            self.run_on_stop()
            self.behaviour = None
            self.state = State.HALTED
            self._answer_stops()
            exited = Failure(FailureKind.BUG, ActorDeadError(f"{self} stopped by itself"), "exit", self.now())
            order = self.obeyed
            self.report(lambda family: family.child_failed(self, order, exited))

        self.leave()
        self._after_children(halted, close=False)

    def drain(self, action: Callable[[], None]) -> None:
        """Do `action` (halt or stop) after everything that is queued now, or at once when nothing would be handled.

        An actor that is not idle (`Actor.is_idle`) first gets the answers that it waits for, and one that waits for
        its restart after a bad message is restarted at once for the messages behind it. A rest ends here.
        """
        trouble = self.troubled()
        if self.rests:
            self.rests = False
            self.reopen()
        if (
            self.state is State.FAILED
            and self.queue
            and trouble.failure is not None
            and trouble.failure.phase == "receive"
        ):
            self.build()

        def reached() -> None:
            # A pill that a deadline overtook stays in the mailbox of a halted cell and must not act on the
            # next behaviour.
            overtaken = trouble.drain is not pill
            if not overtaken:
                trouble.held = self.is_busy()
                if trouble.held:
                    return
            # pill and closure hold each other, and so the cell, which would have to wait for the collector
            pill.action = _spent
            if not overtaken:
                trouble.drain = None
                action()

        pill = Pill(reached)
        trouble.drain = pill
        if not (self.is_open and self.queue and self.offer_last(pill)):
            reached()

    def is_busy(self) -> bool:
        """Whether the actor says that something is under way; one that cannot say is not."""
        if self.behaviour is None or not self.is_open:
            return False
        try:
            return not self.behaviour.is_idle()
        except Exception:
            logger.exception("is_idle of %s failed", self)
            return False

    def go_if_idle(self) -> None:
        """Go on with a drain that waits for the actor to be idle."""
        pill = self.troubled().drain
        if pill is not None:
            pill.action()

    def discard(self) -> None:
        """Close after a failure, without `on_stop`: the behaviour is not trusted any more."""
        self.leave()
        self._after_children(lambda: self.shut("failed"), close=True)

    def leave(self) -> None:
        """No user message is handled from here on."""
        self.state = State.STOPPING
        self.set_open(False)
        if self.trouble is not None:
            self.trouble.drain = None
            self.trouble.held = False

    def _after_children(self, then: Callable[[], None], *, close: bool) -> None:
        if self.family is None:
            then()
        else:
            self.family.take_down(close=close, then=then)

    def run_on_stop(self) -> None:
        if self.behaviour is None:
            return
        try:
            self.behaviour.on_stop()
        except BaseException as error:
            logger.exception("on_stop of %s failed", self)
            self.note("failed", f"on_stop: {error!r}")

    def _answer_stops(self) -> None:
        replies, self.stopping_replies = self.stopping_replies, None
        for reply in replies or ():
            reply.set(None)

    def shut(self, reason: str) -> None:
        """Close the mailbox, account for what was in it, and let go of everything. Twice is as good as once."""
        left = self.close()
        if left is None:
            return
        items, commands = left
        trouble = self.trouble
        if trouble is not None and trouble.stash:
            items = [*trouble.stash, *items]
            trouble.stash = None
        self.state = State.STOPPED
        self.tell_stopped(reason)
        if self._stopped_event is not None:
            self._stopped_event.set()
        cause = "abandoned" if reason == "abandoned" else "stopped"
        failure = trouble.failure if reason == "failed" and trouble is not None else None
        for item in items:
            self.bury(item, cause, failure)
        # Broken by hand: cells that live long enough to be frozen are never looked at by the collector again.
        self.behaviour = None
        self.runtime.cell_closed(self)
        self.runtime.retire(self.dispatcher)
        self.report(lambda family: family.child_closed(self, reason))
        # Last, so that whoever hears of the end also finds it everywhere else.
        for _, instead in commands:
            if instead is not None:
                instead()
        watchers, self.watchers = self.watchers, None
        for watcher in watchers or ():
            watcher(reason)
        self._answer_stops()

    def tell_stopped(self, reason: str) -> None:
        """Tell whoever looks on that a supervised actor is gone for ever."""
        if self.parent is not None:
            self.announce("stopped", reason)

    # Taken away from a turn that does not end.

    def usurp(self) -> bool:
        """Take the cell from the thread that is stuck in its turn; the message in hand becomes a dead letter.

        Called by the supervisor. The thread itself cannot be ended: when its turn ever returns, it finds that
        the cell is not its own any more, touches nothing, and ends.

        Returns:
            False when no thread is in a turn of this cell, so that it will obey as soon as it gets one.
        """
        if not self.dispatcher.disown(self):
            return False
        item, self.current = self.current, None
        if item is not None:
            self.troubled().dead += 1
            if item[1] is not None:
                refuse(item[1], ActorDeadError(f"{self} was stuck and has been replaced"))
            self.runtime.dead_letters.record(self.path, item[0], "abandoned")
        self.note("abandoned")
        return True

    def usurp_halted(self) -> bool:
        """As `usurp`, leaving the cell halted and ready to be rebuilt."""
        if not self.usurp():
            return False
        self.ordered += 1
        self.leave()
        self.behaviour = None
        self.state = State.HALTED
        self.release_turn()
        return True

    def abandon(self) -> None:
        """Close this cell and everything below it from outside."""
        for below in self.family.members() if self.family is not None else []:
            below.abandon()
        self.usurp()
        self.shut("abandoned")


def _spent() -> None:
    """What a pill does that has been taken."""

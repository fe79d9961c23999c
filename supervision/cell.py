"""The cell: what stays when an actor is restarted. Mailbox, ref, counters and place in the tree, around a behaviour.

    NEW -> STARTING -> RUNNING -> STOPPING -> STOPPED
               |          |  ^
               v          v  | (rebuild: a fresh behaviour from the factory)
             FAILED <-----+  |
               +--> HALTED --+      the mailbox stays open, puts keep queueing

User messages are handled only while RUNNING, not suspended, and the lane is not waiting for a retry. Everything below is
done in the cell's own turns, so that nothing here needs a lock but the mailbox; others ask for it with `post`.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import pykka
from pykka import messages

from supervision.dispatcher import Dispatcher, Worker
from supervision.errors import ActorDeadError
from supervision.failure import Failure, FailureKind, PoisonPolicy
from supervision.future import Future
from supervision.mailbox import UNBOUNDED, Item, Mailbox
from supervision.runtime import INTERNAL, Runtime
from supervision.spec import ChildSpec
from supervision.vitals import Book

logger = logging.getLogger(__name__)

INCIDENTS_KEPT = 32
_ActorStop = messages._ActorStop  # noqa: SLF001 - Pykka's own stop, which its refs send


class State(StrEnum):
    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    HALTED = "halted"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Pill:
    """The tail mark of a draining stop or halt: everything before it is handled first."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action


_SPECIAL = frozenset({_ActorStop, messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr, Pill})


class Parent(Protocol):
    """What a cell reports to, always by posting to the parent's cell."""

    def child_started(self, cell: Cell) -> None: ...
    def child_failed(self, cell: Cell, failure: Failure) -> None: ...
    def child_halted(self, cell: Cell) -> None: ...
    def child_closed(self, cell: Cell, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Summary:
    """Some children to show, and figures about all of them."""

    shown: list[Cell]
    totals: dict[str, Any]


class Family(Parent, Protocol):
    """The children of a cell, as far as the cell must know them."""

    def begin(self) -> bool:
        """Start what is declared; True when there is nothing to wait for, else `Cell.started` is called later."""
        ...

    def take_down(self, *, close: bool, then: Callable[[], None]) -> None:
        """Halt or close every child in reverse order, then call `then` in the cell's turn."""
        ...

    def members(self) -> list[Cell]:
        """The children in order of their start."""
        ...

    def find(self, name: str) -> Cell | None:
        """The child of that name."""
        ...

    def restart_child(self, name: str) -> None:
        """Rebuild one child on an operator's word."""
        ...

    def summary(self, limit: int) -> Summary:
        """At most `limit` children to show, the noticeable ones first where there are more."""
        ...


class Trouble:
    """What only some cells ever need, so that the others don't pay for it."""

    __slots__ = (
        "attempts",
        "dead",
        "drain",
        "failures",
        "head",
        "incidents",
        "parked",
        "restarts",
        "singles",
        "stash",
    )

    def __init__(self) -> None:
        self.restarts = 0
        self.failures = 0
        self.dead = 0
        self.parked = 0
        self.head: Item | None = None
        self.attempts = 0
        self.singles = 0
        self.drain: Pill | None = None
        self.stash: deque[Item] | None = None
        self.incidents: deque[tuple[float, str, str]] = deque(maxlen=INCIDENTS_KEPT)


class _Construction(threading.local):
    cell: Cell | None = None


construction = _Construction()
"""Per thread: the cell whose behaviour is being built, so that `Actor.__init__` finds its ref and context."""


class Cell(Mailbox):
    """See the module docstring. `actor_class` is known once the first behaviour has been built."""

    __slots__ = (
        "__weakref__",
        "_ref",
        "_stopped_event",
        "_urn",
        "active_s",
        "actor_class",
        "batch_max",
        "behaviour",
        "current",
        "dispatcher",
        "dispatcher_kind",
        "family",
        "handled",
        "lane_waits",
        "name",
        "parent",
        "runtime",
        "spec",
        "state",
        "stopping_replies",
        "suspended",
        "trouble",
        "waits_for",
        "watchers",
    )

    def __init__(
        self,
        runtime: Runtime,
        spec: ChildSpec,
        parent: Cell | None,
    ) -> None:
        super().__init__(runtime.now, spec.mailbox_limit)
        self.runtime = runtime
        self.spec = spec
        self.name = spec.name
        self.parent = parent
        # Until the first behaviour says where it wants to live; `__init__` runs here.
        self.dispatcher_kind = INTERNAL
        self.dispatcher: Dispatcher = runtime.dispatcher(INTERNAL, spec.name)
        self.behaviour: Any = None
        self.actor_class: type[Any] = pykka.Actor
        self.batch_max = 1
        self.family: Family | None = None
        self.state = State.NEW
        self.suspended = False
        self.lane_waits = False
        self.current: Item | None = None
        self.handled = 0
        self.active_s = 0.0
        self.trouble: Trouble | None = None
        self.watchers: list[Callable[[str], None]] | None = None
        self.stopping_replies: list[pykka.Future[Any]] | None = None
        self.waits_for: Any = None
        self._ref: Any = None
        self._urn: str | None = None
        self._stopped_event: threading.Event | None = None

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} ({self.path})"

    # What it is.

    @property
    def path(self) -> str:
        """Names from below the root, "core/ledger-0"; the root itself is "/"."""
        if self.parent is None:
            return "/" if self.spec.restart == "permanent" else self.name
        above = self.parent.path
        return self.name if above == "/" else f"{above}/{self.name}"

    @property
    def urn(self) -> str:
        if self._urn is None:
            self._urn = uuid.uuid4().urn
        return self._urn

    @property
    def stopped_event(self) -> threading.Event:
        """Pykka's `actor_stopped`, made when somebody asks: it would be the largest part of an idle actor."""
        with self.lock:
            if self._stopped_event is None:
                self._stopped_event = threading.Event()
                if self.closed:
                    self._stopped_event.set()
            return self._stopped_event

    @property
    def stashed(self) -> int:
        trouble = self.trouble
        return len(trouble.stash) if trouble is not None and trouble.stash is not None else 0

    def troubled(self) -> Trouble:
        if self.trouble is None:
            self.trouble = Trouble()
        return self.trouble

    def note(self, kind: str, detail: str = "") -> None:
        """Remember an incident here and in the vitals."""
        self.troubled().incidents.append((self.now(), kind, detail))
        self.runtime.vitals.incident(self.path, self.actor_class.__name__, kind, detail)

    def schedule(self) -> None:
        self.dispatcher.schedule(self)

    # Starting, halting, stopping.

    def make(self) -> Any:
        """A fresh behaviour."""
        return self.spec.factory()

    def forward(self, message: Any, reply_to: pykka.Future[Any] | None) -> bool:
        """Take a message although the mailbox is closed; only virtual actors can, by starting anew."""
        return False

    def construct(self) -> Any:
        """Make a behaviour that knows this cell. Raises whatever the factory raises."""
        outer, construction.cell = construction.cell, self
        try:
            behaviour = self.make()
        finally:
            construction.cell = outer
        adopt = getattr(behaviour, "_adopt", None)
        if adopt is None:
            raise TypeError(
                f"the factory of {self.spec.name!r} made a {type(behaviour).__name__}, not a supervision.Actor"
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
        except BaseException as error:  # noqa: BLE001 - supervision sees every failure, and none may stop another actor
            self.fail_start(error, "init")
            return
        if self.place():
            self.begin()
        else:
            self.post(self.begin)

    def place(self) -> bool:
        """Settle on the dispatcher that the class wants; False when the next turn will be in another thread.

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
        """Run `on_start` of the behaviour that was built."""
        self.state = State.STARTING
        try:
            self.behaviour.on_start()
        except BaseException as error:  # noqa: BLE001
            self.fail_start(error, "on_start")
        else:
            self._begin_family()

    def _begin_family(self) -> None:
        if self.family is None:
            self.family = self.behaviour.make_family()
        if self.family is None or self.family.begin():
            self.started()

    def started(self) -> None:
        """`on_start` is done and every declared child is up."""
        self.state = State.RUNNING
        self.reopen()
        self.report_started()

    def report_started(self) -> None:
        if self.parent is not None and self.parent.family is not None:
            self.parent.post(_report(self.parent.family.child_started, self))

    def reopen(self) -> None:
        """Handle user messages if every condition for it holds."""
        self.set_open(self.state is State.RUNNING and not self.suspended and not self.lane_waits)

    def fail_start(self, error: BaseException, phase: str) -> None:
        """The behaviour could not start; what there is of it is dropped."""
        failure = Failure(self._kind_of(error), error, phase, self.now())
        self.behaviour = None
        self._crashed(failure)

    def halt(self) -> None:
        """Stop the behaviour but keep the mailbox, so that a rebuild goes on where this one ended."""
        if self.closed or self.state is State.HALTED:
            self._report_halted()
            return
        self._leave()
        self._after_children(self._halted, close=False)

    def _leave(self) -> None:
        self.state = State.STOPPING
        self.set_open(False)
        if self.trouble is not None:
            self.trouble.drain = None

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

    def discard(self) -> None:
        """Close after a failure, without `on_stop`: the behaviour is not trusted any more."""
        self.state = State.STOPPING
        self.set_open(False)
        self._after_children(lambda: self.shut("failed"), close=True)

    def _halted(self) -> None:
        self._run_on_stop()
        self.behaviour = None
        self.state = State.HALTED
        self.suspended = False
        self._report_halted()

    def _report_halted(self) -> None:
        if self.parent is not None and self.parent.family is not None:
            self.parent.post(_report(self.parent.family.child_halted, self))

    def stop(self, reason: str = "normal") -> None:
        """Stop for ever, now: `on_stop`, then whatever still waits becomes dead letters."""
        if self.closed:
            return
        self._leave()

        def finish() -> None:
            self._run_on_stop()
            self.shut(reason)

        self._after_children(finish, close=True)

    def drain(self, action: Callable[[], None]) -> None:
        """Do `action` (halt or stop) after everything that is queued now, or at once when nothing would be handled."""
        trouble = self.troubled()

        def reached() -> None:
            # A pill that a deadline overtook stays in the mailbox of a halted cell and must not act on the next behaviour.
            if trouble.drain is pill:
                trouble.drain = None
                action()

        pill = Pill(reached)
        trouble.drain = pill
        if not (self.is_open and self.queue and self.offer_last(pill)):
            reached()

    def _after_children(self, then: Callable[[], None], *, close: bool) -> None:
        if self.family is None:
            then()
        else:
            self.family.take_down(close=close, then=then)

    def _run_on_stop(self) -> None:
        if self.behaviour is None:
            return
        try:
            self.behaviour.on_stop()
        except BaseException as error:
            logger.exception("on_stop of %s failed", self)
            self.note("failed", f"on_stop: {error!r}")

    def shut(self, reason: str) -> None:
        """Close the mailbox and let go of everything. Also called from outside for a cell that is stuck in a turn."""
        if self.closed:
            return
        items, commands = self.close()
        trouble = self.trouble
        if trouble is not None and trouble.stash:
            items = [*trouble.stash, *items]
            trouble.stash = None
        self.state = State.STOPPED
        if self._stopped_event is not None:
            self._stopped_event.set()
        for item in items:
            self._bury(item, "abandoned" if reason == "abandoned" else "stopped", None)
        for reply in self.stopping_replies or ():
            reply.set(None)
        self.stopping_replies = None
        for _, instead in commands:
            if instead is not None:
                instead()
        watchers, self.watchers = self.watchers, None
        for watcher in watchers or ():
            watcher(reason)
        # Broken by hand: cells that live long enough to be frozen are never looked at by the collector again.
        self.behaviour = None
        self.current = None
        self.runtime.cell_closed(self)
        self.runtime.retire(self.dispatcher)
        if self.parent is not None and self.parent.family is not None:
            self.parent.post(_report(self.parent.family.child_closed, self, reason))

    def _bury(self, item: Item, cause: str, error: BaseException | None) -> None:
        message, reply_to, _ = item
        if isinstance(message, Pill):
            self.handled += 1
            return
        if isinstance(message, _ActorStop):
            self.handled += 1
            if reply_to is not None:
                reply_to.set(None)
            return
        self.troubled().dead += 1
        if reply_to is not None:
            reply_to.set_exception(
                (ActorDeadError, ActorDeadError(f"{self} stopped before handling the message"), None)
            )
        self.runtime.dead_letters.record(self.path, message, cause, error)

    def watch(self, watcher: Callable[[str], None]) -> None:
        """Call `watcher(reason)` when this cell is gone, or now if it is gone already."""
        with self.lock:
            if not self.closed:
                if self.watchers is None:
                    self.watchers = []
                self.watchers.append(watcher)
                return
        watcher("gone")

    # Turns.

    def turn(self, worker: Worker) -> None:
        if self.control:
            self._run_control()
        if self.is_open and self.queue:
            started_s = worker.started_s
            wait_s = started_s - self.queue[0][2]
            before = self.handled
            if self.batch_max == 1:
                self._handle_some(worker, started_s + worker.turn_s)
            else:
                self._handle_batch()
            book = worker.books.get(self.actor_class)
            if book is None:
                book = worker.books[self.actor_class] = Book()
            self.active_s = ended_s = worker.now()
            book.turns += 1
            book.handled += self.handled - before
            book.turn.add(ended_s - started_s)
            book.wait.add(wait_s)
        if self.end_turn():
            self.dispatcher.schedule(self)

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
            except BaseException as error:  # noqa: BLE001 - see build
                self._failed(item, error)
            else:
                # Counted before the answer leaves, so that whoever has the answer also finds it counted.
                if self.current is item:
                    self.handled += 1
                    if reply_to is not None:
                        _answer(reply_to, result)
            left -= 1
            if not queue or not self.is_open or left <= 0 or self.control or now() > deadline_s:
                break
        self.current = None

    def _special(self, message: Any, reply_to: pykka.Future[Any] | None) -> Any:
        if isinstance(message, Pill):
            message.action()
            return None
        if isinstance(message, _ActorStop):
            # The answer waits until the cell is closed: then is_alive() is false for whoever gets it.
            self.current = None
            self.handled += 1
            if reply_to is not None:
                self.stopping_replies = [*(self.stopping_replies or ()), reply_to]
            self.exit_normally()
            return None
        return self.behaviour._handle_receive(message)  # noqa: SLF001 - Pykka's dispatch of proxy calls

    def exit_normally(self) -> None:
        """The actor asked to stop, or was asked through its ref. A permanent child comes back, as in OTP."""
        if self.spec.restart == "permanent" and self.parent is not None:

            def halted() -> None:
                self._run_on_stop()
                self.behaviour = None
                self.state = State.HALTED
                for reply in self.stopping_replies or ():
                    reply.set(None)
                self.stopping_replies = None
                if self.parent is not None and self.parent.family is not None:
                    exited = Failure(
                        FailureKind.BUG, ActorDeadError(f"{self} stopped by itself"), "exit", self.now()
                    )
                    self.parent.post(_report(self.parent.family.child_failed, self, exited))

            self._leave()
            self._after_children(halted, close=False)
        else:
            self.stop()

    def _handle_batch(self) -> None:
        trouble = self.trouble
        singles = trouble is not None and trouble.singles > 0
        items: list[Item] = []
        queue = self.queue
        while queue and len(items) < (1 if singles else self.batch_max):
            if type(queue[0][0]) in _SPECIAL:
                break
            items.append(queue.popleft())
        if not items:
            self._one_special(queue.popleft())
            return
        self.current = items[0]
        try:
            results = self.behaviour.on_batch([message for message, _, _ in items])
        except BaseException as error:  # noqa: BLE001
            self._batch_failed(items, error)
        else:
            if singles and trouble is not None:
                trouble.singles -= 1
            self.handled += len(items)
            for position, (_, reply_to, _) in enumerate(items):
                if reply_to is not None:
                    _answer(reply_to, results[position] if results is not None else None)
        self.current = None

    def _one_special(self, item: Item) -> None:
        self.current = item
        message, reply_to, _ = item
        try:
            result = self._special(message, reply_to)
        except BaseException as error:  # noqa: BLE001
            self._failed(item, error)
        else:
            if self.current is item:
                self.handled += 1
                if reply_to is not None:
                    _answer(reply_to, result)
        self.current = None

    # Failures.

    def _kind_of(self, error: BaseException) -> FailureKind:
        try:
            return self.spec.classify(error)
        except Exception:
            logger.exception("classify of %s failed", self)
            return FailureKind.BUG

    def _batch_failed(self, items: list[Item], error: BaseException) -> None:
        if len(items) == 1:
            trouble = self.troubled()
            trouble.singles = max(0, trouble.singles - 1)
            self._failed(items[0], error)
            return
        kind = self._kind_of(error)
        trouble = self.troubled()
        trouble.failures += 1
        self.note("failed", f"batch of {len(items)}: {error!r}")
        self.queue.extendleft(reversed(items))
        if kind is FailureKind.DEPENDENCY:
            trouble.attempts = trouble.attempts + 1 if trouble.head is items[0] else 1
            trouble.head = items[0]
            self._wait_lane(self.spec.poison.backoff.delay_s(trouble.attempts, self.runtime.rng))
            return
        # One of them is bad and nobody knows which: hand them out one by one, so that only that one pays.
        trouble.singles = len(items)
        if kind is FailureKind.BUG:
            self._crash(Failure(kind, error, "receive", self.now()))

    def _failed(self, item: Item, error: BaseException) -> None:
        message, reply_to, _ = item
        kind = self._kind_of(error)
        trouble = self.troubled()
        trouble.failures += 1
        supervised = self.parent is not None
        if reply_to is not None:
            # The asker has the failure; nothing of the message is left to retry.
            self.handled += 1
            logger.info("exception returned from %s to the asker", self, exc_info=error)
            self.note("failed", f"ask: {error!r}")
            reply_to.set_exception((type(error), error, error.__traceback__))
            if supervised and kind is FailureKind.BUG:
                self._crash(Failure(kind, error, "receive", self.now(), message))
            return
        trouble.attempts = trouble.attempts + 1 if trouble.head is item else 1
        trouble.head = item
        failure = Failure(kind, error, "receive", self.now(), message, trouble.attempts)
        logger.error("unhandled exception in %s (%s)", self, kind, exc_info=error)
        self.note("failed", f"{kind}: {error!r}")
        if self._may_retry(kind, trouble.attempts):
            self.queue.appendleft(item)
            if kind is FailureKind.DEPENDENCY:
                self._wait_lane(self.spec.poison.backoff.delay_s(trouble.attempts, self.runtime.rng))
                return
        else:
            self._dispose(item, failure)
        if kind is FailureKind.BUG:
            self._crash(failure)

    def _may_retry(self, kind: FailureKind, attempts: int) -> bool:
        policy: PoisonPolicy = self.spec.poison
        if kind is FailureKind.BUG:
            # A temporary actor does not live to see a second attempt.
            return self.spec.restart != "temporary" and attempts <= policy.retries
        if kind is FailureKind.DEPENDENCY:
            return policy.dependency_retries is None or attempts <= policy.dependency_retries
        return False

    def _dispose(self, item: Item, failure: Failure) -> None:
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

    def _wait_lane(self, delay_s: float) -> None:
        """Handle no user message for `delay_s` seconds."""
        self.lane_waits = True
        self.set_open(False)

        def go_on() -> None:
            self.lane_waits = False
            self.reopen()

        self.runtime.timers.call_after(delay_s, lambda: self.post(go_on))

    def _crash(self, failure: Failure) -> None:
        self.set_open(False)
        behaviour = self.behaviour
        if self.parent is None:
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
        if failure.phase in ("init", "on_start"):
            logger.error("%s failed in %s", self, failure.phase, exc_info=failure.error)
            self.troubled().failures += 1
            self.note("failed", f"{failure.phase}: {failure.error!r}")
        if self.parent is None or self.parent.family is None:
            if self.spec.restart == "temporary":
                self.discard()
            else:
                self.runtime.escalate(failure)
            return
        self.parent.post(_report(self.parent.family.child_failed, self, failure))

    def fail(self, failure: Failure) -> None:
        """The children of this cell failed beyond what it may repair: that is its own failure now."""
        self._crash(failure)

    # Control from outside, always through `post`.

    def suspend(self) -> None:
        """Handle no user message until `resume`; control messages go on."""
        self.suspended = True
        self.reopen()
        self.note("suspended")

    def resume(self) -> None:
        self.suspended = False
        self.lane_waits = False
        self.reopen()
        self.note("resumed")

    def inspect(self, look: Callable[[Any], Any], reply: Future[Any]) -> None:
        """Answer `reply` with `look(behaviour)`, between two messages."""
        try:
            reply.set(look(self.behaviour))
        except BaseException as error:  # noqa: BLE001
            reply.fail(error)

    def stash_current(self) -> None:
        """Put the message that is being handled aside; see `Context.stash`."""
        item = self.current
        if item is None:
            raise RuntimeError("stash() works only while a message is handled")
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


def _report(report: Callable[..., None], *args: Any) -> Callable[[], None]:
    return lambda: report(*args)


def _answer(reply_to: pykka.Future[Any], value: Any) -> None:
    try:
        reply_to.set(value)
    except Exception:
        logger.exception("a reply was set twice")

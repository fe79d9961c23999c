"""Virtual actors: a key is an actor. It is started by its first message and put away when idle.

The `Router` is what senders hold; the `Directory` is the actor in the tree that supervises the virtual ones.
Passivation has two phases, both in the virtual actor's own turn: `on_stop`, then close the mailbox *if it is
still empty*, under the lock of `put`. A message that came in between makes it start again on the spot; one
that finds the mailbox closed makes a fresh actor. So nothing is buffered, nothing is lost, and there are
never two at once for one key.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import pykka

from supervision.actor import Actor
from supervision.backoff import Backoff
from supervision.budget import Budget, RestartWindow
from supervision.cell import Cell
from supervision.cellstate import Family, State, Summary
from supervision.context import ref_of
from supervision.errors import ActorDeadError
from supervision.failure import Classify, Failure, PoisonPolicy, classify_by_type
from supervision.future import Future
from supervision.ref import ActorRef
from supervision.runtime import Runtime
from supervision.spec import ChildSpec
from supervision.timers import Timer

SWEEPS_PER_IDLE = 8
"""The ring of active actors is walked twice per `idle_s`, in so many pieces each."""
TICK_S_MIN = 0.01
GRACE_S = 1.0


class VirtualCell(Cell):
    """A cell that starts with its first message and can be put away."""

    __slots__ = ("hand_accepted", "passivated", "router")

    def __init__(self, runtime: Runtime, spec: ChildSpec, parent: Cell, router: Router, key: str) -> None:
        super().__init__(runtime, spec, parent)
        self.router = router
        self.name = key
        self.passivated = False
        self.hand_accepted = -1
        self.active_s = runtime.now()
        self.dispatcher_kind = router.dispatcher
        self.dispatcher = runtime.dispatcher(router.dispatcher, key)
        self.is_open = True

    def make(self) -> pykka.Actor:
        return self.router.factory(self.name)

    def report_started(self) -> None:
        # The directory does not wait for anybody, and a storm of activations must not flood its mailbox.
        return

    def forward(self, message: Any, reply_to: pykka.Future[Any] | None) -> bool:
        if not self.passivated:
            return False
        try:
            self.router.deliver(self.name, message, reply_to)
        except ActorDeadError:
            return False
        return True

    def turn(self, worker: Any) -> None:
        if self.state is State.NEW and self.is_open:
            # Open until here only so that the first message schedules it. Built even when an order to go down
            # has come already: what is queued is drained first, like everybody's.
            self.set_open(False)
            self.build()
        super().turn(worker)

    def passivate(self) -> None:
        """Put the actor away, unless it has anything to do."""
        if (
            self.state is not State.RUNNING
            or not self.is_open
            or self.queue
            or self.stashed
            or self.family is not None
        ):
            return
        if self.is_busy():
            return
        self.leave()
        self.run_on_stop()
        self.behaviour = None
        if not self.close_if_empty():
            self.build()
            return
        self.passivated = True
        self.router.forget(self)
        self.shut("passivated")


class Router:
    """Delivers by key. Safe and cheap from any thread.

    Place its `spec()` in a tree; until that is up, and after it is stopped, telling raises `ActorDeadError`.

    Args:
        factory: Makes the behaviour for a key.
        name: Of the directory in the tree.
        idle_s: Put an actor away after so long without a turn.
        active_max: Beyond this many, the least recently active idle ones are put away early (second chance, as in CLOCK
            page replacement). Busy actors are never put away, so the number can be exceeded while all are busy.
        mailbox_limit: Bound of each mailbox.
        budget: Restarts of one key; beyond it that actor alone is given up: its messages are parked, then it
            starts anew.
        backoff: Pause before each restart.
        poison: What happens to a message that keeps failing; `park` gets the key.
        classify: Sorts exceptions.
        dispatcher: Where the actors run.
        stop_timeout_s: How long all of them together may take to finish what is queued.
    """

    def __init__(  # noqa: PLR0913 - each is a limit or a policy of its own
        self,
        factory: Callable[[str], pykka.Actor],
        *,
        name: str = "directory",
        idle_s: float = 120.0,
        active_max: int = 100_000,
        mailbox_limit: int | None = None,
        budget: Budget | None = None,
        backoff: Backoff | None = None,
        poison: PoisonPolicy | None = None,
        classify: Classify = classify_by_type,
        dispatcher: str = "shared",
        stop_timeout_s: float = 10.0,
    ) -> None:
        if idle_s <= 0 or active_max < 1:
            raise ValueError("idle_s must be positive and active_max at least 1")
        self.factory = factory
        self.name = name
        self.idle_s = idle_s
        self.active_max = active_max
        self.dispatcher = dispatcher
        self.stop_timeout_s = stop_timeout_s
        self.child = ChildSpec(
            "virtual",
            Actor,
            budget=budget if budget is not None else Budget(max_restarts=5, within_s=10.0),
            backoff=backoff if backoff is not None else Backoff(),
            poison=poison if poison is not None else PoisonPolicy(),
            classify=classify,
            mailbox_limit=mailbox_limit,
        )
        self._cells: dict[str, VirtualCell] = {}
        self._lock = threading.Lock()
        self._home: Cell | None = None
        self._paused = False
        self._fresh: deque[VirtualCell] = deque()
        self.activations = 0
        self.passivations = 0

    def spec(self, *, restart_budget: Budget | None = None) -> ChildSpec:
        """The directory as a child for a supervisor."""
        return ChildSpec(
            self.name,
            lambda: Directory(self),
            stop_timeout_s=self.stop_timeout_s + 2 * GRACE_S,
            drain=False,
            budget=restart_budget if restart_budget is not None else Budget(),
        )

    def tell(self, key: str, message: Any) -> None:
        """Give `message` to the actor of `key`, starting it if needed.

        Raises:
            MailboxFull: that actor's mailbox is at its bound.
            ActorDeadError: the directory is not up.
        """
        cell = self._cells.get(key)
        if cell is None or not cell.offer(message):
            self.deliver(key, message, None)

    def ask(self, key: str, message: Any) -> Future[Any]:
        """As `tell`, with a future of the answer."""
        future: Future[Any] = Future()
        self.deliver(key, message, future)
        return future

    def tell_existing(self, key: str, message: Any) -> bool:
        """Give `message` to the actor of `key` only if it is active; False when it is not."""
        cell = self._cells.get(key)
        return cell is not None and cell.offer(message)

    def ref(self, key: str) -> ActorRef[Any] | None:
        """The ref of the active actor of `key`. It stays good after a passivation: telling it starts the actor anew."""
        cell = self._cells.get(key)
        return ref_of(cell) if cell is not None else None

    @property
    def active(self) -> int:
        """How many actors are active."""
        return len(self._cells)

    def keys(self, limit: int = 100) -> list[str]:
        """Some of the active keys, in order of activation."""
        with self._lock:
            return list(islice(self._cells, limit))

    # The slow path, and what the directory needs.

    def deliver(self, key: str, message: Any, reply_to: pykka.Future[Any] | None) -> None:
        while True:
            cell = self._cells.get(key)
            if cell is None or cell.closed:
                cell = self._activate(key)
            if isinstance(reply_to, Future):
                reply_to.target = cell
            if cell.offer(message, reply_to):
                return

    def _activate(self, key: str) -> VirtualCell:
        with self._lock:
            cell = self._cells.get(key)
            if cell is not None and not cell.closed:
                return cell
            home = self._home
            if home is None or home.closed:
                raise ActorDeadError(f"{self.name} is not up")
            cell = VirtualCell(home.runtime, self.child, home, self, key)
            if self._paused:
                cell.is_open = False
            self._cells[key] = cell
            self._fresh.append(cell)
            self.activations += 1
            crowded = len(self._cells) > self.active_max
        if crowded and home.family is not None:
            family = home.family
            if isinstance(family, VirtualFamily):
                family.crowded()
        return cell

    def attach(self, home: Cell) -> None:
        with self._lock:
            self._home = home

    def pause(self, paused: bool) -> None:  # noqa: FBT001 - the one thing it sets
        with self._lock:
            self._paused = paused

    def detach(self) -> None:
        """No activation after this."""
        with self._lock:
            self._home = None

    def forget(self, cell: VirtualCell) -> None:
        with self._lock:
            if self._cells.get(cell.name) is cell:
                del self._cells[cell.name]
                self.passivations += cell.passivated

    def cells(self) -> list[VirtualCell]:
        with self._lock:
            return list(self._cells.values())

    def fresh(self) -> list[VirtualCell]:
        """Those activated since the last call."""
        result = []
        while self._fresh:
            result.append(self._fresh.popleft())
        return result


class Directory(Actor):
    """The supervisor of a router's virtual actors."""

    dispatcher: ClassVar[str] = "internal"

    def __init__(self, router: Router) -> None:
        super().__init__()
        self._router = router

    def make_family(self) -> Family:
        return VirtualFamily(self._own_cell(), self._router)


class VirtualFamily:
    """Supervision of many children that come and go.

    No order among them, trouble is remembered only for the troubled.
    """

    def __init__(self, cell: Cell, router: Router) -> None:
        self._cell = cell
        self._runtime = cell.runtime
        self._router = router
        self._ring: deque[VirtualCell] = deque()
        self._windows: dict[Cell, RestartWindow] = {}
        self._attempts: dict[Cell, int] = {}
        self._waiting_for: dict[Cell, None] = {}
        self._then: Callable[[], None] | None = None
        self._closing = False
        self._down = False
        self._tick: Timer | None = None
        self._crowd_posted = False

    def begin(self) -> bool:
        self._router.attach(self._cell)
        self._router.pause(False)  # noqa: FBT003
        self._down = False
        for cell in self._router.cells():
            if cell.state in (State.HALTED, State.NEW):
                cell.order(cell.build)
        self._schedule_tick()
        return True

    def take_down(self, *, close: bool, then: Callable[[], None]) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self._down = True
        self._closing = close
        self._router.pause(True)  # noqa: FBT003
        if close:
            self._router.detach()
        self._then = then
        cells = [cell for cell in self._router.cells() if close or cell.state is not State.HALTED]
        self._waiting_for = dict.fromkeys(cells)
        for cell in cells:
            hard = cell.stop if close else cell.halt
            if not cell.order(partial(cell.drain, hard)):
                self._waiting_for.pop(cell, None)
        self._runtime.timers.call_after(self._router.stop_timeout_s, lambda: self._cell.post(self._overdue))
        self._check_down()

    def _overdue(self) -> None:
        for cell in self._waiting_for:
            cell.remind(cell.stop if self._closing else cell.halt)

        def abandon() -> None:
            for cell in list(self._waiting_for):
                if self._closing:
                    cell.abandon()
                elif cell.usurp_halted():
                    self.child_halted(cell, cell.ordered)

        self._runtime.timers.call_after(GRACE_S, lambda: self._cell.post(abandon))

    def _check_down(self) -> None:
        if not self._waiting_for and self._then is not None:
            then, self._then = self._then, None
            then()

    def members(self) -> list[Cell]:
        return list(self._router.cells())

    def find(self, name: str) -> Cell | None:
        return self._router._cells.get(name)  # noqa: SLF001 - one concept in two classes

    def restart_child(self, name: str) -> None:
        cell = self.find(name)
        if cell is not None:
            cell.order(cell.halt)
            cell.post(cell.rebuild)

    def summary(self, limit: int) -> Summary:
        mine = [
            cell
            for cell in self._runtime.noticeable()
            if isinstance(cell, VirtualCell) and cell.parent is self._cell
        ]
        shown = heapq.nlargest(limit, mine, key=Cell.oldest_s)
        active = self._router.active
        totals = {
            "active": active,
            "more": active - len(shown),
            "depth_below": sum(cell.depth for cell in mine),
            "restarts_below": sum(cell.restarts for cell in mine),
        }
        return Summary(shown, totals)

    # Reports of children.

    def child_started(self, cell: Cell, order: int) -> None:
        return

    def child_failed(self, cell: Cell, order: int, failure: Failure) -> None:
        if order != cell.ordered:
            return
        if self._down:
            # It failed again while it drained.
            cell.order(cell.stop if self._closing else cell.halt)
            return
        if failure.phase == "exit":
            cell.order(cell.discard)
            return
        window = self._windows.setdefault(cell, RestartWindow(self._router.child.budget))
        now_s = self._runtime.now()
        if window.charge(now_s):
            self._attempts[cell] = attempt = self._attempts.get(cell, 0) + 1
            delay_s = self._router.child.backoff.delay_s(attempt, self._runtime.rng)
            self._runtime.timers.call_after(
                delay_s, lambda: self._cell.post(partial(self._rebuild, cell, order))
            )
        else:
            cell.note("given_up", repr(failure.error))
            cell.order(cell.discard)

    def _rebuild(self, cell: Cell, order: int) -> None:
        if cell.ordered == order:
            cell.order(cell.rebuild)

    def child_halted(self, cell: Cell, order: int) -> None:
        if order != cell.ordered:
            return
        self._waiting_for.pop(cell, None)
        self._check_down()

    def child_closed(self, cell: Cell, reason: str) -> None:
        self._windows.pop(cell, None)
        self._attempts.pop(cell, None)
        if isinstance(cell, VirtualCell):
            self._router.forget(cell)
        self._waiting_for.pop(cell, None)
        self._check_down()

    # Passivation.

    def crowded(self) -> None:
        """There are more active actors than wanted; called from any thread."""
        if not self._crowd_posted:
            self._crowd_posted = True
            self._cell.post(self._evict)

    def _schedule_tick(self) -> None:
        tick_s = max(TICK_S_MIN, self._router.idle_s / 2 / SWEEPS_PER_IDLE)
        self._tick = self._runtime.timers.call_after(tick_s, lambda: self._cell.post(self._sweep))

    def _sweep(self) -> None:
        if self._down:
            return
        self._ring.extend(self._router.fresh())
        now_s = self._runtime.now()
        # A part of the ring each time, so that a hundred thousand idle actors cost a few milliseconds, not a stall.
        for _ in range(-(-len(self._ring) // SWEEPS_PER_IDLE)):
            cell = self._ring.popleft()
            if cell.closed:
                continue
            self._ring.append(cell)
            if now_s - cell.active_s >= self._router.idle_s and cell.is_open and not cell.scheduled:
                cell.post(cell.passivate)
        self._schedule_tick()

    def _evict(self) -> None:
        """Walk the ring; whoever was active since the hand last came by gets a second chance."""
        self._crowd_posted = False
        self._ring.extend(self._router.fresh())
        excess = self._router.active - self._router.active_max
        for _ in range(2 * len(self._ring)):
            if excess <= 0:
                return
            cell = self._ring.popleft()
            if cell.closed:
                continue
            self._ring.append(cell)
            seen, cell.hand_accepted = cell.hand_accepted, cell.accepted
            if seen == cell.accepted and cell.is_open and not cell.scheduled:
                cell.post(cell.passivate)
                excess -= 1

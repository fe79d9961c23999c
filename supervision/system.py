"""A system: one tree of actors with its own threads, clock and counters. Systems know nothing of each other."""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, Self

import pykka

from supervision.account import Account
from supervision.actor import set_default_starter
from supervision.budget import Budget
from supervision.cell import Cell
from supervision.cellstate import CellState
from supervision.clock import Clock
from supervision.context import family_of, ref_of
from supervision.dispatcher import Dispatcher
from supervision.errors import ActorDeadError, Timeout
from supervision.failure import Failure
from supervision.future import Future
from supervision.pool import Pool
from supervision.ref import ActorRef
from supervision.runtime import Runtime
from supervision.snapshot import Node, node_of, snapshot
from supervision.spec import ChildSpec, Strategy
from supervision.supervisor import Supervisor

logger = logging.getLogger(__name__)

Order = Literal["oldest", "depth", "restarts"]
ORDERS: dict[str, Callable[[Cell], float]] = {
    "oldest": Cell.oldest_s,
    "depth": lambda cell: cell.depth,
    "restarts": lambda cell: cell.restarts,
}


class System(Runtime):
    """See the package docstring for the tree, `Runtime` for the arguments about time and threads.

    Args:
        name: For thread names and the dashboard.
        strategy: Of the root supervisor.
        budget: Of the root supervisor; beyond it the system escalates.
    """

    def __init__(  # noqa: PLR0913 - see Runtime
        self,
        name: str = "system",
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        shared_threads: int = 1,
        turn_messages: int = 32,
        turn_s: float = 0.002,
        stuck_s: float = 10.0,
        daemon: bool = True,
        pool_threads: int = 8,
        pool_queue_max: int = 1000,
        dispatcher: Dispatcher | None = None,
        pool: Pool | None = None,
        strategy: Strategy = "one_for_one",
        budget: Budget | None = None,
    ) -> None:
        super().__init__(
            name,
            clock=clock,
            rng=rng,
            shared_threads=shared_threads,
            turn_messages=turn_messages,
            turn_s=turn_s,
            stuck_s=stuck_s,
            daemon=daemon,
            pool_threads=pool_threads,
            pool_queue_max=pool_queue_max,
            dispatcher=dispatcher,
            pool=pool,
        )
        self._escalated: list[Callable[[Failure], None]] = []
        self._loose: dict[Cell, None] = {}
        self._numbers = itertools.count(1)
        self._stopped = False
        self._root = Cell(self, _root_spec(strategy, budget), None)
        self.root: ActorRef[Any] = ref_of(self._root)
        self._root.post(self._root.build)
        self.watch_stuck()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_child(self, parent: pykka.ActorRef[Any] | None, spec: ChildSpec) -> ActorRef[Any]:
        """Start a child under `parent` (None: the root) and wait until its `on_start` is done.

        Call it from outside the actors; inside use `Context.start_child`.

        Raises:
            ActorStartFailed: `__init__` or `on_start` raised (the `__cause__`); the child is gone again.
            ActorDeadError: the parent is dead.
            ValueError: a sibling has that name.
        """
        above: Cell = self._root if parent is None else _cell(parent)
        future: Future[Cell] = Future()

        def start() -> None:
            try:
                family_of(above).start_child(spec, future)
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                future.fail(error)

        dead = ActorDeadError(f"{above} is dead")
        if not above.post(start, lambda: future.fail(dead)):
            raise dead
        return ref_of(self.wait(future))

    def start_loose(self, factory: Callable[[], pykka.Actor], name: str) -> ActorRef[Any]:
        """Start an actor that nobody supervises: what Pykka's plain `start()` does. `__init__` runs here."""
        spec = ChildSpec(f"{name}-{next(self._numbers)}", factory, restart="temporary")
        cell = Cell(self, spec, None)
        cell.behaviour = cell.construct()
        cell.settle()
        with self._lock:
            self._loose[cell] = None
        self.keep_running(True)  # noqa: FBT003
        ref = ref_of(cell)
        # Before its first turn, or an actor that dies in on_start would be entered after it left.
        pykka.ActorRegistry.register(ref)
        cell.post(cell.begin)
        return ref

    def stop_child(self, ref: pykka.ActorRef[Any]) -> None:
        """Stop a supervised actor for good and wait until it is gone.

        A `permanent` child does not come back from this.
        """
        cell = _cell(ref)
        gone: Future[None] = Future()
        parent = cell.parent
        if parent is None:
            cell.watch(lambda _: gone.set(None))
            cell.post(lambda: cell.drain(cell.stop))
        else:
            # By way of the parent, so that its name is free again when this returns.
            cell.watch(lambda _: _or_now(parent, lambda: gone.set(None)))
            parent.post(lambda: family_of(parent).stop_child(cell.name))
        self.wait(gone)

    def wait(self, future: Future[Any], timeout_s: float | None = None) -> Any:
        """The value of a future, from outside the actors."""
        return future.get(timeout=timeout_s)

    def ref(self, path: str) -> ActorRef[Any] | None:
        """The actor at "core/ledger-0", or None. "/" is the root."""
        cell: Cell | None = self._root
        for name in path.strip("/").split("/") if path.strip("/") else []:
            cell = cell.family.find(name) if cell is not None and cell.family is not None else None
        if cell is None:
            cell = next((loose for loose in list(self._loose) if loose.name == path), None)
        return ref_of(cell) if cell is not None else None

    def snapshot(self, *, children_max: int = 200) -> Node:
        """The tree as plain dicts, see `supervision.snapshot`."""
        return snapshot(self._root, list(self._loose), children_max=children_max)

    def cells(self) -> Iterator[Cell]:
        """Every cell that lives now, parents before children."""
        waiting: list[Any] = [*self._loose, self._root]
        while waiting:
            cell = waiting.pop()
            yield cell
            if cell.family is not None:
                waiting.extend(cell.family.members())

    def account(self) -> Account:
        """Where all messages are that were ever accepted; its `error` is 0 when nothing is lost.

        Walks all actors, so ask every some seconds, not for every message.
        """
        total = Account()
        total.merge(self.closed)
        for cell in self.cells():
            total.add(cell)
        return total

    def top(self, order: Order = "oldest", limit: int = 20) -> list[Node]:
        """The most noticeable actors: with the oldest message, the deepest mailbox or the most restarts."""
        cells = [cell for cell in self.noticeable() if isinstance(cell, Cell)]
        return [node_of(cell) for cell in heapq.nlargest(limit, cells, key=ORDERS[order])]

    def swap(self, ref: pykka.ActorRef[Any], factory: Callable[[], pykka.Actor]) -> None:
        """Replace the actor's code: from now on `factory` makes its behaviour.

        Mailbox and ref stay, no budget is charged.
        """
        cell = _cell(ref)
        cell.post(lambda: cell.swap(factory))
        self.restart(ref)

    def suspend(self, ref: pykka.ActorRef[Any]) -> None:
        """Let the actor handle no user message until `resume`; they queue."""
        cell = _cell(ref)
        cell.post(cell.suspend)

    def resume(self, ref: pykka.ActorRef[Any]) -> None:
        """Go on after `suspend`; also ends the pause before a retry."""
        cell = _cell(ref)
        cell.post(cell.resume)

    def restart(self, ref: pykka.ActorRef[Any]) -> None:
        """Halt and rebuild on an operator's word; mailbox and ref stay, no budget is charged."""
        cell = _cell(ref)
        parent = cell.parent
        if parent is not None and parent.family is not None:
            family = parent.family
            parent.post(lambda: family.restart_child(cell.name))

    def inspect(self, ref: pykka.ActorRef[Any], look: Callable[[Any], Any]) -> Future[Any]:
        """A future of `look(behaviour)`, run in the actor's turn ahead of its messages. The behaviour may be None."""
        cell = _cell(ref)
        reply: Future[Any] = Future()
        dead = ActorDeadError(f"{cell} is dead")
        if not cell.post(lambda: cell.inspect(look, reply), lambda: reply.fail(dead)):
            reply.fail(dead)
        return reply

    def on_escalation(self, callback: Callable[[Failure], None]) -> None:
        """Call `callback(failure)` when the root gives up. The node ends its process with a non-zero exit then."""
        self._escalated.append(callback)

    def escalate(self, failure: Failure) -> None:
        self.vitals.incident("/", "System", "escalated", repr(failure.error))
        logger.critical("the root supervisor of %s gives up", self.name, exc_info=failure.error)
        for callback in self._escalated:
            callback(failure)

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Stop everything in reverse order of start and end all threads.

        Returns:
            True when every actor ended by itself in time and no thread is left; False when some had to be abandoned.
        """
        if self._stopped:
            return True
        self._stopped = True
        deadline_s = self.now() + timeout_s
        clean = True
        for cell in [*reversed(self._loose), self._root]:
            gone: Future[None] = Future()
            cell.watch(lambda _, gone=gone: gone.set(None))  # type: ignore[misc]
            cell.post(partial(cell.drain, cell.stop))
            try:
                self.wait(gone, max(0.0, deadline_s - self.now()))
            except Timeout:
                clean = False
                cell.abandon()
        return self.stop_threads(max(1.0, deadline_s - self.now())) and clean

    def cell_closed(self, cell: Cell) -> None:
        super().cell_closed(cell)
        if cell.parent is None and cell is not self._root:
            with self._lock:
                self._loose.pop(cell, None)
                none_left = not self._loose
            if none_left:
                self.keep_running(False)  # noqa: FBT003
            pykka.ActorRegistry.unregister(ref_of(cell))


def _root_spec(strategy: Strategy, budget: Budget | None) -> ChildSpec:
    return ChildSpec("root", lambda: Supervisor(strategy=strategy, budget=budget), drain=False)


def _cell(ref: pykka.ActorRef[Any]) -> Cell:
    if not isinstance(ref, ActorRef):
        raise TypeError("not an actor of this runtime")
    return ref.cell


def _or_now(cell: CellState, action: Callable[[], None]) -> None:
    if not cell.post(action, action):
        action()


_default: list[System] = []
_default_lock = threading.Lock()


def default_system() -> System:
    """The system behind plain `Actor.start()`, made on first use."""
    with _default_lock:
        if not _default:
            _default.append(System("actors", daemon=False))
        return _default[0]


def _start_in_default(factory: Callable[[], pykka.Actor], name: str) -> ActorRef[Any]:
    return default_system().start_loose(factory, name)


set_default_starter(_start_in_default)

"""Who is active: the table of virtual actors, and the cells in it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pykka

from supervision.cell import Cell
from supervision.cellstate import State
from supervision.errors import ActorDeadError
from supervision.future import Future
from supervision.runtime import Runtime
from supervision.spec import ChildSpec


class VirtualCell(Cell):
    """A cell that starts with its first message and can be put away."""

    __slots__ = ("group", "hand_accepted", "passivated", "roster")

    def __init__(self, runtime: Runtime, spec: ChildSpec, parent: Cell, roster: Roster, key: str) -> None:
        super().__init__(runtime, spec, parent)
        self.roster = roster
        self.name = key
        self.passivated = False
        self.group: str | None = None
        """Found out when somebody looks, see `supervision.groups`."""
        self.hand_accepted = -1
        self.active_s = runtime.now()
        self.dispatcher_kind = roster.dispatcher
        self.dispatcher = runtime.dispatcher(roster.dispatcher, key)
        self.is_open = True

    def make(self) -> pykka.Actor:
        return self.roster.factory(self.name)

    def report_started(self) -> None:
        # The directory does not wait for anybody, and a storm of activations must not flood its mailbox.
        return

    def tell_stopped(self, reason: str) -> None:
        # Virtual actors come and go by the thousand: they are counted, and only their troubles are told.
        return

    def forward(self, message: Any, reply_to: pykka.Future[Any] | None) -> bool:
        if not self.passivated:
            return False
        try:
            self.roster.deliver(self.name, message, reply_to)
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
        self.roster.forget(self)
        self.shut("passivated")


class Roster:
    """The active actors by key. Safe from any thread.

    Args:
        name: Of the directory, for messages.
        factory: Makes the behaviour for a key.
        spec: What all of them have in common.
        dispatcher: Where they run.
        active_max: Beyond it `on_crowded` is called.
        group_of: The group of a key, for whoever looks.
    """

    def __init__(
        self,
        name: str,
        factory: Callable[[str], pykka.Actor],
        spec: ChildSpec,
        *,
        dispatcher: str,
        active_max: int,
        group_of: Callable[[str], str] | None = None,
    ) -> None:
        self.name = name
        self.factory = factory
        self.group_of = group_of
        self.spec = spec
        self.dispatcher = dispatcher
        self.active_max = active_max
        self.on_crowded: Callable[[], None] = lambda: None
        self.active: dict[str, VirtualCell] = {}
        """Read without the lock on the hot path; written only under it."""
        self.activations = 0
        self.passivations = 0
        self._lock = threading.Lock()
        self._home: Cell | None = None
        self._paused = False
        self._fresh: deque[VirtualCell] = deque()

    def deliver(self, key: str, message: Any, reply_to: pykka.Future[Any] | None) -> None:
        while True:
            cell = self.active.get(key)
            if cell is None or cell.closed:
                cell = self._activate(key)
            if isinstance(reply_to, Future):
                reply_to.target = cell
            if cell.offer(message, reply_to):
                return

    def deliver_all(self, key: str, messages: Sequence[Any]) -> int:
        while True:
            cell = self.active.get(key)
            if cell is None or cell.closed:
                cell = self._activate(key)
            taken = cell.offer_all(messages)
            if taken is not None:
                return taken

    def _activate(self, key: str) -> VirtualCell:
        with self._lock:
            cell = self.active.get(key)
            if cell is not None and not cell.closed:
                return cell
            home = self._home
            if home is None or home.closed:
                raise ActorDeadError(f"{self.name} is not up")
            cell = VirtualCell(home.runtime, self.spec, home, self, key)
            if self._paused:
                cell.is_open = False
            self.active[key] = cell
            self._fresh.append(cell)
            self.activations += 1
            crowded = len(self.active) > self.active_max
        if crowded:
            self.on_crowded()
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
            if self.active.get(cell.name) is cell:
                del self.active[cell.name]
                self.passivations += cell.passivated

    def cells(self) -> list[VirtualCell]:
        with self._lock:
            return list(self.active.values())

    def fresh(self) -> list[VirtualCell]:
        """Those activated since the last call."""
        result = []
        while self._fresh:
            result.append(self._fresh.popleft())
        return result

"""The children of a directory: supervision, halting and passivation of many actors that come and go."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from supervision.budget import RestartWindow
from supervision.cell import Cell
from supervision.cellstate import State, Summary
from supervision.failure import Failure
from supervision.groups import Groups
from supervision.roster import Roster, VirtualCell
from supervision.timers import Timer

SWEEPS_PER_IDLE = 8
"""The ring of active actors is walked twice per `idle_s`, in so many pieces each."""
TICK_S_MIN = 0.01
GRACE_S = 1.0
"""After the deadline of a stop: how long they get to obey before stuck ones are abandoned."""


class VirtualFamily:
    """Supervision of many children that come and go.

    No order among them, trouble is remembered only for the troubled.
    """

    def __init__(self, cell: Cell, roster: Roster, *, idle_s: float, stop_timeout_s: float) -> None:
        self._cell = cell
        self._runtime = cell.runtime
        self._roster = roster
        self._idle_s = idle_s
        self._stop_timeout_s = stop_timeout_s
        roster.on_crowded = self.crowded
        self._ring: deque[VirtualCell] = deque()
        self._windows: dict[Cell, RestartWindow] = {}
        self._attempts: dict[Cell, int] = {}
        self._waiting_for: dict[Cell, None] = {}
        self._then: Callable[[], None] | None = None
        self._closing = False
        self._down = False
        self._tick: Timer | None = None
        self._crowd_posted = False
        self._groups = Groups(roster, self._runtime.now) if roster.group_of is not None else None

    def begin(self) -> bool:
        self._roster.attach(self._cell)
        self._roster.pause(False)  # noqa: FBT003
        self._down = False
        for cell in self._roster.cells():
            if cell.state in (State.HALTED, State.NEW):
                cell.order(cell.build)
        self._schedule_tick()
        return True

    def take_down(self, *, close: bool, then: Callable[[], None]) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self._down = True
        self._closing = close
        self._roster.pause(True)  # noqa: FBT003
        if close:
            self._roster.detach()
        self._then = then
        cells = [cell for cell in self._roster.cells() if close or cell.state is not State.HALTED]
        self._waiting_for = dict.fromkeys(cells)
        for cell in cells:
            hard = cell.stop if close else cell.halt
            if not cell.order(partial(cell.drain, hard)):
                self._waiting_for.pop(cell, None)
        self._runtime.timers.call_after(self._stop_timeout_s, lambda: self._cell.post(self._overdue))
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
        return list(self._roster.cells())

    def find(self, name: str) -> Cell | None:
        return self._roster.active.get(name)

    def restart_child(self, name: str) -> None:
        cell = self.find(name)
        if cell is not None:
            cell.order(cell.halt)
            cell.post(cell.rebuild)

    def summary(self, limit: int) -> Summary:
        mine = self._noticeable()
        shown = heapq.nlargest(limit, mine, key=Cell.oldest_s)
        active = len(self._roster.active)
        totals: dict[str, Any] = {
            "active": active,
            "more": active - len(shown),
            "depth_below": sum(cell.depth for cell in mine),
            "restarts_below": sum(cell.restarts for cell in mine),
            "activations": self._roster.activations,
            "passivations": self._roster.passivations,
        }
        if self._groups is not None:
            totals["groups"] = self._groups.look(mine)
        return Summary(shown, totals)

    def members_of(self, group: str, limit: int) -> list[Cell]:
        """The most noticeable of one group, the one with the oldest message first."""
        groups = self._groups
        mine = [] if groups is None else [one for one in self._noticeable() if groups.of(one) == group]
        return list(heapq.nlargest(limit, mine, key=Cell.oldest_s))

    def _noticeable(self) -> list[VirtualCell]:
        return [
            cell
            for cell in self._runtime.noticeable()
            if isinstance(cell, VirtualCell) and cell.parent is self._cell
        ]

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
        window = self._windows.setdefault(cell, RestartWindow(self._roster.spec.budget))
        now_s = self._runtime.now()
        if window.charge(now_s):
            self._attempts[cell] = attempt = self._attempts.get(cell, 0) + 1
            delay_s = self._roster.spec.backoff.delay_s(attempt, self._runtime.rng)
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
            self._roster.forget(cell)
        self._waiting_for.pop(cell, None)
        self._check_down()

    # Passivation.

    def crowded(self) -> None:
        """There are more active actors than wanted; called from any thread."""
        if not self._crowd_posted:
            self._crowd_posted = True
            self._cell.post(self._evict)

    def _schedule_tick(self) -> None:
        tick_s = max(TICK_S_MIN, self._idle_s / 2 / SWEEPS_PER_IDLE)
        self._tick = self._runtime.timers.call_after(tick_s, lambda: self._cell.post(self._sweep))

    def _sweep(self) -> None:
        if self._down:
            return
        self._ring.extend(self._roster.fresh())
        now_s = self._runtime.now()
        # A part of the ring each time, so that a hundred thousand idle actors cost a few milliseconds, not a stall.
        for _ in range(-(-len(self._ring) // SWEEPS_PER_IDLE)):
            cell = self._ring.popleft()
            if cell.closed:
                continue
            self._ring.append(cell)
            if now_s - cell.active_s >= self._idle_s and cell.is_open and not cell.scheduled:
                cell.post(cell.passivate)
        self._schedule_tick()

    def _evict(self) -> None:
        """Walk the ring; whoever was active since the hand last came by gets a second chance."""
        self._crowd_posted = False
        self._ring.extend(self._roster.fresh())
        excess = len(self._roster.active) - self._roster.active_max
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

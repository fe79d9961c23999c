"""The children of one cell: supervision as OTP means it, run in the parent's own turns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from supervision.budget import RestartWindow
from supervision.cell import Cell
from supervision.cellstate import CellState, Summary
from supervision.errors import ActorStartFailed, BudgetExhausted, UnknownChild
from supervision.failure import Failure, FailureKind
from supervision.future import Future
from supervision.plan import Phase, Place, affected_by, is_settled, next_steps
from supervision.spec import ChildSpec, SupervisorSpec
from supervision.timers import Timer

GRACE_S = 1.0
"""After a stop deadline: how long a child gets to obey the hard stop before it is abandoned."""
CALM_S = 60.0
"""A child that stayed up this long starts its backoff anew."""


class Child:
    """One child as its supervisor sees it."""

    def __init__(self, spec: ChildSpec, cell: Cell, *, declared: bool) -> None:
        self.spec = spec
        self.cell = cell
        self.declared = declared
        self.place = Place.DOWN
        self.recycle = False
        self.not_before_s = float("-inf")
        self.window = RestartWindow(spec.budget)
        self.attempts = 0
        self.up_since_s = 0.0
        self.built = False
        self.came_up = False
        self.closing = False
        self.waiter: Future[Cell] | None = None
        self.deadline: Timer | None = None


class Family:
    """See `supervision.plan` for what it does when; here is how.

    Args:
        cell: The parent.
        spec: Strategy, budget and declared children.
    """

    def __init__(self, cell: CellState, spec: SupervisorSpec) -> None:
        self._cell = cell
        self._runtime = cell.runtime
        self.spec = spec
        self._children: list[Child] = []
        self._by_cell: dict[Cell, Child] = {}
        self._names: dict[str, Child] = {}
        self._phase = Phase.STARTING
        self._window = RestartWindow(spec.budget)
        self._then: Callable[[], None] | None = None
        self._cause: Failure | None = None
        for child in spec.children:
            self._add(child, declared=True)

    # What the cell asks of it.

    def begin(self) -> bool:
        self._phase = Phase.STARTING
        self._cause = None
        self._window = RestartWindow(self.spec.budget)
        for child in self._children:
            child.attempts = 0
            child.not_before_s = float("-inf")
            child.recycle = child.came_up = False
            child.window = RestartWindow(child.spec.budget)
        known = set(self._names)
        for spec in self.spec.children:
            if spec.name not in known:
                self._add(spec, declared=True)
        order = {spec.name: index for index, spec in enumerate(self.spec.children)}
        self._children.sort(key=lambda child: order.get(child.spec.name, len(order)))
        if not self._children:
            self._phase = Phase.UP
            return True
        self._look()
        return False

    def take_down(self, *, close: bool, then: Callable[[], None]) -> None:
        self._phase = Phase.CLOSING if close else Phase.HALTING
        self._then = then
        if not close:
            # As in OTP: what was started at run time does not outlive the behaviour that asked for it.
            for child in self._children:
                if not child.declared and child.place in (Place.UP, Place.DOWN):
                    self._send_down(child, close=True)
        self._look()

    def members(self) -> list[Cell]:
        return [child.cell for child in self._children]

    def find(self, name: str) -> Cell | None:
        child = self._names.get(name)
        return child.cell if child is not None else None

    def summary(self, limit: int) -> Summary:
        cells = self.members()
        more = len(cells) - limit
        return Summary(cells[:limit], {"more": more} if more > 0 else {})

    # Dynamic children.

    def start_child(self, spec: ChildSpec, waiter: Future[Cell] | None = None) -> Cell:
        """Add and start one more child; the future gets its cell once `on_start` is done, or `ActorStartFailed`.

        Raises:
            ValueError: a sibling has that name.
        """
        if spec.name in self._names:
            raise ValueError(f"{self._cell.path} already has a child {spec.name!r}")
        child = self._add(spec, declared=False)
        child.waiter = waiter
        self._look()
        return child.cell

    def stop_child(self, name: str) -> None:
        """Stop a child for good, within its deadline. Raises `UnknownChild`."""
        child = self._names.get(name)
        if child is None:
            raise UnknownChild(f"{self._cell.path} has no child {name!r}")
        child.closing = True
        if child.place in (Place.UP, Place.DOWN):
            self._send_down(child, close=True)

    def restart_child(self, name: str) -> None:
        """Halt and rebuild one child (and whom the strategy takes along), on an operator's word: costs no budget."""
        child = self._names.get(name)
        if child is None:
            raise UnknownChild(f"{self._cell.path} has no child {name!r}")
        index = self._children.index(child)
        for other in self._children[
            slice(*_bounds(affected_by(self.spec.strategy, index, len(self._children))))
        ]:
            other.recycle = other.place in (Place.UP, Place.STARTING)
            other.not_before_s = float("-inf")
        self._look()

    # What children report.

    def child_started(self, cell: Cell, order: int) -> None:
        child = self._current(cell, order)
        if child is None:
            return
        child.place = Place.UP
        child.came_up = True
        child.up_since_s = self._runtime.now()
        if child.waiter is not None:
            child.waiter.set(cell)
            child.waiter = None
        if child.closing:
            self._send_down(child, close=True)
        self._look()

    def child_failed(self, cell: Cell, order: int, failure: Failure) -> None:
        child = self._current(cell, order)
        if child is None:
            # It is on its way down already, and will report that.
            return
        was_up = child.place is Place.UP
        child.place = Place.DOWN
        child.recycle = False
        self._disarm(child)
        if self._phase in (Phase.HALTING, Phase.CLOSING):
            self._look()
            return
        if child.waiter is not None:
            self._refuse_start(child, failure)
        elif self._phase is Phase.STARTING and not child.came_up:
            self._give_up(child, failure)
            return
        elif (
            child.closing
            or child.spec.restart == "temporary"
            or (child.spec.restart == "transient" and failure.phase == "exit")
        ):
            child.place = Place.GOING_DOWN
            cell.order(cell.discard)
        else:
            self._restart(child, failure, was_up=was_up)
        self._look()

    def child_halted(self, cell: Cell, order: int) -> None:
        child = self._current(cell, order)
        if child is None:
            return
        self._disarm(child)
        child.place = Place.DOWN
        child.recycle = False
        if child.closing:
            self._send_down(child, close=True)
        self._look()

    def child_closed(self, cell: Cell, reason: str) -> None:
        child = self._by_cell.pop(cell, None)
        if child is None:
            return
        self._disarm(child)
        child.place = Place.CLOSED
        self._children.remove(child)
        del self._names[child.spec.name]
        if child.waiter is not None:
            error = ActorStartFailed(f"{cell.path} was stopped before it was up")
            child.waiter.fail(error)
            child.waiter = None
        self._look()

    # How.

    def _current(self, cell: Cell, order: int) -> Child | None:
        """The child that reports, unless the report answers an order that has been overtaken by another."""
        return self._by_cell.get(cell) if cell.ordered == order else None

    def _add(self, spec: ChildSpec, *, declared: bool) -> Child:
        cell = Cell(self._runtime, spec, self._cell)
        child = Child(spec, cell, declared=declared)
        self._children.append(child)
        self._by_cell[cell] = child
        self._names[spec.name] = child
        return child

    def _look(self) -> None:
        steps = next_steps(self._children, self.spec.strategy, self._phase, self._runtime.now())
        for child, verb in [(self._children[step.index], step.verb) for step in steps]:
            if verb == "start":
                child.place = Place.STARTING
                cell = child.cell
                cell.order(cell.rebuild if child.built else cell.build)
                child.built = True
            else:
                self._send_down(child, close=verb == "close")
        if is_settled(self._children, self._phase):
            self._settled()

    def _settled(self) -> None:
        if self._phase is Phase.STARTING:
            self._phase = Phase.UP
            self._cell.started()
        elif self._phase in (Phase.HALTING, Phase.CLOSING) and self._then is not None:
            then, self._then = self._then, None
            then()

    def _restart(self, child: Child, failure: Failure, *, was_up: bool) -> None:
        now_s = self._runtime.now()
        if was_up and now_s - child.up_since_s > CALM_S:
            child.attempts = 0
        child.attempts += 1
        # Both are charged, whichever refuses: an exact count must not depend on the order of two checks.
        within = [child.window.charge(now_s), self._window.charge(now_s)]
        if not all(within):
            self._give_up(child, failure)
            return
        delay_s = child.spec.backoff.delay_s(child.attempts, self._runtime.rng)
        index = self._children.index(child)
        for other in self._children[
            slice(*_bounds(affected_by(self.spec.strategy, index, len(self._children))))
        ]:
            other.recycle = other is not child and other.place in (Place.UP, Place.STARTING)
        child.not_before_s = now_s + delay_s
        if delay_s > 0:
            self._runtime.timers.call_after(delay_s, lambda: self._cell.post(self._look))

    def _give_up(self, child: Child, failure: Failure) -> None:
        """Take everything down and fail: what to do now is for whoever is above."""
        if self._phase is Phase.STARTING and not child.came_up:
            error: BaseException = ActorStartFailed(f"{child.cell.path} did not start")
        else:
            error = BudgetExhausted(f"{child.cell.path} failed too often: {child.attempts} restarts")
        error.__cause__ = failure.error
        self._cell.note("escalated", str(error))
        beyond = Failure(FailureKind.BUG, error, "children", self._runtime.now())
        self.take_down(close=False, then=partial(self._cell.crash, beyond))

    def _refuse_start(self, child: Child, failure: Failure) -> None:
        error = ActorStartFailed(f"{child.cell.path} failed in {failure.phase}")
        error.__cause__ = failure.error
        if child.waiter is not None:
            child.waiter.fail(error)
            child.waiter = None
        child.place = Place.GOING_DOWN
        child.cell.order(child.cell.discard)

    def _send_down(self, child: Child, *, close: bool) -> None:
        cell = child.cell
        hard = cell.stop if close else cell.halt
        child.place = Place.GOING_DOWN
        child.closing = child.closing or close
        cell.order(partial(cell.drain, hard) if child.spec.drain else hard)
        self._disarm(child)
        if child.spec.stop_timeout_s < float("inf"):
            number = cell.ordered
            child.deadline = self._runtime.timers.call_after(
                child.spec.stop_timeout_s,
                lambda: self._cell.post(partial(self._overdue, child, number, hard)),
            )

    def _overdue(self, child: Child, number: int, hard: Callable[[], None]) -> None:
        """The deadline for going down has passed: no more draining."""
        cell = child.cell
        if cell.closed or cell.ordered != number or child.place is not Place.GOING_DOWN:
            return
        cell.note("overdue", f"not down within {child.spec.stop_timeout_s} s")
        cell.remind(hard)
        self._arm_grace(child, number)

    def _arm_grace(self, child: Child, number: int) -> None:
        child.deadline = self._runtime.timers.call_after(
            GRACE_S, lambda: self._cell.post(partial(self._replace_stuck, child, number))
        )

    def _replace_stuck(self, child: Child, number: int) -> None:
        """It does not obey because its turn does not end, and a thread cannot be killed: take the cell from it."""
        cell = child.cell
        if cell.closed or cell.ordered != number or child.place is not Place.GOING_DOWN:
            return
        if child.closing and cell.usurp():
            cell.abandon()
        elif not child.closing and cell.usurp_halted():
            self.child_halted(cell, cell.ordered)
        else:
            # It waits for a turn like others; it will obey when it gets one.
            self._arm_grace(child, number)

    @staticmethod
    def _disarm(child: Child) -> None:
        if child.deadline is not None:
            child.deadline.cancel()
            child.deadline = None


def _bounds(affected: range) -> tuple[int, int]:
    return affected.start, affected.stop

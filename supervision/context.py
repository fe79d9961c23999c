"""What an actor may ask of its surroundings."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pykka

from supervision.cell import Cell
from supervision.cellstate import CellState
from supervision.clock import Clock
from supervision.family import Family
from supervision.future import Future
from supervision.ref import ActorRef
from supervision.runtime import Runtime
from supervision.spec import ChildSpec, SupervisorSpec
from supervision.timers import Timers


@dataclass(frozen=True, slots=True)
class Terminated:
    """Told to whoever watches: that actor is gone for ever.

    `reason` is normal, failed, abandoned, passivated or gone.
    """

    ref: ActorRef[Any]
    reason: str


@dataclass(frozen=True, slots=True)
class PipedFailure:
    """What `pipe_to_self` tells when the future holds an error."""

    error: BaseException


def ref_of(cell: CellState) -> ActorRef[Any]:
    """The one ref of a cell, made when first asked for."""
    if cell.kept_ref is None:
        cell.kept_ref = ActorRef(cast("Cell", cell))
    ref: ActorRef[Any] = cell.kept_ref
    return ref


class Context:
    """The surroundings of one actor, as `self.context`. Use it only in the actor's own turn."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    @property
    def system(self) -> Runtime:
        return self._cell.runtime

    @property
    def clock(self) -> Clock:
        return self._cell.runtime.clock

    @property
    def timers(self) -> Timers:
        return self._cell.runtime.timers

    @property
    def rng(self) -> random.Random:
        return self._cell.runtime.rng

    @property
    def path(self) -> str:
        return self._cell.path

    @property
    def name(self) -> str:
        return self._cell.name

    @property
    def parent(self) -> ActorRef[Any] | None:
        return ref_of(self._cell.parent) if self._cell.parent is not None else None

    @property
    def children(self) -> Sequence[ActorRef[Any]]:
        """The children in order of their start."""
        family = self._cell.family
        return [ref_of(cell) for cell in family.members()] if family is not None else []

    @property
    def depth(self) -> int:
        """How many messages wait behind the current one."""
        return self._cell.depth

    def start_child(self, spec: ChildSpec) -> ActorRef[Any]:
        """Start a child under this actor. Returns at once; if it cannot start, its restart policy applies.

        Raises:
            ValueError: a sibling has that name.
        """
        return ref_of(family_of(self._cell).start_child(spec))

    def stop_child(self, name: str) -> None:
        """Stop a child for good, within its deadline. Raises `UnknownChild`."""
        family_of(self._cell).stop_child(name)

    def watch(self, ref: pykka.ActorRef[Any]) -> None:
        """Be told `Terminated` when that actor is gone, at once if it is gone already. Watching is not supervising."""
        if not isinstance(ref, ActorRef):
            raise TypeError("only actors of this runtime can be watched")
        watcher = self._cell
        watched = ref.cell
        watched.watch(lambda reason: _drop(watcher.offer_last(Terminated(ref_of(watched), reason))))

    def stash(self) -> None:
        """Put the current message aside; it keeps its place among the stashed and its asker keeps waiting."""
        self._cell.stash_current()

    def unstash_all(self) -> None:
        """Handle everything stashed next, in its order, before what is queued."""
        self._cell.unstash_all()

    def rest(self, seconds: float) -> None:
        """Take no message for so long, so that what comes meanwhile is handled together; a stop does not wait."""
        self._cell.rest(seconds)

    def pipe_to_self(self, future: Future[Any], wrap: Callable[[Any], Any] = lambda value: value) -> None:
        """Be told `wrap(value)` when the future has its value, or `PipedFailure` when it has an error. Never waits."""
        cell = self._cell

        def completed(done: Future[Any]) -> None:
            try:
                message = wrap(done.get(timeout=0))
            except BaseException as error:  # noqa: BLE001 - it belongs to the actor, not to the thread that completes
                message = PipedFailure(error)
            # Beyond the bound: a full mailbox must not lose the answer to a question of its own.
            if not cell.offer_last(message) and not cell.forward(message, None):
                cell.runtime.dead_letters.record(cell.path, message, "stopped")

        future.add_done_callback(completed)


def family_of(cell: CellState) -> Family:
    """The family of a cell, made when it gets its first child; one_for_one unless it declared otherwise."""
    if cell.family is None:
        family = Family(cell, SupervisorSpec())
        family.begin()
        cell.family = family
    if not isinstance(cell.family, Family):
        raise TypeError(f"{cell.path} does not take children")
    return cell.family


def _drop(_: object) -> None:
    return None

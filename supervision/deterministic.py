"""A whole tree in one thread: chance comes from a seed, time is virtual, so a run can be repeated exactly.

    with Simulation(seed=7) as simulation:
        ref = simulation.system.start_child(None, ChildSpec("a", MyActor))
        ref.tell("x")
        simulation.settle()

The cells, mailboxes, supervisors and timers are the production ones; only the dispatcher is different: at each step it
picks one of the cells that are ready, and sometimes lets time pass first. An error that leaves the `with`
block carries the seed in its notes. What the tree does must not depend on hashes of objects or on the
machine's clock.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from supervision.clock import ManualClock
from supervision.dispatcher import Runnable, Worker, refuse_waiting
from supervision.errors import Timeout
from supervision.future import Future, waiting
from supervision.pool import Work
from supervision.system import System
from supervision.vitals import Vitals

STEPS_MAX = 1_000_000
"""A run that takes more steps than this is taken for an endless loop."""
HASTE = 0.05
"""How often time moves on although cells are ready: a busy machine looks like this."""


class SeededDispatcher:
    """Runs one randomly chosen ready cell per step, in the calling thread."""

    name = "seeded"

    def __init__(self, rng: random.Random, now: Callable[[], float]) -> None:
        self._rng = rng
        self._ready: list[Runnable] = []
        self._worker = Worker(now, Vitals(now).shelf(), 32, float("inf"))

    def keep_books(self, vitals: Vitals) -> None:
        self._worker.books = vitals.shelf()

    def schedule(self, cell: Runnable) -> None:
        self._ready.append(cell)

    def step(self) -> bool:
        """Give one cell a turn; False when none is ready."""
        if not self._ready:
            return False
        worker = self._worker
        cell = self._ready.pop(self._rng.randrange(len(self._ready)))
        worker.turn_messages = self._rng.randint(1, 8)
        worker.started_s = worker.now()
        worker.cell = cell
        guard, waiting.guard = waiting.guard, refuse_waiting
        try:
            cell.turn(worker)
        finally:
            waiting.guard = guard
            worker.cell = None
        return True

    def stop(self, timeout_s: float) -> bool:
        while self.step():
            continue
        return True

    def disown(self, cell: Runnable) -> bool:
        # No turn can be stuck here: whoever asks runs in a turn itself.
        return False

    def ready(self) -> list[Runnable]:
        return list(self._ready)

    def running(self) -> list[tuple[Runnable, float]]:
        return []


class _Job:
    """A piece of pool work as something to dispatch."""

    def __init__(self, work: Work, future: Future[Any]) -> None:
        self._work = work
        self._future = future
        self.waits_for: Any = None
        self.lock = threading.Lock()
        self.path = "pool"

    def turn(self, worker: Worker) -> None:
        try:
            value = self._work()
        except BaseException as error:  # noqa: BLE001 - as in the real pool
            self._future.fail(error)
        else:
            self._future.set(value)


class _SimulatedPool:
    def __init__(self, dispatcher: SeededDispatcher) -> None:
        self._dispatcher = dispatcher

    def submit(self, work: Work) -> Future[Any]:
        future: Future[Any] = Future()
        self._dispatcher.schedule(_Job(work, future))
        return future

    def stop(self, timeout_s: float) -> bool:
        return True


class SimulatedSystem(System):
    """A system whose outside waits run the simulation instead of blocking."""

    def __init__(self, simulation: Simulation, name: str, **options: Any) -> None:
        self._simulation = simulation
        super().__init__(
            name,
            clock=simulation.clock,
            rng=simulation.rng,
            dispatcher=simulation.dispatcher,
            pool=_SimulatedPool(simulation.dispatcher),
            **options,
        )

    def wait(self, future: Future[Any], timeout_s: float | None = None) -> Any:
        self._simulation.run_until(future.done, timeout_s)
        return future.get(timeout=0)


class Simulation:
    """One seeded world.

    Args:
        seed: The same seed, the same run.
        name: Of the system.
        options: Passed to `System`, for example `strategy` and `budget` of the root.
    """

    def __init__(self, seed: int, *, name: str = "simulation", **options: Any) -> None:
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311 - repeatable is the point
        self.clock = ManualClock()
        self.steps = 0
        self.dispatcher = SeededDispatcher(self.rng, self.clock.monotonic)
        self.system = SimulatedSystem(self, name, **options)
        self.dispatcher.keep_books(self.system.vitals)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"Simulation(seed={self.seed}), step {self.steps}, {self.clock.monotonic():.3f} s")

    def step(self) -> bool:
        """One turn of one ready cell, or one timer when none is ready. False when there is neither."""
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise RuntimeError(f"no end after {STEPS_MAX} steps")
        if self.rng.random() < HASTE:
            self._next_timer()
        return self.dispatcher.step() or self._next_timer()

    def settle(self) -> None:
        """Run until no cell is ready. Time passes only in haste; timers that wait stay waiting."""
        while self.dispatcher.step():
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise RuntimeError(f"no end after {STEPS_MAX} steps")

    def run(self, duration_s: float) -> None:
        """Let `duration_s` virtual seconds pass, with everything that happens in them."""
        end_s = self.clock.monotonic() + duration_s
        while True:
            # Settled before each look: what runs now may set timers of its own.
            self.settle()
            due_s = self.system.timers.next_due_s()
            if due_s is None or due_s > end_s:
                break
            self.step()
        self.clock.move_to(end_s)

    def run_until(self, done: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Run until `done()`.

        Raises:
            Timeout: it did not come true within `timeout_s` virtual seconds, or nothing is left that could happen.
        """
        deadline_s = float("inf") if timeout_s is None else self.clock.monotonic() + timeout_s
        while not done():
            if self.clock.monotonic() > deadline_s or not self.step():
                raise Timeout(f"{timeout_s} virtual seconds")

    def _next_timer(self) -> bool:
        due_s = self.system.timers.next_due_s()
        if due_s is None:
            return False
        self.clock.move_to(due_s)
        self.system.timers.fire_next(due_s)
        return True

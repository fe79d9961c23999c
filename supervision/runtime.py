"""What a cell needs from its system, and nothing of the tree: time, chance, dispatchers, and where to report."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

from supervision.account import Account
from supervision.clock import Clock, SystemClock
from supervision.deadletters import DeadLetters
from supervision.dispatcher import Dispatcher, ThreadDispatcher
from supervision.failure import Failure
from supervision.pool import Pool, ThreadPool
from supervision.timers import Timers
from supervision.vitals import Vitals

SHARED = "shared"
PINNED = "pinned"
INTERNAL = "internal"
"""The dispatcher of supervisors: a stuck actor on the shared one must not stop supervision."""


class Runtime:
    """The services that all cells of one system share.

    Args:
        name: For thread names.
        clock: Where time comes from.
        rng: Where chance comes from (jitter).
        shared_threads: Threads of the shared dispatcher. More than the cores does harm: Python runs one at a time.
        turn_messages: Messages per turn on a shared dispatcher.
        turn_s: No further message starts in a turn after this many seconds.
        stuck_s: A turn on a shared dispatcher that lasts longer gets its thread replaced.
        daemon: Whether the threads of actors let the process end.
        pool_threads: Threads of the pool for blocking work.
        pool_queue_max: How much work may wait for them.
        dispatcher: Runs everything instead of threads (see `supervision.deterministic`),
        pool: and does what would block.
    """

    def __init__(  # noqa: PLR0913 - each is a limit or a source of its own
        self,
        name: str,
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
    ) -> None:
        self.name = name
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.rng = rng if rng is not None else random.Random()  # noqa: S311 - jitter, not secrets
        self.now: Callable[[], float] = self.clock.monotonic
        self.vitals = Vitals(self.now)
        self.dead_letters = DeadLetters(self.now)
        self.closed = Account()
        self.noticed: dict[Any, None] = {}
        """Cells that had messages left after a turn, or trouble: all that a top list must look at."""
        self.stuck_s = stuck_s
        self._turn_messages = turn_messages
        self._turn_s = turn_s
        self._daemon = daemon
        self._only = dispatcher
        self.pool: Pool = pool or ThreadPool(f"{name}-pool", threads=pool_threads, queue_max=pool_queue_max)
        self._lock = threading.Lock()
        self._pinned: set[ThreadDispatcher] = set()
        self._retired: list[ThreadDispatcher] = []
        self._watchdog: Any = None
        self.timers = Timers(
            self.clock,
            on_lost=lambda ref, message: self.dead_letters.record(str(ref), message, "timer"),
            name=f"{name}-timers",
            threaded=dispatcher is None,
        )
        self._kinds: dict[str, Dispatcher] = {
            SHARED: dispatcher or self._threads(SHARED, shared_threads),
            INTERNAL: dispatcher or self._threads(INTERNAL, 1),
        }

    def _threads(self, kind: str, threads: int) -> ThreadDispatcher:
        return ThreadDispatcher(
            f"{self.name}-{kind}",
            now=self.now,
            vitals=self.vitals,
            threads=threads,
            turn_messages=self._turn_messages,
            turn_s=self._turn_s,
            daemon=self._daemon or kind == INTERNAL,
        )

    def add_dispatcher(self, kind: str, *, threads: int, may_wait: bool = True) -> None:
        """Name one more shared dispatcher, for example a few threads for actors that block. Before its first actor."""
        if kind in self._kinds or kind == PINNED:
            raise ValueError(f"dispatcher {kind!r} exists")
        self._kinds[kind] = self._only or ThreadDispatcher(
            f"{self.name}-{kind}", now=self.now, vitals=self.vitals, threads=threads, may_wait=may_wait
        )

    def dispatcher(self, kind: str, name: str) -> Dispatcher:
        """The dispatcher for a new cell called `name`."""
        if kind == PINNED and self._only is None:
            pinned = ThreadDispatcher(
                f"{self.name}-{name}", now=self.now, vitals=self.vitals, may_wait=True, daemon=self._daemon
            )
            with self._lock:
                self._pinned.add(pinned)
            return pinned
        if kind == PINNED and self._only is not None:
            return self._only
        try:
            return self._kinds[kind]
        except KeyError:
            raise ValueError(f"no dispatcher {kind!r}; there are pinned, {', '.join(self._kinds)}") from None

    def retire(self, dispatcher: Dispatcher) -> None:
        """The actor of this dispatcher is gone: a pinned one ends its thread."""
        if isinstance(dispatcher, ThreadDispatcher) and dispatcher in self._pinned:
            dispatcher.retire()
            with self._lock:
                self._pinned.discard(dispatcher)
                self._retired = [*(one for one in self._retired if one.is_alive()), dispatcher]

    def keep_running(self, running: bool) -> None:  # noqa: FBT001 - the one thing it sets
        """For a system whose threads keep the process alive: whether they must run although nothing is ready."""
        shared = self._kinds[SHARED]
        if not self._daemon and isinstance(shared, ThreadDispatcher):
            if running:
                shared.revive()
            else:
                shared.retire()

    def dispatchers(self) -> list[Dispatcher]:
        with self._lock:
            return [*self._kinds.values(), *self._pinned, *self._retired]

    def cell_closed(self, cell: Any) -> None:
        """A cell is gone for ever: its counts live on in `closed`."""
        with self._lock:
            self.closed.add(cell)
        self.noticed.pop(cell, None)

    def noticeable(self) -> list[Any]:
        """The cells worth a look: about to have or in a turn, with messages left over, or with past trouble.

        Costs as much as there is to notice, not as there are actors.
        """
        found: dict[Any, None] = {}
        for cell in list(self.noticed):
            if cell.closed or not cell.is_noticeable():
                self.noticed.pop(cell, None)
            else:
                found[cell] = None
        for dispatcher in self.dispatchers():
            for runnable, _ in dispatcher.running():
                found[runnable] = None
            for runnable in dispatcher.ready():
                found[runnable] = None
        return list(found)

    def escalate(self, failure: Failure) -> None:
        """Nobody above can handle this failure."""

    def watch_stuck(self) -> None:
        """Look for stuck turns every quarter of `stuck_s`, for as long as the system lives."""
        if self._only is not None or self._watchdog is not None:
            return

        def look() -> None:
            for dispatcher in self._kinds.values():
                if isinstance(dispatcher, ThreadDispatcher):
                    for cell in dispatcher.replace_stuck(self.stuck_s):
                        self.vitals.incident(cell.path, "dispatcher", "stuck", dispatcher.name)
            self._watchdog = self.timers.call_after(self.stuck_s / 4, look)

        self._watchdog = self.timers.call_after(self.stuck_s / 4, look)

    def stop_threads(self, timeout_s: float) -> bool:
        """End timers, pool and dispatchers; False when a thread would not end in time."""
        self.timers.stop()
        deadline_s = self.now() + timeout_s
        threads: list[Pool | Dispatcher] = [self.pool, *self.dispatchers()]
        ended = [one.stop(max(0.0, deadline_s - self.now())) for one in threads]
        return all(ended)

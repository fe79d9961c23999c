"""Which thread runs which actor's turn: a few shared threads for many actors, or a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

from supervision.errors import AskDeadlock, BlockingAskRefused
from supervision.future import Future, WaitGuard, waiting
from supervision.vitals import Book, Vitals

logger = logging.getLogger(__name__)

REPLACEMENTS_MAX = 16
"""How many stuck workers of one dispatcher are replaced at most; beyond it the dispatcher stands, and says so."""

READY_SHOWN = 500
"""How many of the waiting cells are looked at when somebody asks for the oldest."""


class Runnable(Protocol):
    """What a dispatcher runs: a cell."""

    waits_for: Any
    lock: threading.Lock

    def turn(self, worker: Worker) -> None:
        """Do one bounded turn of work; must not raise."""
        ...

    @property
    def path(self) -> str: ...


class Worker:
    """What a turn needs from the thread that runs it; each worker belongs to one thread."""

    __slots__ = ("books", "cell", "now", "replaced", "started_s", "turn_messages", "turn_s")

    def __init__(
        self, now: Callable[[], float], books: dict[type, Book], turn_messages: int, turn_s: float
    ) -> None:
        self.now = now
        self.books = books
        self.turn_messages = turn_messages
        self.turn_s = turn_s
        self.cell: Runnable | None = None
        self.started_s = 0.0
        self.replaced = False


class Dispatcher(Protocol):
    """Runs turns."""

    name: str

    def schedule(self, cell: Runnable) -> None:
        """Give `cell` a turn soon. Called from any thread; never blocks."""
        ...

    def stop(self, timeout_s: float) -> bool:
        """Finish what is scheduled and end. False when a thread did not end in time."""
        ...

    def disown(self, cell: Runnable) -> bool:
        """Take `cell` from the worker that runs it now and give that worker a substitute; False when none runs it."""
        ...

    def ready(self) -> list[Runnable]:
        """The cells that wait for a turn, those that wait longest first; at most a few hundred."""
        ...

    def running(self) -> list[tuple[Runnable, float]]:
        """What is running now, and since when (monotonic seconds)."""
        ...


def refuse_waiting(_: Future[Any], timeout_s: float | None) -> None:
    """The wait guard of shared workers: one waiting actor would hold up all the others."""
    if timeout_s is None or timeout_s > 0:
        raise BlockingAskRefused(
            "a handler on a shared dispatcher must not wait for a future; use pipe_to_self or dispatcher = 'pinned'"
        )


def guard_circles(worker: Worker) -> WaitGuard:
    """The wait guard of a pinned worker: it may wait, but not for somebody who waits for it."""

    def guard(future: Future[Any], _: float | None) -> Callable[[], None] | None:
        me = worker.cell
        if me is None or future.target is None:
            return None
        # Announce first, look second: of two actors that close the circle at once, at least one sees it.
        me.waits_for = future.target
        names = [me.path]
        seen: Any = future.target
        while seen is not None and len(names) < 64:
            names.append(seen.path)
            if seen is me:
                me.waits_for = None
                raise AskDeadlock("asks would wait for each other: " + " -> ".join(names))
            seen = seen.waits_for

        def release() -> None:
            me.waits_for = None

        return release

    return guard


class ThreadDispatcher:
    """`threads` threads that take turns from one ready queue, first come first served.

    Args:
        name: Of the dispatcher and its threads.
        turn_messages: A turn handles at most this many messages,
        turn_s: and starts no further message after this many seconds.
        may_wait: Whether handlers may wait for futures.
        daemon: Whether the threads let the process end.
    """

    def __init__(
        self,
        name: str,
        *,
        now: Callable[[], float],
        vitals: Vitals,
        threads: int = 1,
        turn_messages: int = 32,
        turn_s: float = 0.002,
        may_wait: bool = False,
        daemon: bool = True,
    ) -> None:
        self.name = name
        self._now = now
        self._vitals = vitals
        self._threads_wanted = threads
        self._turn_messages = turn_messages
        self._turn_s = turn_s
        self._may_wait = may_wait
        self._daemon = daemon
        self._ready: deque[Runnable] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._sleepers = 0
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._workers: list[Worker] = []
        self._replacements = 0

    def schedule(self, cell: Runnable) -> None:
        self._ready.append(cell)
        if self._sleepers or not self._threads:
            self._wake_one()

    @property
    def ready_depth(self) -> int:
        """How many cells wait for a turn."""
        return len(self._ready)

    def ready(self) -> list[Runnable]:
        try:
            return list(islice(self._ready, READY_SHOWN))
        except RuntimeError:
            # It moved while it was read: a queue that moves that fast holds nothing old.
            return []

    def running(self) -> list[tuple[Runnable, float]]:
        return [(cell, worker.started_s) for worker in self._workers if (cell := worker.cell) is not None]

    def replace_stuck(self, stuck_s: float) -> list[Runnable]:
        """Give every worker whose turn has lasted longer than `stuck_s` a substitute, so that the other actors go on.

        A thread cannot be killed; the stuck one ends by itself if its turn ever does.
        """
        now_s = self._now()
        stuck: list[Runnable] = []
        with self._lock:
            for worker in list(self._workers):
                cell = worker.cell
                if cell is None or worker.replaced or now_s - worker.started_s < stuck_s:
                    continue
                if self._replacements >= REPLACEMENTS_MAX:
                    logger.error(
                        "%s: %d workers are stuck, no more substitutes", self.name, self._replacements
                    )
                    break
                self._replacements += 1
                worker.replaced = True
                stuck.append(cell)
                self._start_thread()
        return stuck

    def disown(self, cell: Runnable) -> bool:
        with self._lock:
            for worker in self._workers:
                with cell.lock:
                    mine = worker.cell is cell
                    if mine:
                        worker.cell = None
                if mine:
                    if not worker.replaced:
                        worker.replaced = True
                        self._replacements += 1
                        self._start_thread()
                    return True
        return False

    def retire(self) -> None:
        """End the threads once nothing is ready, without waiting for it."""
        with self._lock:
            self._stopping = True
            for _ in self._threads:
                self._wake.put(None)

    def revive(self) -> None:
        """Take back `retire`."""
        with self._lock:
            self._stopping = False

    def is_alive(self) -> bool:
        """Whether a thread of it still runs."""
        return bool(self._threads)

    def stop(self, timeout_s: float) -> bool:
        self.retire()
        deadline_s = self._now() + timeout_s
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline_s - self._now()))
        return not any(thread.is_alive() for thread in self._threads)

    def _wake_one(self) -> None:
        with self._lock:
            if not self._threads:
                # Also when stopping: what is scheduled late (a last stop) still gets its turn.
                for _ in range(self._threads_wanted):
                    self._start_thread()
            elif self._sleepers:
                self._sleepers -= 1
                self._wake.put(None)

    def _start_thread(self) -> None:
        worker = Worker(self._now, self._vitals.shelf(), self._turn_messages, self._turn_s)
        name = f"{self.name}-{len(self._threads)}" if self._threads_wanted > 1 else self.name
        thread = threading.Thread(target=self._run, args=(worker,), name=name, daemon=self._daemon)
        self._workers.append(worker)
        self._threads.append(thread)
        thread.start()

    def _run(self, worker: Worker) -> None:
        waiting.guard = guard_circles(worker) if self._may_wait else refuse_waiting
        ready = self._ready
        while not worker.replaced:
            try:
                cell = ready.popleft()
            except IndexError:
                if self._sleep():
                    continue
                break
            worker.started_s = worker.now()
            worker.cell = cell
            try:
                cell.turn(worker)
            except BaseException:
                logger.exception("the runtime failed in a turn of %s", cell.path)
            worker.cell = None
        with self._lock:
            self._workers.remove(worker)
            self._threads.remove(threading.current_thread())
            if worker.replaced:
                self._replacements -= 1
            if self._ready and not self._threads:
                # Something was scheduled between the last look and the end of this thread.
                self._start_thread()

    def _sleep(self) -> bool:
        """Wait until something is ready; False when it is time to end."""
        with self._lock:
            # Registered before the look: a put that sees no sleeper was made before it, so the look finds its cell.
            self._sleepers += 1
            if self._ready or self._stopping:
                self._sleepers -= 1
                return bool(self._ready)
        self._wake.get()
        return True

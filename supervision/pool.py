"""A bounded pool for work that blocks, so that actors on a shared dispatcher need not wait for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from supervision.errors import ActorDeadError, PoolFull
from supervision.future import Future

logger = logging.getLogger(__name__)

Work = Callable[[], Any]


class Pool(Protocol):
    """Takes work, answers with futures; combine with `Context.pipe_to_self`."""

    def submit(self, work: Work) -> Future[Any]:
        """Run `work` some time. Raises `PoolFull` when too much waits already."""
        ...

    def stop(self, timeout_s: float) -> bool:
        """Refuse what waits, let what runs end. False when something did not end in time."""
        ...


class ThreadPool:
    """`threads` threads, started when first needed, and at most `queue_max` pieces of work waiting for them."""

    def __init__(self, name: str, *, threads: int = 8, queue_max: int = 1000) -> None:
        self._name = name
        self._threads_max = threads
        self._queue_max = queue_max
        self._work: queue.SimpleQueue[tuple[Work, Future[Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._stopped = False

    def submit(self, work: Work) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._stopped:
                raise ActorDeadError(f"{self._name} is stopped")
            if self._busy >= self._queue_max + self._threads_max:
                raise PoolFull(f"{self._name}: {self._queue_max} pieces of work wait already")
            self._busy += 1
            if self._busy > len(self._threads) < self._threads_max:
                thread = threading.Thread(
                    target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
        self._work.put((work, future))
        return future

    def stop(self, timeout_s: float) -> bool:
        with self._lock:
            self._stopped = True
            threads = list(self._threads)
        for _ in threads:
            self._work.put(None)
        for thread in threads:
            thread.join(timeout_s / len(threads))
        return not any(thread.is_alive() for thread in threads)

    def _run(self) -> None:
        while (job := self._work.get()) is not None:
            work, future = job
            if self._stopped:
                future.fail(ActorDeadError(f"{self._name} is stopped"))
                continue
            try:
                value = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever asked for the work
                future.fail(error)
            else:
                future.set(value)
            finally:
                with self._lock:
                    self._busy -= 1

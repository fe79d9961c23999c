"""What looking costs, measured where it is spent."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

WINDOW_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time over the last minute: as a share of one core, and of all that the process computed. 0 to 1."""

    of_core: float
    of_process: float


@dataclass(frozen=True, slots=True)
class _Spent:
    at_s: float
    cost_s: float
    process_s: float


class Meter:
    """Processor seconds of the dashboard, in all threads.

    Args:
        now: monotonic seconds.
        spent: processor seconds of the calling thread.
        process: processor seconds of the process.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
        process: Callable[[], float] = time.process_time,
    ) -> None:
        self._now = now
        self._spent = spent
        self._process = process
        self._lock = threading.Lock()
        self._inside = threading.local()
        self._recent: deque[_Spent] = deque()
        self._since_s = now()
        self.total_s = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count what the block costs; it must not await anything. A block within another counts once."""
        if getattr(self._inside, "yes", False):
            yield
            return
        self._inside.yes = True
        before, process_s = self._spent(), self._process()
        try:
            yield
        finally:
            self._inside.yes = False
            cost_s = self._spent() - before
            with self._lock:
                self.total_s += cost_s
                self._recent.append(_Spent(self._now(), cost_s, process_s))
                self._forget()

    def charged(self, work: Awaitable[T]) -> Awaitable[T]:
        """Await ``work`` and count what its own steps cost, not what runs while it waits."""
        return _Charged(self, work)

    def cost(self) -> Cost:
        """What the last minute cost."""
        with self._lock:
            self._forget()
            if not self._recent:
                return Cost(0.0, 0.0)
            spent_s = sum(one.cost_s for one in self._recent)
            span_s = min(WINDOW_S, max(1.0, self._now() - self._since_s))
            process_s = max(self._process() - self._recent[0].process_s, spent_s, 1e-9)
            return Cost(spent_s / span_s, spent_s / process_s)

    def _forget(self) -> None:
        oldest_s = self._now() - WINDOW_S
        while self._recent and self._recent[0].at_s < oldest_s:
            self._recent.popleft()


class _Charged(Generic[T]):
    def __init__(self, meter: Meter, work: Awaitable[T]) -> None:
        self._meter = meter
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        steps: Any = self._work.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            with self._meter.measured():
                try:
                    waits = steps.send(value) if error is None else steps.throw(error)
                except StopIteration as done:
                    result: T = done.value
                    return result
            value = error = None
            try:
                value = yield waits
            except BaseException as thrown:  # noqa: BLE001 - a cancellation belongs to the work
                error = thrown

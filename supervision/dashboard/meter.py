"""What looking costs, measured where it is spent."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WINDOW_S = 60.0


class Meter:
    """Processor seconds of the dashboard, in all threads.

    Args:
        now: monotonic seconds.
        spent: processor seconds of the calling thread.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, spent: Callable[[], float] = time.thread_time
    ) -> None:
        self._now = now
        self._spent = spent
        self._lock = threading.Lock()
        self._recent: deque[tuple[float, float]] = deque()
        self._since_s = now()
        self.total_s = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count what the block costs; it must not wait for anything."""
        before = self._spent()
        try:
            yield
        finally:
            cost_s = self._spent() - before
            with self._lock:
                self.total_s += cost_s
                self._recent.append((self._now(), cost_s))
                self._forget()

    def share(self) -> float:
        """The share of one core over the last minute, 0 to 1."""
        with self._lock:
            self._forget()
            span_s = min(WINDOW_S, max(1.0, self._now() - self._since_s))
            return sum(cost_s for _, cost_s in self._recent) / span_s

    def _forget(self) -> None:
        oldest_s = self._now() - WINDOW_S
        while self._recent and self._recent[0][0] < oldest_s:
            self._recent.popleft()

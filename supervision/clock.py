"""Where time comes from. Nothing else in the runtime reads a clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Monotonic time for durations, wall time for people."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""
        ...

    def now(self) -> datetime:
        """The date and time in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def __init__(self) -> None:
        # The builtin itself, so that the hot path pays no Python call for a time stamp.
        self.monotonic: Callable[[], float] = time.monotonic

    def now(self) -> datetime:
        return datetime.now(UTC)


class ManualClock:
    """A clock that only moves when told, for tests and simulations.

    Timers of a `System` built with it fire inside `advance`, in the calling thread, in order of their due time.
    """

    def __init__(
        self, start_s: float = 1_000.0, *, epoch: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    ) -> None:
        self._start_s = start_s
        self._now_s = start_s
        self._epoch = epoch
        self._lock = threading.RLock()
        self._listeners: list[Callable[[float], None]] = []

    def monotonic(self) -> float:
        return self._now_s

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._now_s - self._start_s)

    def subscribe(self, listener: Callable[[float], None]) -> None:
        """Call `listener(target_s)` before each advance ends; it may move the clock on in between with `move_to`."""
        self._listeners.append(listener)

    def move_to(self, moment_s: float) -> None:
        """Set the time without telling listeners. Going back is ignored."""
        self._now_s = max(self._now_s, moment_s)

    def advance(self, delta_s: float) -> None:
        """Let `delta_s` seconds pass; due timers fire at their own moment on the way."""
        with self._lock:
            target_s = self._now_s + delta_s
            for listener in self._listeners:
                listener(target_s)
            self.move_to(target_s)

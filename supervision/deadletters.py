"""Messages that nobody will handle, kept where somebody can see them."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger(__name__)

LOGGED_PER_WINDOW = 10
"""Like Akka: the first few of a flood are logged, the rest only counted."""
WINDOW_S = 300.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was accepted and will not be handled. `cause` is `stopped`, `failed`, `abandoned` or `timer`."""

    path: str
    message: Any
    cause: str
    error: BaseException | None
    at_s: float


class DeadLetters:
    """Counts every dead letter, keeps the last `keep`, tells subscribers.

    Args:
        now: Monotonic seconds.
        keep: How many to hold for display.
    """

    def __init__(self, now: Callable[[], float], *, keep: int = 1000) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._last: deque[DeadLetter] = deque(maxlen=keep)
        self._listeners: list[Callable[[DeadLetter], None]] = []
        self._window_s = float("-inf")
        self._logged = 0
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def last(self, limit: int = 100) -> list[DeadLetter]:
        """The newest first."""
        with self._lock:
            return list(self._last)[: -limit - 1 : -1]

    def subscribe(self, listener: Callable[[DeadLetter], None]) -> None:
        """Call `listener` with each dead letter, in the thread that found it; it must be quick."""
        self._listeners.append(listener)

    def record(self, path: str, message: Any, cause: str, error: BaseException | None = None) -> None:
        letter = DeadLetter(path, message, cause, error, self._now())
        with self._lock:
            self.counts[cause] += 1
            self._last.append(letter)
            if letter.at_s - self._window_s > WINDOW_S:
                self._window_s, self._logged = letter.at_s, 0
            self._logged += 1
            loud = self._logged <= LOGGED_PER_WINDOW
        if loud:
            logger.warning("dead letter for %s (%s): %s", path, cause, type(message).__name__)
        for listener in self._listeners:
            try:
                listener(letter)
            except Exception:
                logger.exception("a dead letter listener failed")

"""Leases: what is watched is paid for only as long as somebody says that he still looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Leases(Generic[K]):
    """Keys and until when they are held. At most ``held_max`` at once: beyond it the one that ends first goes.

    Args:
        now: monotonic seconds.
        lease_s: how long one look holds.
        ended: told, outside the lock, of each key whose lease is over.
    """

    def __init__(
        self, now: Callable[[], float], lease_s: float, held_max: int, ended: Callable[[K], None]
    ) -> None:
        self._now = now
        self._lease_s = lease_s
        self._held_max = held_max
        self._ended = ended
        self._lock = threading.Lock()
        self._until: dict[K, float] = {}

    def renew(self, key: K) -> bool:
        """Hold ``key`` for another lease; True when it was not held before."""
        with self._lock:
            fresh = key not in self._until
            self._until.pop(key, None)
            self._until[key] = self._now() + self._lease_s
            # Renewed ones go to the back, so the first is the one that ends first.
            over = [next(iter(self._until))] if len(self._until) > self._held_max else []
            for one in over:
                del self._until[one]
        for one in over:
            self._ended(one)
        return fresh

    def sweep(self) -> float | None:
        """End what is over; seconds until the next one ends, None when nothing is held."""
        now_s = self._now()
        with self._lock:
            over = [key for key, until_s in self._until.items() if until_s <= now_s]
            for one in over:
                del self._until[one]
            left_s = next(iter(self._until.values())) - now_s if self._until else None
        for one in over:
            self._ended(one)
        return left_s

    @property
    def held(self) -> int:
        """How many keys are held."""
        return len(self._until)

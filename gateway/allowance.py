"""A token bucket: so many at once, so many per second. Time is passed in."""

from __future__ import annotations


class Allowance:
    """Refills at ``per_s`` up to ``burst``; starts full."""

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, burst: float, per_s: float, now: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left, self._at = burst, now

    def spend(self, now: float) -> bool:
        """Take one. False: none is left."""
        self._refill(now)
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def reserve(self, now: float, patience_s: float) -> float | None:
        """Take one, if need be in advance: the seconds until it is there, in the order of asking.

        None: nothing was taken, for it would be more than ``patience_s``.
        """
        self._refill(now)
        pause_s = max(0.0, (1 - self._left) / self._per_s)
        if pause_s > patience_s:
            return None
        self._left -= 1
        return pause_s

    def _refill(self, now: float) -> None:
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now

    def wait_s(self) -> float:
        """Seconds until one is there, as of the last :meth:`spend`."""
        return max(0.0, (1 - self._left) / self._per_s)

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
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def wait_s(self) -> float:
        """Seconds until one is there, as of the last :meth:`spend`."""
        return max(0.0, (1 - self._left) / self._per_s)

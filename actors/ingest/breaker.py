"""The circuit breaker of a partition: when nearly everything has to be parked, the fault is ours, not the records'.

A bad deployment would otherwise park a topic's whole content within minutes, and people would have to bring it back row
by row. The two limits are those of Sentry's arroyo (``max_invalid_ratio``, ``max_consecutive_count``); unlike there the
consumer does not end but waits, tries a few records, and waits longer if they are parked too. Pure: time is passed in.
"""

from __future__ import annotations

from collections import deque

import msgspec


class BreakerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When it opens and for how long.

    ``consecutive_max`` parked in a row, or a share of ``ratio_max`` among the last ``sample`` answers, opens it;
    after a pause, ``probe_max`` in a row. Pauses grow from ``pause_s`` to ``pause_max_s``.
    """

    consecutive_max: int = 500
    ratio_max: float = 0.5
    sample: int = 1_000
    probe_max: int = 20
    pause_s: float = 10.0
    pause_max_s: float = 300.0


class Breaker:
    """See the module. Not locked: a lost update moves the limit by one."""

    __slots__ = ("_consecutive", "_limits", "_open_until_s", "_parked", "_recent", "_trips")

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque()
        self._parked = 0
        self._consecutive = 0
        self._trips = 0
        self._open_until_s = float("-inf")

    @property
    def trips(self) -> int:
        """How often it opened since a full sample went well."""
        return self._trips

    def is_open(self, now_s: float) -> bool:
        """Whether nothing more should be read for now."""
        return now_s < self._open_until_s

    def stands(self) -> bool:
        """One record stands: counted at once where nothing was parked of late, else False and `note` has to judge."""
        if self._trips or self._parked:
            return False
        if len(self._recent) < self._limits.sample:
            self._recent.append(False)
        return True

    def note(self, now_s: float, *, parked: bool) -> bool:
        """One record has its answer; whether this opened the breaker."""
        if self.is_open(now_s):
            # what was in flight when it opened tells nothing new
            return False
        self._remember(parked)
        limits = self._limits
        self._consecutive = self._consecutive + 1 if parked else 0
        full = len(self._recent) == limits.sample
        in_a_row = limits.probe_max if self._trips else limits.consecutive_max
        if self._consecutive >= in_a_row or (full and self._parked > limits.ratio_max * limits.sample):
            self._trip(now_s)
            return True
        if full:
            self._trips = 0
        return False

    def _remember(self, parked: bool) -> None:  # noqa: FBT001  (the one fact)
        self._recent.append(parked)
        self._parked += parked
        if len(self._recent) > self._limits.sample:
            self._parked -= self._recent.popleft()

    def _trip(self, now_s: float) -> None:
        pause_s = self._limits.pause_s * 2.0 ** min(self._trips, 32)
        self._open_until_s = now_s + min(pause_s, self._limits.pause_max_s)
        self._trips += 1
        self._recent.clear()
        self._parked = self._consecutive = 0

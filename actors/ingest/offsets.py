"""Which offset may be committed: the lowest one still in flight, or one past the highest seen.

Pure bookkeeping; the lock is there because the client calls the rebalance listener on a thread of its own. Offsets may
have holes (compaction, transaction marks), and completions come in any order, also for an assignment that has ended.
The rule is Wolverine's (JasperFx/wolverine#3162); the completed set is kept in memory only, since reading a record again
is harmless here.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import msgspec


class WindowLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a partition has to pause: records without an answer, and offsets from the lowest of them to the newest."""

    in_flight_max: int = 1_000
    span_max: int = 10_000


class Window:
    """One assignment of one partition. A completion that names another window of the partition changes nothing."""

    __slots__ = ("_high", "_in_flight", "committed", "lock", "oldest_s", "paused", "topic_partition")

    def __init__(self, topic_partition: object) -> None:
        self.topic_partition = topic_partition
        self.lock = threading.Lock()
        self._in_flight: dict[int, float] = {}
        self._high = -1
        self.committed = -1
        self.paused = False

    def register(self, offset: int, now_s: float) -> None:
        """A record was handed on. Offsets of one window only grow."""
        with self.lock:
            self._in_flight[offset] = now_s
            self._high = offset

    def complete(self, offset: int) -> None:
        """What the record stands for stands in the database. A second time, or for an unknown offset, is nothing."""
        with self.lock:
            self._in_flight.pop(offset, None)

    def committable(self) -> int | None:
        """The offset to commit (the next one to read after a restart), or ``None`` when there is nothing new."""
        with self.lock:
            if self._high < 0:
                return None
            mark = next(iter(self._in_flight), self._high + 1)
            return mark if mark > self.committed else None

    @property
    def in_flight(self) -> int:
        """Records without an answer."""
        return len(self._in_flight)

    def age_s(self, now_s: float) -> float:
        """How long the oldest record has been without an answer; 0 where none is."""
        with self.lock:
            return max(0.0, now_s - next(iter(self._in_flight.values()), now_s))

    def span(self) -> int:
        """Offsets from the lowest without an answer to the newest."""
        with self.lock:
            return self._high - next(iter(self._in_flight), self._high)

    def must_pause(self, limits: WindowLimits) -> bool:
        """Whether the partition is at one of its bounds."""
        return self.in_flight >= limits.in_flight_max or self.span() >= limits.span_max

    def may_resume(self, limits: WindowLimits) -> bool:
        """Whether it is at half of both, so that it does not flutter at the bound."""
        return self.in_flight <= limits.in_flight_max // 2 and self.span() <= limits.span_max // 2


class Windows:
    """The windows of the partitions that this node owns now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[object, Window] = {}

    def open(self, partitions: Iterable[object]) -> None:
        """The partitions are ours from now on."""
        with self._lock:
            for partition in partitions:
                self._windows[partition] = Window(partition)

    def close(self, partitions: Iterable[object]) -> list[Window]:
        """The partitions are ours no more; their windows, for a last look."""
        with self._lock:
            return [w for w in (self._windows.pop(p, None) for p in partitions) if w is not None]

    def get(self, partition: object) -> Window | None:
        """The window of a partition that is ours."""
        return self._windows.get(partition)

    def all(self) -> list[Window]:
        """Every window now."""
        with self._lock:
            return list(self._windows.values())

"""Which offset may be committed: the lowest one still in flight, or one past the highest seen.

Pure bookkeeping; the locks are there because the client calls the rebalance listener on a thread of its own and answers
come from others. Offsets may have holes (compaction, transaction marks), and completions come in any order, also for an
assignment that has ended. The rule is Wolverine's (JasperFx/wolverine#3162); the completed set is kept in memory only,
since reading a record again is harmless here.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import msgspec

from actors.ingest.breaker import Breaker, BreakerLimits


class WindowLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a partition has to pause: records without an answer, and offsets from the lowest of them to the newest."""

    in_flight_max: int = 1_000
    span_max: int = 10_000


class Window:
    """One assignment of one partition. A completion that names another window of the partition changes nothing.

    Attributes:
        committed: what the brokers confirmed of this assignment; -1 before the first.
        committed_s: when they last did, or when the assignment began.
        end: one past the newest record of the partition, as far as is known; -1 before the first fetch.
        paused: whether the client was told to fetch no more for now.
    """

    __slots__ = (
        "_aside",
        "_high",
        "_in_flight",
        "_lock",
        "breaker",
        "committed",
        "committed_s",
        "end",
        "leaving",
        "paused",
        "topic_partition",
    )

    def __init__(
        self, topic_partition: Any, now_s: float = 0.0, breaker: BreakerLimits | None = None
    ) -> None:
        self.topic_partition = topic_partition
        self.breaker = Breaker(breaker or BreakerLimits())
        self._lock = threading.Lock()
        self._in_flight: dict[int, float] = {}
        self._aside: set[int] = set()
        self._high = -1
        self.committed = -1
        self.committed_s = now_s
        self.end = -1
        self.paused = False
        self.leaving = False

    def register(self, offsets: Sequence[int], now_s: float) -> bool:
        """Records are handed on, all of them unless the partition is leaving: then its next owner reads them.

        Offsets only grow.
        """
        with self._lock:
            if self.leaving:
                return False
            self._in_flight.update(dict.fromkeys(offsets, now_s))
            self._high = offsets[-1]
            return True

    def complete(self, offset: int) -> None:
        """What the record stands for stands in the database. A second time, or for an unknown offset, is nothing."""
        with self._lock:
            self._in_flight.pop(offset, None)

    def put_aside(self, offset: int) -> None:
        """Nobody works on the record now and nothing stands for it: a drain need not wait, and no mark passes it."""
        with self._lock:
            if offset in self._in_flight:
                self._aside.add(offset)

    def take_up(self, offset: int) -> bool:
        """Work on a record again that was put aside, unless the partition is leaving."""
        with self._lock:
            if self.leaving:
                return False
            self._aside.discard(offset)
            return True

    def leave(self) -> None:
        """The partition is about to move: nothing more is registered."""
        with self._lock:
            self.leaving = True

    def acknowledged(self, mark: int, now_s: float) -> None:
        """The brokers keep this mark. An answer that was overtaken by a newer one changes nothing."""
        with self._lock:
            self.committed = max(self.committed, mark)
            self.committed_s = now_s

    def committable(self) -> int | None:
        """The offset to commit (the next one to read after a restart), or ``None`` when there is nothing new."""
        with self._lock:
            if self._high < 0:
                return None
            mark = next(iter(self._in_flight), self._high + 1)
            return mark if mark > self.committed else None

    @property
    def in_flight(self) -> int:
        """Records without an answer."""
        return len(self._in_flight)

    @property
    def running(self) -> int:
        """Records that somebody still works on."""
        with self._lock:
            return len(self._in_flight) - len(self._aside)

    @property
    def lag(self) -> int:
        """Records of the partition that do not stand yet, as far as is known."""
        with self._lock:
            reached = next(iter(self._in_flight), self._high + 1)
            return max(0, self.end - reached) if self._high >= 0 else 0

    @property
    def unread(self) -> int:
        """Records that the brokers have and we have not read, as far as is known."""
        with self._lock:
            return max(0, self.end - self._high - 1) if self._high >= 0 else 0

    def age_s(self, now_s: float) -> float:
        """How long the oldest record has been without an answer; 0 where none is."""
        with self._lock:
            return max(0.0, now_s - next(iter(self._in_flight.values()), now_s))

    def commit_age_s(self, now_s: float) -> float:
        """How long a mark has been waiting to be committed; 0 where there is nothing new."""
        return max(0.0, now_s - self.committed_s) if self.committable() is not None else 0.0

    def span(self) -> int:
        """Offsets from the lowest without an answer to the newest."""
        with self._lock:
            return self._high - next(iter(self._in_flight), self._high)

    def must_pause(self, limits: WindowLimits, now_s: float) -> bool:
        """Whether the partition is at one of its bounds, or parks too much."""
        full = self.in_flight >= limits.in_flight_max or self.span() >= limits.span_max
        return full or self.breaker.is_open(now_s)

    def may_resume(self, limits: WindowLimits, now_s: float) -> bool:
        """Whether it is at half of both, so that it does not flutter at the bound."""
        low = self.in_flight <= limits.in_flight_max // 2 and self.span() <= limits.span_max // 2
        return low and not self.breaker.is_open(now_s)


class Windows:
    """The windows of the partitions that this node owns now.

    A consumer claims them for its life. What an earlier consumer still does, having been given up while a call of its
    hung, changes nothing here.
    """

    def __init__(self, breaker: BreakerLimits | None = None) -> None:
        self._breaker = breaker
        self._lock = threading.Lock()
        self._windows: dict[Hashable, Window] = {}
        self._life = 0

    def claim(self) -> int:
        """Begin a life: every window of the last one is gone. The number goes into `open` and `close`."""
        with self._lock:
            self._windows = {}
            self._life += 1
            return self._life

    def is_current(self, life: int) -> bool:
        """Whether nobody has claimed the windows since."""
        return life == self._life

    def open(self, life: int, partitions: Iterable[Hashable], now_s: float) -> None:
        """The partitions are ours from now on."""
        with self._lock:
            if life == self._life:
                for partition in partitions:
                    self._windows[partition] = Window(partition, now_s, self._breaker)

    def close(self, life: int, partitions: Iterable[Hashable]) -> None:
        """The partitions are ours no more; what is still under way counts for nothing."""
        with self._lock:
            for partition in partitions if life == self._life else ():
                window = self._windows.pop(partition, None)
                if window is not None:
                    window.leave()

    def get(self, partition: Hashable) -> Window | None:
        """The window of a partition that is ours."""
        return self._windows.get(partition)

    def all(self) -> list[Window]:
        """Every window now."""
        with self._lock:
            return list(self._windows.values())

"""What the runtime counts: exact, cheap to write, added up only when asked.

Each worker thread writes books of its own, so no count needs a lock or can be lost; readers add the books up.
"""

from __future__ import annotations

import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

TRACE_CHARS = 4000
"""How much of a traceback is kept with an incident: its end, where the failure is."""

BUCKETS = 28
"""Histogram buckets by powers of two of a microsecond.

Bucket i counts durations below 2**i µs, the last one the rest.
"""


class Histogram:
    """Durations in power-of-two buckets."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.total_s = 0.0

    def add(self, duration_s: float) -> None:
        bucket = int(duration_s * 1e6).bit_length()
        self.counts[bucket if bucket < BUCKETS else BUCKETS - 1] += 1
        self.total_s += duration_s

    def merge(self, other: Histogram) -> None:
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total_s += other.total_s

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile_s(self, share: float) -> float:
        """An upper bound of the given quantile in seconds; 0.0 when empty."""
        rank = share * self.count
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                return float(2**bucket) / 1e6
        return 0.0


class Book:
    """What one class of actors did: messages, turns, turn time, and how long the first message of each turn waited."""

    __slots__ = ("handled", "turn", "turns", "wait")

    def __init__(self) -> None:
        self.handled = 0
        self.turns = 0
        self.turn = Histogram()
        self.wait = Histogram()

    def merge(self, other: Book) -> None:
        self.handled += other.handled
        self.turns += other.turns
        self.turn.merge(other.turn)
        self.wait.merge(other.wait)


@dataclass(frozen=True, slots=True)
class Incident:
    """Something an operator would want to know. `kind` is started, stopped, failed, restarted, parked and so on.

    `at_s` is on the runtime's monotonic clock; `trace` is the traceback of a failure as text, so that it
    holds no frames.
    """

    path: str
    kind: str
    detail: str
    at_s: float
    trace: str = ""


class Vitals:
    """The runtime's counters. `incidents` holds the last `keep` incidents."""

    def __init__(self, now: Callable[[], float], *, keep: int = 1000) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._shelves: list[dict[type, Book]] = []
        self._incidents: deque[Incident] = deque(maxlen=keep)
        self._listeners: list[Callable[[Incident], None]] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        """(class name, what) -> times, for rare things: failed, restarted, parked, dead, stuck, escalated…"""

    def shelf(self) -> dict[type, Book]:
        """A set of books for one more thread to write."""
        books: dict[type, Book] = {}
        with self._lock:
            self._shelves.append(books)
        return books

    def by_class(self) -> dict[type, Book]:
        """The books of all threads, added up."""
        with self._lock:
            shelves = list(self._shelves)
        result: dict[type, Book] = {}
        for shelf in shelves:
            for kind, book in list(shelf.items()):
                result.setdefault(kind, Book()).merge(book)
        return result

    def count(self, class_name: str, what: str, amount: int = 1) -> None:
        with self._lock:
            self.counts[class_name, what] += amount

    def incident(
        self, path: str, class_name: str, kind: str, detail: str = "", error: BaseException | None = None
    ) -> Incident:
        """Count and remember one incident, and tell subscribers. From any thread."""
        incident = Incident(path, kind, detail, self._now(), _trace(error))
        with self._lock:
            self.counts[class_name, kind] += 1
            self._incidents.append(incident)
        for listener in self._listeners:
            listener(incident)
        return incident

    def subscribe(self, listener: Callable[[Incident], None]) -> Callable[[], None]:
        """Call `listener` with each incident, in the thread where it happened; it must be quick and must not raise.

        Returns:
            What ends the subscription; a second call does nothing.
        """
        with self._lock:
            self._listeners = [*self._listeners, listener]

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = [one for one in self._listeners if one is not listener]

        return unsubscribe

    def incidents(self, limit: int = 100) -> list[Incident]:
        """The newest first."""
        with self._lock:
            return list(self._incidents)[: -limit - 1 : -1]


def _trace(error: BaseException | None) -> str:
    if error is None:
        return ""
    return "".join(traceback.format_exception(error))[-TRACE_CHARS:]

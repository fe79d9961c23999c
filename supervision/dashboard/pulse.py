"""What the pages show, gathered at most once a period however many look, and not at all while nobody does."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from supervision.dashboard.census import Census
from supervision.dashboard.meter import Cost, Meter
from supervision.dashboard.tree import roll_up, walk
from supervision.snapshot import Node
from supervision.system import System
from supervision.vitals import Histogram

KEPT: Final = 90
"""Samples of a series; with one every two seconds that is three minutes."""
STALE_S: Final = 10.0
"""A series with a longer hole than this begins anew: nobody looked in between."""
CHILDREN_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class of actors over the last moments: messages a second, and quantiles in seconds."""

    name: str
    handled: int
    rate_per_s: float
    turn_p50_s: float
    turn_p99_s: float
    wait_p99_s: float


@dataclass(frozen=True, slots=True)
class Turnover:
    """How many virtual actors of one directory a message started, and how many were put away, each second."""

    path: str
    started_per_s: float
    put_away_per_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a system. ``at_s`` is monotonic, ``oldest_s`` an age, rates are per second."""

    at_s: float
    root: Node
    rate_per_s: float
    actors: int
    depth: int
    oldest_s: float
    restarts: int
    dead_letters: int
    parked: int
    conservation_error: int
    classes: tuple[ClassFigures, ...]
    turnover: tuple[Turnover, ...]
    cost: Cost


@dataclass(slots=True)
class Series:
    """What one actor looked like over the last minutes."""

    depth: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    oldest_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))


class Pulse:
    """Takes samples of one system. Call it from threads that may compute for some milliseconds.

    Args:
        every_s: a sample younger than this is handed out again.
    """

    def __init__(self, system: System, meter: Meter, census: Census, *, every_s: float = 1.0) -> None:
        self._system = system
        self._meter = meter
        self._every_s = every_s
        self._lock = threading.Lock()
        self._last: Sample | None = None
        self._census = census
        self._before: dict[type, tuple[int, list[int], list[int]]] = {}
        self._turned: dict[str, tuple[int, int]] = {}
        self.series: dict[str, Series] = {}
        self.rates: deque[float] = deque(maxlen=KEPT)

    def sample(self) -> Sample:
        """The newest sample, taken now if the last one is too old."""
        with self._lock:
            last = self._last
            if last is not None and self._system.now() - last.at_s < self._every_s:
                return last
            with self._meter.measured():
                self._last = self._take(last)
            return self._last

    def _take(self, last: Sample | None) -> Sample:
        system = self._system
        now_s = system.now()
        span_s = now_s - last.at_s if last is not None else 0.0
        if span_s > STALE_S:
            self.series.clear()
            self.rates.clear()
        root = system.snapshot(children_max=CHILDREN_MAX)
        below = roll_up(root)
        classes = self._classes(span_s)
        rate_per_s = sum(one.rate_per_s for one in classes)
        self.rates.append(rate_per_s)
        self._remember(root)
        return Sample(
            at_s=now_s,
            root=root,
            rate_per_s=rate_per_s,
            actors=below.actors,
            depth=below.depth,
            oldest_s=below.oldest_s,
            restarts=sum(
                times for (_, what), times in list(system.vitals.counts.items()) if what == "restarted"
            ),
            dead_letters=system.dead_letters.total,
            parked=sum(times for (_, what), times in list(system.vitals.counts.items()) if what == "parked"),
            conservation_error=self._census.latest().error,
            classes=classes,
            turnover=self._turnover(root, span_s),
            cost=self._meter.cost(),
        )

    def _turnover(self, root: Node, span_s: float) -> tuple[Turnover, ...]:
        counts = {
            node["path"]: (node["activations"], node["passivations"])
            for node in walk(root)
            if "activations" in node
        }
        before, self._turned = self._turned, counts
        return tuple(
            Turnover(
                path,
                *(
                    max(0.0, (now - then) / span_s) if span_s > 0 else 0.0
                    for now, then in zip(count, before.get(path, count), strict=True)
                ),
            )
            for path, count in counts.items()
        )

    def _classes(self, span_s: float) -> tuple[ClassFigures, ...]:
        found: list[ClassFigures] = []
        for kind, book in self._system.vitals.by_class().items():
            handled, turns, waits = self._before.get(
                kind, (book.handled, [0] * len(book.turn.counts), [0] * len(book.wait.counts))
            )
            recent_turn, recent_wait = Histogram(), Histogram()
            recent_turn.counts = [now - before for now, before in zip(book.turn.counts, turns, strict=True)]
            recent_wait.counts = [now - before for now, before in zip(book.wait.counts, waits, strict=True)]
            self._before[kind] = (book.handled, book.turn.counts, book.wait.counts)
            found.append(
                ClassFigures(
                    kind.__name__,
                    book.handled,
                    max(0.0, (book.handled - handled) / span_s) if span_s > 0 else 0.0,
                    recent_turn.quantile_s(0.5),
                    recent_turn.quantile_s(0.99),
                    recent_wait.quantile_s(0.99),
                )
            )
        return tuple(sorted(found, key=lambda one: one.name))

    def _remember(self, root: Node) -> None:
        seen: set[str] = set()
        for node in walk(root):
            self._note(seen, node["path"], node["below"].depth, node["below"].oldest_s)
            for group in node.get("groups", ()):
                self._note(seen, group_key(node["path"], group["name"]), group["depth"], group["oldest_s"])
        for path in [path for path in self.series if path not in seen]:
            del self.series[path]

    def _note(self, seen: set[str], key: str, depth: float, oldest_s: float) -> None:
        seen.add(key)
        series = self.series.setdefault(key, Series())
        series.depth.append(depth)
        series.oldest_s.append(oldest_s)


def group_key(path: str, group: str) -> str:
    """How a group of a directory's actors is named where actors are named by path."""
    return f"{path}#{group}"

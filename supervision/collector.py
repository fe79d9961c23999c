"""Keeping the garbage collector from stopping the world at a bad time.

A full collection looks at every container that is alive: with 100,000 actors that takes a quarter of a second
or more, in which no turn runs (CPython `gc` module; measured in bench/runtime.py). The runtime breaks its own
cycles by hand when a cell closes, so reference counts free cells and the collector has nothing to find in
them. What is alive can therefore be put out of its sight (`gc.freeze`), again and again while actors come and
go; the collector then only looks at what is new.

Cyclic garbage that user code leaves in frozen objects is freed when `thaw_every` says so, at the price of one
full pause.
"""

from __future__ import annotations

import gc
import time
from typing import Any

from supervision.vitals import Histogram

YOUNG = 20_000
"""Containers made before the youngest generation is collected. With Python's own 700, thousands of sessions or actors
that come at once are walked over again and again: half of the CPU of a storm of 5,000 reconnects."""


class Collector:
    """Tends the collector from a timer, and measures every pause it makes.

    Args:
        thaw_every: After so many calls of `tend` the next one looks at everything. 0: never.
    """

    def __init__(self, *, thaw_every: int = 0) -> None:
        self._thaw_every = thaw_every
        self._before = gc.get_threshold()
        gc.set_threshold(YOUNG, *self._before[1:])
        self._tended = 0
        self._began_s = 0.0
        self.pauses = Histogram()
        """Every collection in this process, automatic ones too."""
        gc.callbacks.append(self._watch)

    def tend(self) -> None:
        """Collect what is young, then put everything alive out of the collector's sight. A few milliseconds."""
        self._tended += 1
        if self._thaw_every and self._tended % self._thaw_every == 0:
            gc.unfreeze()
            gc.collect()
        else:
            gc.collect(1)
        gc.freeze()

    def close(self) -> None:
        """Leave the collector as Python has it."""
        if self._watch in gc.callbacks:
            gc.callbacks.remove(self._watch)
            gc.set_threshold(*self._before)
        gc.unfreeze()

    def _watch(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began_s = time.perf_counter()
        else:
            self.pauses.add(time.perf_counter() - self._began_s)

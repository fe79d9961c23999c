"""Keeping the garbage collector from stopping the world at a bad time.

A full collection looks at every container that is alive: with 100,000 actors that takes a quarter of a second
or more, in which no turn runs (CPython `gc` module; measured in bench/runtime.py). The runtime breaks its own
cycles by hand when a cell closes, so reference counts free cells and the collector has nothing to find in
them. What is alive can therefore be put out of its sight (`gc.freeze`), after every pass that it makes: each
container is walked once in its life, and no pass walks more than `YOUNG` of them. Left to itself between two
calls of `tend`, a pass over the middle generation took 60 to 140 ms on a node that wrote 850 payments a second.

The price is cyclic garbage that was still in use when a pass ended: a few dozen containers, whatever is on its
way just then. It is freed when `thaw_every` says so, at the price of one full pause.
"""

from __future__ import annotations

import gc
import time
from typing import Any

from supervision.vitals import Histogram

YOUNG = 5_000
"""Containers made, less those freed, before the collector walks over them: 2 to 4 ms on a busy node, while 20,000 took
10 to 20. With Python's own 700 a pass would begin, and put out of sight what is on its way, several times as often."""


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
        """Of every pass in this process, automatic ones too."""
        gc.callbacks.append(self._watch)

    def tend(self) -> None:
        """Collect what is young, and so put everything alive out of the collector's sight. A few milliseconds."""
        self._tended += 1
        if self._thaw_every and self._tended % self._thaw_every == 0:
            gc.unfreeze()
            gc.collect()
        else:
            gc.collect(1)

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
            gc.freeze()

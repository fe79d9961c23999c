"""How fast the machine is while others measure: CPU time of a fixed piece of work, again and again.

A shared machine takes up to twice as long for the same instructions from one quarter of an hour to the next, and CPU
clocks grow with it. Beside figures of other minutes, compare what they are multiples of.

    python -m bench.yardstick       # until its input ends, then what it found, as JSON
"""

from __future__ import annotations

import statistics
import time
from contextlib import AbstractContextManager
from typing import Final

from bench.beside import Measured, probe, running
from bench.figures import Row, figure

STEPS: Final = 2_000
"""Of the work: 0.2 ms, so that with its pause it takes half a per cent of a core."""
PAUSE_S: Final = 0.05
FEWEST: Final = 20
NAME: Final = "the machine meanwhile: CPU of a fixed piece of work"


def beside(took_us: list[Measured]) -> AbstractContextManager[None]:
    """Measure the machine beside what is done inside; microseconds of each piece go to ``took_us`` when it is over."""
    return running("bench.yardstick", took_us)


def row(group: str, took_us: list[Measured]) -> Row:
    """A line of a group's results: the median, and the middle eight tenths."""
    values = [each.value for each in took_us]
    tenths = statistics.quantiles(values, n=10)
    return figure(group, NAME, [tenths[0], statistics.median(values), tenths[-1]], "us")


def work(table: dict[int, str]) -> int:
    """What an interpreter does all day: look up, call, make small things and let them go."""
    found = 0
    for step in range(STEPS):
        pair = [table[step], ""]
        found += len(pair[0])
    return found


def main() -> None:
    """Work and pause until the input ends."""
    table = {step: str(step) for step in range(STEPS)}

    def piece() -> float:
        began_s = time.thread_time()
        work(table)
        return round((time.thread_time() - began_s) * 1e6, 1)

    probe(piece, pause_s=PAUSE_S, fewest=FEWEST)


if __name__ == "__main__":
    main()

"""How fast the machine is while others measure: CPU time of a fixed piece of work, again and again.

A shared machine takes up to twice as long for the same instructions from one quarter of an hour to the next, and CPU
clocks grow with it. Beside figures of other minutes, compare what they are multiples of.

    python -m bench.yardstick       # until its input ends, then what it found, as JSON
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.figures import Row, figure

STEPS: Final = 2_000
"""Of the work: 0.2 ms, so that with its pause it takes half a per cent of a core."""
PAUSE_S: Final = 0.05
FEWEST: Final = 20
NAME: Final = "the machine meanwhile: CPU of a fixed piece of work"


@contextmanager
def beside(took_us: list[float]) -> Iterator[None]:
    """Measure the machine beside what is done inside; microseconds of each piece go to ``took_us`` when it is over."""
    words = [sys.executable, "-m", "bench.yardstick"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
        finally:
            said, _ = process.communicate()
    took_us += json.loads(said)


def row(group: str, took_us: list[float]) -> Row:
    """A line of a group's results: the median, and the middle eight tenths."""
    tenths = statistics.quantiles(took_us, n=10)
    return figure(group, NAME, [tenths[0], statistics.median(took_us), tenths[-1]], "us")


def work(table: dict[int, str]) -> int:
    """What an interpreter does all day: look up, call, make small things and let them go."""
    found = 0
    for step in range(STEPS):
        pair = [table[step], ""]
        found += len(pair[0])
    return found


def main() -> None:
    """Work and pause until the input ends."""
    over = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    table = {step: str(step) for step in range(STEPS)}
    took_us: list[float] = []
    while len(took_us) < FEWEST or not over.wait(PAUSE_S):
        began_s = time.thread_time()
        work(table)
        took_us.append(round((time.thread_time() - began_s) * 1e6, 1))
    print(json.dumps(took_us))


if __name__ == "__main__":
    main()
